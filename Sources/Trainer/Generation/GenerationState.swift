import Foundation
import NN
import Tensors

/// Where a text stands while it is generated: all it takes to go on with it, here or in another process.
public struct GenerationState<Model: LanguageModel>: Sendable {
    /// What the model has read.
    public var decoding: Model.DecodingState
    /// The tokens that it has not read yet: the last one chosen.
    public var unread: [Int32]
    /// How many tokens have been chosen; the draws of sampling depend on it.
    public var position: Int
    /// The beginning of a character that is not complete yet, in UTF-8.
    public var pending: [UInt8]

    public init(decoding: Model.DecodingState, unread: [Int32], position: Int, pending: [UInt8] = []) {
        (self.decoding, self.unread, self.position, self.pending) = (decoding, unread, position, pending)
    }
}

extension LanguageModel {
    /// Continues a text from its beginning, or from where it stood; see the other `generate` for what is not said here.
    ///
    ///     var state: GenerationState<FastWeightsLM>?
    ///     for prompt in ["To be", " and then"] {
    ///         try model.generate(prompt, state: &state, length: 100, tokenizer: tokenizer)
    ///     }
    ///
    /// As one call of 200 tokens would give, two of 100 do, whatever the sampling.
    /// - Parameters:
    ///   - prompt: follows what was read and generated before; may be empty unless the text begins.
    ///   - state: nil for a text that begins; afterwards where it stands. A character whose beginning alone has been generated
    ///     is shown by the call that completes it.
    /// - Returns: the continuation, without the prompt.
    @discardableResult
    public func generate(
        _ prompt: String = "", state: inout GenerationState<Self>?, length: Int, tokenizer: any Tokenizer,
        sampling: SamplingOptions = SamplingOptions(), onText: (String) throws -> Void = { _ in }
    ) throws -> String {
        let tokens = try tokenizer.encode(prompt)
        let vocabularySize = tokenizer.vocabularySize
        var generator =
            if let state {
                try TokenGenerator(
                    self, continuing: state, prompt: tokens, length: length, sampling: sampling,
                    vocabularySize: vocabularySize)
            } else {
                try TokenGenerator(
                    self, prompts: [tokens], length: length, sampling: sampling, vocabularySize: vocabularySize)
            }
        var decoder = StreamingDecoder(tokenizer, pending: state?.pending ?? [])
        var text = ""
        func pass(_ piece: String) throws {
            if piece.isEmpty { return }
            text += piece
            try onText(piece)
        }
        // Another text cannot complete a character.
        if !tokens.isEmpty { try pass(decoder.finish()) }
        for _ in 0..<max(length, 0) {
            guard let tokens = try generator.next() else { break }
            try pass(decoder.append(tokens[0]))
        }
        state = generator.state(ofRow: 0)
        state?.pending = decoder.pending
        return text
    }

    // MARK: Files

    /// Writes where a text stands to a safetensors file, in one piece: what the model remembers as `carry/NAME`, `unread`, and
    /// `pending`, the bytes of an incomplete character.
    /// - Parameter origin: what else is compared when it is loaded, by name, such as the kind of the tokenizer.
    /// - Throws: `InputError` when the model's state cannot be saved, or the file cannot be written.
    public func save(_ state: GenerationState<Self>, to path: String, origin: [String: String] = [:]) throws {
        guard let carry = carry(of: state.decoding) else {
            throw InputError("\(path): cannot be written: the model's decoding state cannot be saved")
        }
        var writer = SafetensorsWriter(
            metadata: origin.merging(["position": "\(state.position)", GenerationFile.weights: weightsChecksum()]) {
                $1
            })
        for (name, tensor) in carry.tensors { try writer.add(GenerationFile.prefix + name, tensor) }
        try writer.add("unread", TokenTensor(state.unread))
        try writer.add("pending", TokenTensor(state.pending.map(Int32.init)))
        try writer.write(to: path)
    }

    /// Reads what `save` wrote, by a process with the same weights.
    /// - Parameter origin: what was given to `save`.
    /// - Throws: `InputError` that names the file, and what in it is missing or is not of this model.
    public func loadGenerationState(
        from path: String, origin: [String: String] = [:]
    ) throws -> GenerationState<Self> {
        let file = try GenerationFile(path: path)
        for (name, expected) in origin.sorted(by: { $0.key < $1.key }) {
            let found = try file.text(name)
            guard found == expected else {
                throw InputError("\(path): was saved with the \(name) \(found); expected the \(name) \(expected)")
            }
        }
        let (found, expected) = (try file.text(GenerationFile.weights), weightsChecksum())
        guard found == expected else {
            throw InputError(
                "\(path): was saved with other weights (checksum \(found), expected \(expected)); expected those of now"
            )
        }
        return GenerationState(
            decoding: try file.naming { try decodingState(after: Carry(tensors: file.carried())) },
            unread: try file.numbers("unread", below: vocabularySize), position: try file.position(),
            pending: try file.numbers("pending", below: 256).map { UInt8($0) })
    }

    /// The CRC-32 of the names and values of all parameters, eight hexadecimal digits.
    private func weightsChecksum() -> String {
        var checksum = CRC32()
        for (key, parameter) in state {
            Array(key.utf8).withUnsafeBytes { checksum.update($0) }
            parameter.value.detached().contiguous().values.withUnsafeBytes { checksum.update($0) }
        }
        return String(format: "%08x", checksum.value)
    }
}

/// A file with the state of a text.
private struct GenerationFile {
    static let prefix = "carry/"
    static let weights = "weights_crc32"

    private let file: SafetensorsFile

    init(path: String) throws { file = try SafetensorsFile(path: path) }

    /// A metadata entry.
    func text(_ name: String) throws -> String {
        if let text = file.metadata[name] { return text }
        throw InputError(
            "\(file.path): its metadata do not say \"\(name)\"; expected a file that Generate --save-state wrote")
    }

    func position() throws -> Int {
        let text = try text("position")
        guard let position = Int(text), position >= 0 else {
            throw InputError(
                "\(file.path): metadata \"position\": expected a whole number of at least 0, found \"\(text)\"")
        }
        return position
    }

    func numbers(_ name: String, below limit: Int) throws -> [Int32] {
        let numbers = try file.tokens(name)
        guard numbers.shape.count == 1 else {
            throw InputError("\(file.path): \"\(name)\": expected one axis, found the shape \(numbers.shape)")
        }
        if let other = numbers.firstOutside(limit) {
            throw InputError("\(file.path): \"\(name)\": expected numbers from 0 to \(limit - 1), found \(other)")
        }
        return numbers.values
    }

    func carried() throws -> [String: Tensor] {
        var tensors: [String: Tensor] = [:]
        for name in file.names where name.hasPrefix(Self.prefix) {
            tensors[String(name.dropFirst(Self.prefix.count))] = try file.tensor(name)
        }
        return tensors
    }

    /// Puts the file's name before the errors of a model that knows its tensors only.
    func naming<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as InputError {
            throw InputError("\(file.path): \(error.message)")
        }
    }
}
