/// A safetensors file, memory-mapped: its header is read and checked as a whole, the tensors' bytes when asked for.
///
/// Whatever the reference library refuses is refused: a file that opens is covered by its tensors without overlaps or
/// gaps. Beyond that, repeated names and unknown fields of an entry, which the reference lets pass, are errors. Elements
/// of any type may be in a file, also those that cannot be read here (`SafetensorsType.other`).
///
/// A file of another kind (a PyTorch checkpoint, an HTML page, a Git LFS pointer …) is called by its name.
/// The format: https://github.com/huggingface/safetensors#format
///
/// A value can be copied and read from any number of threads; the map goes with the last copy.
public struct SafetensorsFile: Sendable {
    /// The header's description of one tensor.
    public struct Entry: Hashable, Sendable {
        /// The type of the elements.
        public let dtype: SafetensorsType
        /// Empty for a scalar.
        public let shape: [Int]
        /// The range of the elements, in bytes from the file's start; row-major, little-endian.
        public let byteRange: Range<Int>

        /// The number of elements: the product of the shape.
        public var count: Int { shape.reduce(1, *) }
    }

    /// The path as given.
    public var path: String { file.path }
    /// The header's `__metadata__`; empty when it has none.
    public let metadata: [String: String]
    /// The tensors' names in the order of the header.
    public let names: [String]
    /// The tensors by name.
    public let entries: [String: Entry]

    private let file: MappedFile

    /// Maps the file and checks its header: size, JSON, types, shapes and byte ranges.
    /// - Throws: `InputError` that names the path, the tensor if it is about one, and what was expected.
    public init(path: String) throws {
        file = try MappedFile(path: path)
        let header = try file.withUnsafeBytes { try SafetensorsHeader(file: $0, path: path) }
        metadata = header.metadata
        names = header.names
        entries = header.entries
    }

    /// The entry of a tensor that must be there.
    /// - Throws: `InputError` that names the path and the tensor.
    public func entry(_ name: String) throws -> Entry {
        guard let entry = entries[name] else { throw safetensorsError(path, tensor: name, "is not in the file") }
        return entry
    }

    /// Calls `body` with a tensor's bytes as they are in the file, at any alignment.
    public func withUnsafeBytes<Result>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        let range = try entry(name).byteRange
        return try file.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
}
