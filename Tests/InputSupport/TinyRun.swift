import Foundation
import ModelZoo

/// A run of two steps: a block-recurrent model on streams, so that its state has a position and memories; SGD, so that the
/// optimizer remembers nothing that would make the file large.
struct TinyRun {
    let folder: InputFolder
    private let split: DataSplit
    private static let model = "block-recurrent"

    init() throws {
        folder = try InputFolder()
        let text = try TextSource(String(repeating: "to be, or not to be\n", count: 20), name: "a text")
        split = try DataSplit(ByteTokenizer().tokens(of: text), sequenceLength: 8)
        try FileManager.default.removeItem(atPath: folder.path)
        try begin(tinyModel(Self.model))
    }

    private func begin(_ model: some LanguageModel) throws {
        let options = TrainingOptions(
            order: .sequential, sequenceLength: 8, batchSize: 2, length: .steps(2), optimizer: .sgd(),
            learningRate: 0.1,
            validateEvery: 2, sampleEvery: 0, saveEvery: 2)
        try TrainingRun(model, on: split, tokenizer: ByteTokenizer(), options: options, folder: folder.path).train()
    }

    /// A file of the run.
    func bytes(_ name: String) throws -> [UInt8] { try contents(ofFile: folder.path + "/" + name) }

    /// Resumes the run, or a copy of it in another folder, for one more step.
    func resume(_ path: String) throws { try resume(path, tinyModel(Self.model)) }

    private func resume(_ path: String, _ model: some LanguageModel) throws {
        let run = try TrainingRun(resuming: RunFolder(path: path), model, on: split, tokenizer: ByteTokenizer()) {
            $0.length = .steps(3)
        }
        try run.train(until: 3)
        try run.folder?.writeReport()
    }
}

/// The same file with another text for a key of the metadata, where it has one; the header's length follows.
func changingMetadata(_ bytes: [UInt8], _ key: String, _ value: String) -> [UInt8] {
    let length = Int(bytes[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    let (header, data) = (bytes[8..<8 + length], bytes[(8 + length)...])
    let (quote, backslash) = (UInt8(ascii: "\""), UInt8(ascii: "\\"))
    let mark = Array("\"\(key)\":\"".utf8)
    guard let place = header.indices.first(where: { header[$0...].starts(with: mark) }) else { return bytes }
    // The value ends with the first quote that is not escaped.
    var end = place + mark.count
    while end < header.endIndex, header[end] != quote { end += header[end] == backslash ? 2 : 1 }
    guard end < header.endIndex else { return bytes }
    let changed = header[..<place] + mark + Array(value.utf8) + header[end...]
    return withUnsafeBytes(of: UInt64(changed.count).littleEndian, Array.init) + changed + data
}

/// The same state of a checkpoint with the CRC-32 of its contents: as its author would have made it.
func withChecksum(_ bytes: [UInt8], of file: SafetensorsFile) throws -> [UInt8] {
    var crc = UInt32.max
    func update(_ bytes: some Sequence<UInt8>) {
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
        }
    }
    for (key, value) in file.metadata.sorted(by: { $0.key < $1.key }) where key != "crc32" {
        update("\(key)=\(value)\n".utf8)
    }
    for (name, _) in file.entries.sorted(by: { $0.value.byteRange.lowerBound < $1.value.byteRange.lowerBound }) {
        try file.withUnsafeBytes(of: name) { update($0) }
    }
    return changingMetadata(bytes, "crc32", String(format: "%08x", ~crc))
}
