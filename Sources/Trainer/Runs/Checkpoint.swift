import Foundation
import Tensors

/// One save: a folder `step-N` with the weights and all else that training needs to resume after step N.
///
/// The state's metadata hold CRC-32s of both files' contents, so a checkpoint is known to be whole before anything is
/// taken from it.
struct Checkpoint {
    let path: String
    let step: Int

    static let files = ["weights.safetensors", "state.safetensors"]
    var weightsPath: String { path + "/" + Self.files[0] }
    var statePath: String { path + "/" + Self.files[1] }

    /// The step that a folder's name says; nil for other names.
    static func step(of name: String) -> Int? {
        guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), name == "step-\(step)", step >= 0 else {
            return nil
        }
        return step
    }

    // MARK: Writing

    /// Writes the state that belongs to the weights with this checksum, in one piece, to a checkpoint's folder.
    static func writeState(
        _ optimizer: Optimizer, _ state: TrainingState, weightsChecksum checksum: String, to path: String
    ) throws {
        var writer = SafetensorsWriter(
            metadata: [formatKey: "\(runFormat)", versionKey: packageVersion, weightsKey: checksum])
        try optimizer.add(to: &writer)
        try state.add(to: &writer)
        writer.metadata[stateKey] = try Self.checksum(of: writer)
        try writer.write(to: path + "/state.safetensors")
    }

    private static let (weightsKey, stateKey) = ("weights_crc32", "crc32")
    private static let (formatKey, versionKey) = ("run_format", "version")

    // MARK: Reading

    /// The two files of a whole checkpoint, open, and what the state says.
    struct Contents {
        let weights: SafetensorsFile
        let weightsChecksum: String
        let state: SafetensorsFile
        let training: TrainingState
    }

    /// Opens the checkpoint and checks every byte.
    /// - Throws: `InputError` that names the file that is missing or damaged.
    func open() throws -> Contents {
        let state = try SafetensorsFile(path: statePath)
        try Self.check(state, against: state.metadata[Self.stateKey])
        let weights = try SafetensorsFile(path: weightsPath)
        let checksum = state.metadata[Self.weightsKey] ?? ""
        try Self.check(weights, against: checksum)
        let training = try TrainingState(state)
        guard training.step == step else {
            throw InputError("\(statePath): is of step \(training.step); expected step \(step), as its folder says")
        }
        return Contents(weights: weights, weightsChecksum: checksum, state: state, training: training)
    }

    /// Refuses a checkpoint of a newer package, which is not damaged and must not be passed over.
    /// - Throws: `InputError` that names the file.
    func refuseNewerFormat() throws {
        guard let metadata = try? SafetensorsFile(path: statePath).metadata else { return }
        try checkFormat(
            metadata[Self.formatKey].flatMap { Int($0) } ?? 1, file: statePath,
            version: metadata[Self.versionKey] ?? "unknown")
    }

    private static func check(_ file: SafetensorsFile, against expected: String?) throws {
        let found = try checksum(of: file)
        guard found == expected else {
            throw InputError(
                "\(file.path): is damaged: its contents have the CRC-32 \(found), expected \(expected ?? "none")")
        }
    }

    // MARK: Checksums

    /// Over the metadata, but for the checksum of the file itself, and the tensors in the order of the file.
    static func checksum(of writer: SafetensorsWriter) throws -> String {
        var crc = CRC32()
        crc.update(metadata: writer.metadata)
        try writer.read { crc.update($0) }
        return crc.text
    }

    private static func checksum(of file: SafetensorsFile) throws -> String {
        var crc = CRC32()
        crc.update(metadata: file.metadata)
        for (name, _) in file.entries.sorted(by: { $0.value.byteRange.lowerBound < $1.value.byteRange.lowerBound }) {
            try file.withUnsafeBytes(of: name) { crc.update($0) }
        }
        return crc.text
    }
}

extension CRC32 {
    fileprivate mutating func update(metadata: [String: String]) {
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) where key != "crc32" {
            Array("\(key)=\(value)\n".utf8).withUnsafeBytes { update($0) }
        }
    }

    fileprivate var text: String { String(format: "%08x", value) }
}
