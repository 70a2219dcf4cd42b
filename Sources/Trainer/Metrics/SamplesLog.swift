import Foundation
import NN
import Tensors

/// Text that a model continued, or reversed, while it was trained.
public struct Sample: Sendable, Hashable {
    /// The step it was drawn after.
    public var step: Int
    /// The text that was continued.
    public var prompt: String
    /// The text that the model wrote after the prompt.
    public var text: String

    /// Creates a sample after a step.
    public init(step: Int, prompt: String, text: String) {
        self.step = step
        self.prompt = prompt
        self.text = text
    }
}

/// `samples.jsonl`: a line a sample, `{"step":200,"prompt":"…","text":"…"}`, appended as training goes.
public final class SamplesLog: Sendable {
    private let log: LineLog
    /// The path of the file.
    public var path: String { log.path }

    /// Opens a log to append to; a missing file is created.
    /// - Parameters:
    ///   - step: the step from which training is resumed, 0 for a new run: the samples of later steps are removed, as they
    ///     will be drawn again.
    ///   - warn: is called with a sentence about the lines that are no samples, which are removed.
    /// - Throws: `InputError` that names the path.
    public init(path: String, resumingAfter step: Int, warn: (String) -> Void = { _ in }) throws {
        log = try LineLog(path: path, warn: warn) { line, place in try Sample(line: line, place: place).step <= step }
    }

    /// Appends a sample.
    /// - Throws: `InputError` with the system's reason, such as a full disk.
    public func append(_ sample: Sample) throws { try log.append(sample.line) }

    /// All samples of a log, in order; none where there is no file.
    /// - Parameter warn: is called with a sentence about the lines that are no samples, which are left out; nil to throw.
    /// - Throws: `InputError` with file and line number.
    public static func read(path: String, warn: ((String) -> Void)? = nil) throws -> [Sample] {
        guard fileKind(path) != nil else { return [] }
        return try LineLog.values(of: path, warn: warn) { line, place in try Sample(line: line, place: place) }
    }
}

extension Sample {
    fileprivate var line: String {
        "{\"step\":\(step),\"prompt\":\(JSONValue.quoted(prompt)),\"text\":\(JSONValue.quoted(text))}"
    }

    fileprivate init(line: some Sequence<UInt8>, place: String) throws {
        var reader = try ConfigurationReader(JSONValue(parsingLine: line, place: place), file: place)
        self.init(
            step: try reader.int("step", in: 0...TrainingOptions.mostSteps), prompt: try reader.string("prompt"),
            text: try reader.string("text"))
    }
}
