import NN
import Tensors

/// The best validation of a run so far.
public struct BestValidation: Sendable, Hashable {
    /// The step it followed.
    public var step: Int
    /// The measure that is minimized: bits per byte of a text, the mean loss of batches that the program makes.
    public var measure: Double

    init(step: Int, measure: Double) { (self.step, self.measure) = (step, measure) }

    init(step: Int, bitsPerByte: Double) { self.init(step: step, measure: bitsPerByte) }

    /// The bits per byte of the validation, of a run on a text.
    public var bitsPerByte: Double {
        get { measure }
        set { measure = newValue }
    }
}

/// The state of a training beside the weights and the optimizer's moments: all it takes to resume as if it had never
/// been interrupted.
struct TrainingState: Sendable {
    /// The steps made.
    var step: Int
    /// Tokens trained on so far.
    var tokens: Int
    /// Seconds of training so far.
    var seconds: Double
    /// The measure of validations.
    var measure = ValidationMeasure.bitsPerByte
    /// The validation after this step; nil where there was none.
    var validation: Double?
    /// nil before the first validation.
    var best: BestValidation?
    /// The number of validations since the best, where it matters.
    var validationsSinceBest = 0
    /// False if the validation and the sample that were due after this step were skipped to stop at once.
    var isFollowed = true
    /// The position of the stream of data, in the stream's own form.
    var position: JSONValue = .null
    /// The carries of models with a state, by names of the trainer's choice.
    var carries: [String: Tensor] = [:]
    /// The keys of the model's frozen parameters.
    var frozen: [String] = []
}

extension TrainingState {
    /// The prefix of the carries' names in a state file, among the tensors of the optimizer.
    private static let carryPrefix = "carry/"

    /// The metadata's name for the frozen keys, there only where some are.
    private static let frozenName = "frozen"

    /// The metadata's name for the validations since the best.
    private static let sinceBestName = "validations_since_best"

    /// Tokens of all steps together: more than any machine reads.
    private static let mostTokens = 1 << 60

    /// As a state file's metadata.
    private var metadata: [String: String] {
        var metadata = [
            "step": "\(step)", "tokens": "\(tokens)", "seconds": "\(seconds)", "position": position.description,
        ]
        metadata["followed"] = isFollowed ? "yes" : "no"
        metadata["validation_" + measure.rawValue] = validation.map { "\($0)" }
        metadata["best_step"] = best.map { "\($0.step)" }
        metadata["best_" + measure.rawValue] = best.map { "\($0.measure)" }
        if validationsSinceBest > 0 { metadata[Self.sinceBestName] = "\(validationsSinceBest)" }
        if !frozen.isEmpty { metadata[Self.frozenName] = JSONValue.array(frozen.map(JSONValue.string)).description }
        return metadata
    }

    func add(to writer: inout SafetensorsWriter) throws {
        writer.metadata.merge(metadata) { $1 }
        for (name, tensor) in carries.sorted(by: { $0.key < $1.key }) {
            try writer.add(Self.carryPrefix + name, tensor)
        }
    }

    /// The step of the best validation so far, without reading all of a state file; nil where there was none.
    static func bestStep(_ file: SafetensorsFile) -> Int? { file.metadata["best_step"].flatMap { Int($0) } }

    /// The keys that were frozen, without reading all of a state file.
    /// - Throws: `InputError` that names the file, where the metadata do not list them.
    static func frozen(_ file: SafetensorsFile) throws -> [String] {
        guard let text = file.metadata[frozenName] else { return [] }
        let name = "\(file.path), \(frozenName)"
        guard case .array(let keys) = try JSONValue(parsing: text.utf8, file: name) else {
            throw InputError("\(name): expected a list of keys, found \(JSONValue.quoted(text))")
        }
        return try keys.map { key in
            guard case .string(let key) = key else {
                throw InputError("\(name): expected a list of keys, found \(key)")
            }
            return key
        }
    }

    /// Reads the state of an open file.
    /// - Throws: `InputError` that names the file and what is missing.
    init(_ file: SafetensorsFile) throws {
        func value<Value>(_ key: String, _ expected: String, _ read: (String) throws -> Value?) throws -> Value {
            guard let text = file.metadata[key], let value = try read(text) else {
                let found = file.metadata[key].map { "found \(JSONValue.quoted($0))" } ?? "found nothing"
                throw InputError("\(file.path): metadata \"\(key)\": expected \(expected), \(found)")
            }
            return value
        }
        func optional<Value>(_ key: String, _ expected: String, _ read: (String) -> Value?) throws -> Value? {
            file.metadata[key] == nil ? nil : try value(key, expected, read)
        }
        let steps = 0...TrainingOptions.mostSteps
        func whole(_ range: ClosedRange<Int>) -> (String) -> Int? {
            { text in Int(text).flatMap { range.contains($0) ? $0 : nil } }
        }
        func number(_ text: String) -> Double? { Double(text).flatMap { (0...1e12).contains($0) ? $0 : nil } }
        let expected = "a number from 0 to 1e12"
        step = try value("step", "a whole number from 0 to \(steps.upperBound)", whole(steps))
        tokens = try value("tokens", "a whole number from 0 to \(Self.mostTokens)", whole(0...Self.mostTokens))
        seconds = try value("seconds", expected, number)
        measure = ["validation_loss", "best_loss"].contains { file.metadata[$0] != nil } ? .loss : .bitsPerByte
        // A loss of the program's own may be negative.
        func measured(_ text: String) -> Double? {
            measure == .bitsPerByte ? number(text) : Double(text).flatMap { $0.isFinite ? $0 : nil }
        }
        let size = measure == .bitsPerByte ? expected : "a finite number"
        validation = try optional("validation_" + measure.rawValue, size, measured)
        if let best = try optional("best_step", "a whole number from 0 to step \(step)", whole(0...step)) {
            self.best = BestValidation(step: best, measure: try value("best_" + measure.rawValue, size, measured))
        }
        validationsSinceBest =
            try optional(Self.sinceBestName, "a whole number from 0 to step \(step)", whole(0...step)) ?? 0
        isFollowed = try value("followed", "yes or no") { ["yes": true, "no": false][$0] }
        position = try value("position", "JSON") { try JSONValue(parsing: $0.utf8, file: "\(file.path), position") }
        frozen = try Self.frozen(file)
        for name in file.names where name.hasPrefix(Self.carryPrefix) {
            carries[String(name.dropFirst(Self.carryPrefix.count))] = try file.tensor(name)
        }
    }
}
