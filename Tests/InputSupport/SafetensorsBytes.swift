import ModelZoo

/// A file of a header and data, with the header's length before it.
func safetensorsBytes(_ header: String, _ data: [UInt8] = []) -> [UInt8] {
    let header = Array(header.utf8)
    return withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init) + header + data
}

/// The same file with the length that its header has, where that is wrong: a change inside the header would be found no
/// further than there otherwise. The header ends with the last brace.
func withHeaderLength(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.count > 8, let end = bytes.lastIndex(of: UInt8(ascii: "}")), end >= 8 else { return bytes }
    let length = bytes[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length > UInt64(bytes.count - 8) else { return bytes }
    return withUnsafeBytes(of: UInt64(end - 7).littleEndian, Array.init) + bytes[8...]
}

/// Every tensor of a file by all that reads one.
func readTensors(of file: SafetensorsFile) throws {
    for name in file.names {
        let entry = try file.entry(name)
        let size = try file.withUnsafeBytes(of: name) { $0.count }
        precondition(size == entry.byteRange.count, "\(name): \(size) bytes for \(entry.byteRange)")
        let floats = try? file.tensor(name)
        precondition(floats == nil || floats!.shape == entry.shape, "\(name): \(floats!.shape) for \(entry.shape)")
        let tokens = try? file.tokens(name)
        precondition(tokens == nil || tokens!.shape == entry.shape, "\(name): \(tokens!.shape) for \(entry.shape)")
    }
}

/// The four bytes of each number.
func float32s(_ values: [Float]) -> [UInt8] {
    values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
}

/// The eight bytes of each number.
func int64s(_ values: [Int64]) -> [UInt8] { values.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) } }
