/// The header of a safetensors file: 8 bytes with its length, then a JSON object of that many bytes.
struct SafetensorsHeader {
    /// The reference library's limit, in bytes; also the writer's.
    static let longest = 100_000_000
    static let metadataKey = "__metadata__"

    private(set) var metadata: [String: String] = [:]
    private(set) var names: [String] = []
    private(set) var entries: [String: SafetensorsFile.Entry] = [:]

    private let path: String
    /// Where the tensors' bytes begin.
    private let dataStart: Int

    /// Reads and checks the header of a whole file's bytes; `path` is for messages.
    init(file: UnsafeRawBufferPointer, path: String) throws {
        self.path = path
        guard file.count >= 8 else {
            throw InputError("\(path): has \(file.count) bytes; expected a safetensors file, of 8 or more")
        }
        let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        guard length <= Self.longest else {
            throw InputError(
                "\(path): header length \(length) is over the limit of \(Self.longest) bytes; expected a safetensors file"
            )
        }
        dataStart = 8 + Int(length)
        guard dataStart <= file.count else {
            throw InputError(
                "\(path): truncated: header of \(length) bytes in a file of \(file.count); expected \(dataStart) or more"
            )
        }
        let json = UnsafeRawBufferPointer(rebasing: file[8..<dataStart])
        guard String(validating: json, as: UTF8.self) != nil else {
            throw InputError("\(path): header is not UTF-8; expected a JSON object")
        }
        try read(json)
        try checkCoverage(dataSize: file.count - dataStart)
    }

    // MARK: JSON

    private mutating func read(_ json: UnsafeRawBufferPointer) throws {
        var scanner = SafetensorsScanner(header: json, path: path)
        try scanner.object(expected: "a JSON object") { scanner, name in
            scanner.context = name == Self.metadataKey ? name : "tensor \(name.debugDescription)"
            if name == Self.metadataKey {
                try readMetadata(&scanner)
            } else {
                names.append(name)
                entries[name] = try readEntry(name, &scanner)
            }
            scanner.context = "header"
        }
        try scanner.end()
    }

    private mutating func readMetadata(_ scanner: inout SafetensorsScanner) throws {
        try scanner.object(expected: "an object of strings") { scanner, key in
            metadata[key] = try scanner.string(expected: "a string for \(key.debugDescription)")
        }
    }

    private func readEntry(_ name: String, _ scanner: inout SafetensorsScanner) throws -> SafetensorsFile.Entry {
        var dtype: String?
        var shape: [Int]?
        var offsets: [Int]?
        try scanner.object(expected: "an object with dtype, shape and data_offsets") { scanner, field in
            switch field {
            case "dtype": dtype = try scanner.string(expected: "dtype as a string")
            case "shape": shape = try scanner.integers(expected: "shape as a list of integers")
            case "data_offsets": offsets = try scanner.integers(expected: "data_offsets as [begin, end]")
            default:
                throw failure(name, "unknown field \(field.debugDescription); expected dtype, shape and data_offsets")
            }
        }
        guard let dtype, let shape, let offsets else {
            let absent = dtype == nil ? "dtype" : shape == nil ? "shape" : "data_offsets"
            throw failure(name, "no \(absent); expected dtype, shape and data_offsets")
        }
        return try makeEntry(name, dtype: dtype, shape: shape, offsets: offsets)
    }

    // MARK: Checks

    private func makeEntry(
        _ name: String, dtype: String, shape: [Int], offsets: [Int]
    ) throws -> SafetensorsFile.Entry {
        guard let type = SafetensorsType(rawValue: dtype) else {
            throw failure(name, "unknown dtype \(dtype.debugDescription); expected one of \(SafetensorsType.list)")
        }
        guard let size = type.byteCount(shape: shape) else {
            throw failure(name, "shape \(shape) overflows; expected at most \(Int.max) bytes")
        }
        guard offsets.count == 2 else {
            throw failure(name, "data_offsets \(offsets) has \(offsets.count) numbers; expected [begin, end]")
        }
        guard offsets[0] <= offsets[1] else {
            throw failure(name, "data_offsets \(offsets) are reversed; expected [begin, end]")
        }
        guard offsets[1] - offsets[0] == size else {
            throw failure(
                name,
                "data_offsets \(offsets) hold \(offsets[1] - offsets[0]) bytes; expected \(size) for \(dtype) \(shape)")
        }
        guard offsets[1] <= Int.max - dataStart else { throw failure(name, "data_offsets \(offsets) overflow") }
        return SafetensorsFile.Entry(
            dtype: type, shape: shape, byteRange: dataStart + offsets[0]..<dataStart + offsets[1])
    }

    /// The tensors must cover the data without overlap, gap or rest.
    private func checkCoverage(dataSize: Int) throws {
        func position(_ name: String) -> (Int, Int) {
            let range = entries[name]!.byteRange
            return (range.lowerBound - dataStart, range.upperBound - dataStart)
        }
        var covered = 0
        var previous = ""
        for name in names.sorted(by: { position($0) < position($1) }) {
            let (begin, end) = position(name)
            guard end <= dataSize else {
                throw failure(name, "ends at byte \(end) of the data, of which the file has \(dataSize); truncated?")
            }
            guard begin >= covered else {
                throw failure(name, "begins at byte \(begin), inside tensor \(previous.debugDescription)")
            }
            guard begin == covered else {
                throw failure(name, "begins at byte \(begin); expected \(covered), where the bytes before it end")
            }
            covered = end
            previous = name
        }
        guard covered == dataSize else {
            throw InputError(
                "\(path): \(dataSize - covered) bytes after the last tensor; expected the file to end with its data")
        }
    }

    private func failure(_ name: String, _ message: String) -> InputError {
        safetensorsError(path, tensor: name, message)
    }
}
