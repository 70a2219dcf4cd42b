/// Writes a safetensors file: collect the tensors with `add`, then `write`.
///
/// Tensors are streamed from where they are: no second copy of the data is made. Each lies at a multiple of its element
/// size, because the header is padded with spaces to 8 bytes and the data of wider types comes first.
public struct SafetensorsWriter {
    /// The order of the names in the header.
    public enum Order: Sendable {
        case byName, asAdded
    }

    /// Hands the bytes of a tensor, in any number of parts, row-major and little-endian, to the function it is given.
    public typealias Source = (_ output: (UnsafeRawBufferPointer) throws -> Void) throws -> Void

    private struct Entry {
        let name: String
        let dtype: SafetensorsType
        let shape: [Int]
        let size: Int
        let source: Source
        var begin = 0
    }

    /// The file's `__metadata__`, left out when empty.
    public var metadata: [String: String]
    private let order: Order
    private var entries: [Entry] = []
    private var names = Set<String>()

    /// - Parameter metadata: the file's `__metadata__`, left out when empty.
    public init(metadata: [String: String] = [:], order: Order = .byName) {
        self.metadata = metadata
        self.order = order
    }

    // MARK: Tensors

    /// Adds F32 elements, row-major; `shape` is `[]` for a scalar.
    /// - Throws: `InputError` when the name is taken or reserved, or the shape does not hold that many elements.
    public mutating func add(_ name: String, shape: [Int], floats: [Float]) throws {
        try add(name, .float32, shape: shape, elements: floats)
    }

    /// Adds I32 elements; see `add(_:shape:floats:)`.
    public mutating func add(_ name: String, shape: [Int], int32s: [Int32]) throws {
        try add(name, .int32, shape: shape, elements: int32s)
    }

    /// Adds I64 elements; see `add(_:shape:floats:)`.
    public mutating func add(_ name: String, shape: [Int], int64s: [Int64]) throws {
        try add(name, .int64, shape: shape, elements: int64s)
    }

    private mutating func add(_ name: String, _ dtype: SafetensorsType, shape: [Int], elements: [some Any]) throws {
        if let size = dtype.byteCount(shape: shape), size != elements.count * dtype.size {
            throw failure(name, "has \(elements.count) elements; expected \(size / dtype.size) for shape \(shape)")
        }
        try add(name, dtype: dtype, shape: shape) { output in try elements.withUnsafeBytes { try output($0) } }
    }

    /// Adds a tensor whose bytes `source` hands over during `write`, once.
    /// - Throws: `InputError` when the name is taken or reserved, or the shape has no size.
    public mutating func add(
        _ name: String, dtype: SafetensorsType, shape: [Int], source: @escaping Source
    ) throws {
        guard name != SafetensorsHeader.metadataKey else { throw failure(name, "this name is reserved") }
        guard dtype.bitCount != nil else {
            throw failure(name, "nothing is known of the type \(dtype.rawValue.shortened)")
        }
        guard let size = dtype.byteCount(shape: shape) else {
            throw failure(name, "shape \(shape) is negative or overflows")
        }
        guard names.insert(name).inserted else { throw failure(name, "is added twice; expected once") }
        entries.append(Entry(name: name, dtype: dtype, shape: shape, size: size, source: source))
    }

    // MARK: Writing

    /// Writes the file in one piece, as `AtomicFile` does: on any error the old file is untouched.
    /// - Throws: `InputError` that names the path and the system's reason, or the tensor whose source handed over more or
    ///   fewer bytes than its shape says; and what a source throws.
    public func write(to path: String) throws {
        let entries = laidOut
        let header = try header(entries, path: path)
        try AtomicFile.write(to: path) { output in
            try header.withUnsafeBytes { try output.write($0) }
            for entry in entries {
                var written = 0
                try entry.source { bytes in
                    written += bytes.count
                    guard written <= entry.size else { return }
                    try output.write(bytes)
                }
                guard written == entry.size else {
                    throw safetensorsError(
                        path, tensor: entry.name, "its source gave \(written) bytes; expected \(entry.size)")
                }
            }
        }
    }

    /// Hands over the bytes of all tensors in the order in which the file will have them: for a checksum of what is
    /// going to be written. A source is then asked twice.
    public func read(_ output: (UnsafeRawBufferPointer) throws -> Void) throws {
        for entry in laidOut { try entry.source(output) }
    }

    /// The tensors with their places, those of wider types first.
    private var laidOut: [Entry] {
        var entries = entries.sorted { $0.dtype.size > $1.dtype.size }
        var end = 0
        for i in entries.indices {
            entries[i].begin = end
            end += entries[i].size
        }
        return entries
    }

    /// The length and the padded JSON. `laidOut` has the places of the data.
    private func header(_ laidOut: [Entry], path: String) throws -> [UInt8] {
        var members: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
            members.append("\(quoted(SafetensorsHeader.metadataKey)):{\(pairs.joined(separator: ","))}")
        }
        let places = Dictionary(uniqueKeysWithValues: laidOut.map { ($0.name, $0.begin) })
        for entry in order == .byName ? entries.sorted(by: { $0.name < $1.name }) : entries {
            let begin = places[entry.name]!
            let shape = entry.shape.map(String.init).joined(separator: ",")
            members.append(
                "\(quoted(entry.name)):{\"dtype\":\"\(entry.dtype.rawValue)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(begin),\(begin + entry.size)]}")
        }
        var json = Array("{\(members.joined(separator: ","))}".utf8)
        json.append(contentsOf: repeatElement(UInt8(ascii: " "), count: -json.count & 7))
        guard json.count <= SafetensorsHeader.longest else {
            throw InputError(
                "\(path): cannot be written: a header of \(json.count) bytes; expected at most \(SafetensorsHeader.longest)"
            )
        }
        return withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init) + json
    }

    private func failure(_ name: String, _ message: String) -> InputError {
        InputError("safetensors: tensor \(name.shortened.debugDescription): \(message)")
    }
}

/// A JSON string.
private func quoted(_ text: String) -> String {
    var json = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": json += "\\\(scalar)"
        case "\u{0}"..<" ": json += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
        default: json.unicodeScalars.append(scalar)
        }
    }
    return json + "\""
}
