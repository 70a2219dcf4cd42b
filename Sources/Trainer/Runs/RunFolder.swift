import CZlib
import Foundation
import NN
import Tensors

/// The folder of a training run: config.json, weights.safetensors, state-STEP.safetensors (what else training needs to go
/// on), metrics.jsonl, and tokenizer.json where the tokenizer has learned something.
///
/// A save cannot be torn: the state of a step goes to a file of its own first, then the weights, which name their step,
/// replace the old ones in one piece, and only then is the old state removed. Whenever the machine stops, the weights
/// there are have the state of their step beside them.
public struct RunFolder: Sendable {
    public let path: String

    public var configurationPath: String { path + "/config.json" }
    public var weightsPath: String { path + "/weights.safetensors" }
    public var metricsPath: String { path + "/metrics.jsonl" }
    func statePath(step: Int) -> String { path + "/state-\(step).safetensors" }

    // MARK: Opening

    /// Makes the folder of a new run.
    /// - Throws: `InputError` when it cannot be made, or holds a run already.
    init(creating path: String) throws {
        self.path = path
        for taken in [configurationPath, weightsPath, metricsPath]
        where FileManager.default.fileExists(atPath: taken) {
            throw InputError("\(path): holds a run already (\(taken)); expected a new folder, or --resume \(path)")
        }
        // Not through FileManager, whose errors hide the system's reason.
        let parts = path.split(separator: "/")
        for count in 1...max(parts.count, 1) {
            let folder = (path.hasPrefix("/") ? "/" : "") + parts.prefix(count).joined(separator: "/")
            if mkdir(folder, 0o777) != 0 && errno != EEXIST { throw Self.failure(path, errno) }
        }
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
            throw Self.failure(path, ENOTDIR)
        }
    }

    /// Whether a folder holds a run.
    static func isRun(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path + "/config.json") }

    /// The folder of a run that there is.
    /// - Throws: `InputError` when it is none.
    public init(path: String) throws {
        self.path = path
        guard FileManager.default.fileExists(atPath: configurationPath) else {
            throw InputError("\(path): is no run folder: expected it to hold config.json")
        }
    }

    private static func failure(_ path: String, _ code: Int32) -> InputError {
        InputError("\(path): the folder cannot be made: \(String(cString: strerror(code)))")
    }

    // MARK: Configuration and tokenizer

    /// - Throws: `InputError` that names the file and the key.
    public func configuration() throws -> RunConfiguration { try RunConfiguration(path: configurationPath) }

    func write(_ configuration: RunConfiguration) throws {
        try AtomicFile.write(Data((configuration.json.description + "\n").utf8), to: configurationPath)
    }

    /// The tokenizer the run was made with.
    public func tokenizer() throws -> any Tokenizer {
        switch try configuration().tokenizer {
        case .bytes: ByteTokenizer()
        case .characters: try TokenizerKind.load(fromFolder: path)
        }
    }

    func write(_ tokenizer: any Tokenizer) throws {
        if tokenizer.kind != .bytes { try tokenizer.save(toFolder: path) }
    }

    // MARK: Saving

    /// Where a training stands, beside the weights and what the optimiser remembers.
    struct Position: Equatable {
        var step: Int
        /// Seconds of training so far.
        var seconds: Double
    }

    func save(_ model: some Module, _ optimizer: Optimizer, at position: Position, _ origin: RunOrigin) throws {
        try optimizer.save(
            to: statePath(step: position.step),
            metadata: [
                "step": "\(position.step)", "seconds": "\(position.seconds)", "weights": checksum(model),
                "version": packageVersion,
            ])
        try model.save(
            to: weightsPath,
            metadata: [
                "step": "\(position.step)", "model": origin.model, "configuration": origin.configuration.description,
                "version": packageVersion,
            ])
        removeStates(except: position.step)
    }

    /// Reads weights and state of the last save.
    /// - Throws: `InputError` when they are missing, damaged, or do not belong together.
    func load(_ model: some Module, _ optimizer: Optimizer) throws -> Position {
        let weights = try SafetensorsFile(path: weightsPath)
        guard let step = weights.metadata["step"].flatMap(Int.init), step >= 0 else {
            throw InputError("\(weightsPath): does not say its step; expected weights saved by a training run")
        }
        let state = try SafetensorsFile(path: statePath(step: step))
        guard state.metadata["step"] == "\(step)", let seconds = state.metadata["seconds"].flatMap(Double.init) else {
            throw InputError("\(state.path): expected the training state of step \(step)")
        }
        try model.load(weights)
        guard state.metadata["weights"] == checksum(model) else {
            throw InputError("\(state.path): belongs to other weights than those in \(weightsPath)")
        }
        try optimizer.load(state)
        removeStates(except: step)
        return Position(step: step, seconds: seconds)
    }

    /// Removes the states of other saves (the one before, or one whose weights were never written) and what saves that
    /// were torn have left.
    private func removeStates(except step: Int) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        for name in names {
            let isState = name.hasPrefix("state-") && name.hasSuffix(".safetensors")
            // The temporary files of `AtomicFile`: .NAME.tmp-…
            let isTorn = name.hasPrefix(".") && name.contains(".safetensors.tmp-")
            // What cannot be removed is in nobody's way.
            if isTorn || isState && path + "/" + name != statePath(step: step) { unlink(path + "/" + name) }
        }
    }
}

/// CRC-32 over all trained weights.
private func checksum(_ model: some Module) -> String {
    var crc = crc32_z(0, nil, 0)
    for (_, parameter) in model.trainable {
        let count = parameter.count * MemoryLayout<Float>.size
        parameter.value.pointer.withMemoryRebound(to: UInt8.self, capacity: count) { crc = crc32_z(crc, $0, count) }
    }
    return String(crc, radix: 16)
}
