import Foundation
import NN
import Tensors

// The state of a text in a file: what the model remembers as `carry/NAME`, `unread`, and `pending`, the bytes that
// were not given out yet; the metadata have the position, a checksum of the weights, and where model and tokenizer come from.

extension LanguageModel {
    /// Writes the state of a text to a safetensors file, in one piece.
    /// - Parameter origin: what else is compared when it is loaded, by name, such as the kind of the tokenizer.
    /// - Throws: `InputError` when the model's state cannot be saved, or the file cannot be written.
    public func save(_ state: GenerationState<Self>, to path: String, origin: [String: String] = [:]) throws {
        let state = readAhead(state)
        guard let carry = carry(of: state.decoding) else {
            throw InputError("\(path): cannot be written: the model's decoding state cannot be saved")
        }
        var writer = SafetensorsWriter(
            metadata: origin.merging(["position": "\(state.position)", GenerationFile.weights: weightsChecksum()]) {
                $1
            })
        // In an order of their own, so that the same state gives the same bytes.
        for (name, tensor) in carry.tensors.sorted(by: { $0.key < $1.key }) {
            try writer.add(GenerationFile.prefix + name, tensor)
        }
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
        try file.refuseOthers()
        return GenerationState(
            decoding: try file.naming { try decodingState(after: Carry(onlyFrom: file.carried())) },
            unread: try file.numbers("unread", below: vocabularySize, atMost: GenerationFile.mostUnread),
            position: try file.position(),
            pending: try file.numbers("pending", below: 256, atMost: GenerationFile.mostPending).map { UInt8($0) })
    }

    /// The state after all unread tokens but the last, so that continuing costs the same wherever a text is.
    private func readAhead(_ state: GenerationState<Self>) -> GenerationState<Self> {
        guard let last = state.unread.last, state.unread.count > 1 else { return state }
        var (states, state) = ([state.decoding], state)
        for start in stride(from: 0, to: state.unread.count - 1, by: GenerationFile.mostUnread) {
            let piece = state.unread[start..<min(start + GenerationFile.mostUnread, state.unread.count - 1)]
            _ = withoutGradients { decode([Array(piece)], states: &states) }
        }
        (state.decoding, state.unread) = (states[0], [last])
        return state
    }

    /// The CRC-32 of the names and values of all parameters, eight hexadecimal digits.
    private func weightsChecksum() -> String {
        var checksum = CRC32()
        for (key, parameter) in state {
            Array(key.utf8).withUnsafeBytes { checksum.update($0) }
            parameter.floats().detached().contiguous().values.withUnsafeBytes { checksum.update($0) }
        }
        return String(format: "%08x", checksum.value)
    }
}

/// A file with the state of a text.
private struct GenerationFile {
    static let prefix = "carry/"
    static let weights = "weights_crc32"
    /// `save` leaves one; other versions left as many as a prompt has, up to what is read in one piece.
    static let mostUnread = 1024
    /// The beginning of a character, and of a stop text after it.
    static let mostPending = StopTexts.longest + 3
    private static let mostPosition = 1 << 53

    private let file: SafetensorsFile

    init(path: String) throws { file = try SafetensorsFile(path: path) }

    /// A metadata entry.
    func text(_ name: String) throws -> String {
        if let text = file.metadata[name] { return text }
        throw InputError(
            "\(file.path): its metadata do not say \"\(name)\"; expected the saved state of a text")
    }

    func position() throws -> Int {
        let text = try text("position")
        guard let position = Int(text), (0...Self.mostPosition).contains(position) else {
            throw InputError(
                "\(file.path): metadata \"position\": expected a whole number from 0 to \(Self.mostPosition), found"
                    + " \(JSONValue.quoted(text))")
        }
        return position
    }

    /// - Throws: `InputError` where the file holds a tensor that is none of a text's place.
    func refuseOthers() throws {
        let others = file.names.filter { !$0.hasPrefix(Self.prefix) && !["unread", "pending"].contains($0) }.sorted()
        guard let other = others.first else { return }
        throw InputError("\(file.path): has an entry \(JSONValue.quoted(other)); expected carry/…, unread and pending")
    }

    func numbers(_ name: String, below limit: Int, atMost most: Int) throws -> [Int32] {
        // Looked at before anything is read: the shape may say anything.
        let shape = try file.entry(name).shape
        guard shape.count == 1 else {
            throw InputError("\(file.path): \"\(name)\": expected one axis, found the shape \(shape)")
        }
        guard shape[0] <= most else {
            throw InputError("\(file.path): \"\(name)\": expected at most \(most) numbers, found \(shape[0])")
        }
        let numbers = try file.tokens(name)
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
