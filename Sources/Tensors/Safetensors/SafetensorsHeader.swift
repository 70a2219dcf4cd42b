/// The header of a safetensors file: 8 bytes with its length, then a JSON object of that many bytes.
struct SafetensorsHeader {
    /// The reference library's limit, in bytes; also the writer's.
    static let longest = 100_000_000
    static let metadataKey = "__metadata__"
    /// More than any library's tensors have.
    private static let mostDimensions = 64

    private(set) var metadata: [String: String] = [:]
    private(set) var names: [String] = []
    private(set) var entries: [String: SafetensorsFile.Entry] = [:]

    private let path: String
    /// The offset of the tensors' first byte.
    private let dataStart: Int

    /// Reads and checks the header of a whole file's bytes; `path` is for messages.
    init(file: UnsafeRawBufferPointer, path: String) throws {
        self.path = path
        if let kind = ForeignFile(file) {
            throw InputError("\(path): is \(kind.rawValue); expected a safetensors file\(kind.advice)")
        }
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
        var parser = JSONParser(bytes: Array(json), file: "\(path): header")
        var hasMetadata = false
        // An entry takes some 60 bytes; a dictionary that grows hashes all its names again each time.
        entries.reserveCapacity(json.count / 60)
        try parser.members { parser, name in
            guard entries[name] == nil, name != Self.metadataKey || !hasMetadata else {
                throw InputError(
                    "\(path): header: key \(name.shortened.debugDescription) stands twice; expected it once")
            }
            let value = try parser.value()
            if name == Self.metadataKey {
                hasMetadata = true
                metadata = try Self.metadata(value, path: path)
            } else {
                names.append(name)
                entries[name] = try makeEntry(name, value)
            }
        }
    }

    private static func metadata(_ value: JSONValue, path: String) throws -> [String: String] {
        if case .null = value { return [:] }  // as the reference library reads it
        guard let members = value.objectValue else {
            throw InputError("\(path): \(metadataKey): expected an object of strings, found \(value.kindAndValue)")
        }
        return try members.mapValues { member in
            guard let text = member.stringValue else {
                throw InputError("\(path): \(metadataKey): expected strings, found \(member.kindAndValue)")
            }
            return text
        }
    }

    private func makeEntry(_ name: String, _ value: JSONValue) throws -> SafetensorsFile.Entry {
        guard let fields = value.objectValue else {
            throw failure(name, "expected an object with dtype, shape and data_offsets, found \(value.kindAndValue)")
        }
        if let unknown = fields.keys.filter({ !Self.fields.contains($0) }).min() {
            throw failure(
                name, "unknown field \(unknown.shortened.debugDescription); expected dtype, shape and data_offsets")
        }
        func field(_ key: String) throws -> JSONValue {
            guard let value = fields[key] else {
                throw failure(name, "no \(key); expected dtype, shape and data_offsets")
            }
            return value
        }
        let dtype = try field("dtype")
        guard let type = dtype.stringValue else {
            throw failure(name, "expected dtype as a string, found \(dtype.kindAndValue)")
        }
        return try makeEntry(
            name, SafetensorsType(rawValue: type), shape: integers(name, "shape", field("shape")),
            offsets: integers(name, "data_offsets", field("data_offsets")))
    }

    private static let fields = ["dtype", "shape", "data_offsets"]

    /// Numbers that are written without fraction.
    private func integers(_ name: String, _ field: String, _ value: JSONValue) throws -> [Int] {
        guard let list = value.arrayValue, list.count <= Self.mostDimensions else {
            throw failure(
                name,
                "expected \(field) as a list of at most \(Self.mostDimensions) integers, found \(value.kindAndValue)")
        }
        return try list.map { element in
            guard case .integer(let number) = element, number >= 0 else {
                throw failure(name, "\(field): expected integers from 0 to \(Int.max), found \(element.kindAndValue)")
            }
            return number
        }
    }

    // MARK: Checks

    private func makeEntry(
        _ name: String, _ type: SafetensorsType, shape: [Int], offsets: [Int]
    ) throws -> SafetensorsFile.Entry {
        guard offsets.count == 2 else {
            throw failure(name, "data_offsets \(offsets) has \(offsets.count) numbers; expected [begin, end]")
        }
        guard offsets[0] <= offsets[1] else {
            throw failure(name, "data_offsets \(offsets) are reversed; expected [begin, end]")
        }
        guard SafetensorsType.elementCount(shape: shape) != nil else {
            throw failure(name, "shape \(shape) overflows; expected at most \(Int.max) bytes")
        }
        // How many bytes there should be of a type that nothing is known about cannot be checked.
        if type.bitCount != nil {
            guard let size = type.byteCount(shape: shape) else {
                throw failure(
                    name,
                    "shape \(shape) "
                        + (type.bitCount! % 8 == 0
                            ? "overflows; expected at most \(Int.max) bytes"
                            : "of \(type.rawValue) fills no whole bytes"))
            }
            guard offsets[1] - offsets[0] == size else {
                throw failure(
                    name,
                    "data_offsets \(offsets) hold \(offsets[1] - offsets[0]) bytes; expected \(size) for"
                        + " \(type.rawValue) \(shape)")
            }
        }
        guard offsets[1] <= Int.max - dataStart else { throw failure(name, "data_offsets \(offsets) overflow") }
        return SafetensorsFile.Entry(
            dtype: type, shape: shape, byteRange: dataStart + offsets[0]..<dataStart + offsets[1])
    }

    /// The tensors must cover the data without overlap, gap or rest.
    private func checkCoverage(dataSize: Int) throws {
        // Places are looked up once each: a header may have a million of them.
        let places = names.indices.map { index in
            let range = entries[names[index]]!.byteRange
            return (begin: range.lowerBound - dataStart, end: range.upperBound - dataStart, index: index)
        }
        var covered = 0
        var previous = 0
        for (begin, end, index) in places.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
            guard end <= dataSize else {
                throw failure(
                    names[index], "ends at byte \(end) of the data, of which the file has \(dataSize); truncated?")
            }
            guard begin >= covered else {
                throw failure(
                    names[index], "begins at byte \(begin), inside tensor \(names[previous].shortened.debugDescription)"
                )
            }
            guard begin == covered else {
                throw failure(
                    names[index], "begins at byte \(begin); expected \(covered), where the bytes before it end")
            }
            covered = end
            previous = index
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
