import Foundation
import ModelZoo

/// A reader of files from outside, as the tests and the fuzzer call it: bytes in, read or refused. Whatever the bytes are,
/// it must come back, and a refusal must be one line.
///
/// Not for several threads: each reader writes its inputs to a folder of its own.
public final class InputReader {
    public enum Outcome: Hashable, Sendable {
        case read
        /// With the error's message.
        case refused(String)
    }

    /// Inputs by name.
    public typealias Samples = [String: [UInt8]]

    public let name: String
    /// Files that are as they should be.
    public let valid: Samples
    /// Files that may be refused: what people give by mistake, damaged and hostile files.
    public let doubtful: Samples
    /// Words of the format, for the fuzzer's dictionary.
    public let words: [String]

    private let folder: InputFolder
    private let file: String
    private let body: (_ path: String) throws -> Void

    /// - Parameters:
    ///   - file: the name that an input gets in the reader's folder.
    ///   - body: reads the file at a path; a check that fails stops the program.
    init(
        _ name: String, file: String, in folder: InputFolder, valid: Samples, doubtful: Samples = [:],
        words: [String] = [], _ body: @escaping (_ path: String) throws -> Void
    ) {
        (self.name, self.file, self.folder, self.valid) = (name, file, folder, valid)
        (self.doubtful, self.words, self.body) = (doubtful.merging(wrongFiles) { $1 }, words, body)
    }

    /// Reads bytes as a file.
    public func outcome(of bytes: [UInt8]) throws -> Outcome {
        let path = try folder.write(bytes, file)
        do {
            try body(path)
            return .read
        } catch let error as InputError {
            return .refused(error.message)
        } catch let error as TrainingFault {
            return .refused(error.message)
        }
    }

    /// Calls what must hold for any bytes: an error is one line of text.
    public func check(_ bytes: [UInt8]) throws {
        guard case .refused(let message) = try outcome(of: bytes) else { return }
        let isLine = !message.isEmpty && !message.unicodeScalars.contains { $0.properties.generalCategory == .control }
        precondition(isLine, "\(name): the error is not one line: \(message.debugDescription)")
    }
}

// MARK: The readers

extension InputReader {
    private static let makers: KeyValuePairs<String, @Sendable () throws -> InputReader> = [
        "safetensors": safetensors, "weights-index": weightsIndex, "batch": batch, "json": json, "tokenizer": tokenizer,
        "model-configuration": modelConfiguration, "run-configuration": runConfiguration, "metrics": metrics,
        "training-state": trainingState, "generation-state": generationState, "gzip": gzip, "text": text,
    ]

    /// The names of all readers.
    public static let names = makers.map(\.key)

    /// The reader of a name; nil where there is none.
    public static func make(_ name: String) throws -> InputReader? {
        try makers.first { $0.key == name }?.value()
    }
}

/// Files that are of no format here.
private let wrongFiles: InputReader.Samples = [
    "empty": [],
    "zeros": Array(repeating: 0, count: 64),
    "page.html": Array("<!DOCTYPE html>\n<html><body>Not Found</body></html>\n".utf8),
    "lfs-pointer": Array("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 162624\n".utf8),
    "zip": [0x50, 0x4B, 3, 4, 0, 0, 8, 8] + Array("archive/data.pkl".utf8),
    "pickle": [0x80, 2, 0x7D, 0x71, 0, 0x2E],
    "gzip": [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 0xFF, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    "gguf": Array("GGUF".utf8) + [3, 0, 0, 0] + Array(repeating: 0, count: 16),
    "utf-16": [0xFF, 0xFE, 0x7B, 0, 0x7D, 0],
    "latin-1": [0x63, 0x61, 0x66, 0xE9, 0x0A],
]
