import Foundation
import NN
import Tensors

/// The folder of a training run:
///
///     config.json                  all that is needed to make the run again
///     tokenizer.json               where the tokenizer has learned something
///     metrics.jsonl                a line a step
///     checkpoints/step-N/          weights.safetensors and state.safetensors, with which training resumes after step N
///     weights.safetensors          the best weights by validation, or the latest where nothing was validated
///     .lock                        held while the run is trained, as the folder is, so that nobody else does
///
/// `Checkpoints.swift` says why a save cannot be torn, `CutSaves.swift` what is done about one that was cut off.
public struct RunFolder: Sendable {
    /// The folder's path.
    public let path: String
    /// The step to resume from, where it is not the latest.
    let chosenStep: Int?
    /// Held as long as a value with it lives.
    private(set) var lock: RunLock?

    /// The path of config.json.
    public var configurationPath: String { path + "/config.json" }
    /// The best weights by validation, or the latest where nothing was validated; those of the checkpoint that the folder was
    /// opened for. `currentWeightsPath` is better where a training may have been killed.
    public var weightsPath: String { chosenStep.map { checkpoint($0).weightsPath } ?? bestWeightsPath }
    var bestWeightsPath: String { path + "/weights.safetensors" }
    /// The path of metrics.jsonl.
    public var metricsPath: String { path + "/metrics.jsonl" }

    // MARK: Opening

    /// Makes the folder of a new run and locks it.
    /// - Throws: `InputError` when it cannot be made, or holds a run already; `TrainingFault` when another process uses
    ///   it.
    package init(creating path: String) throws {
        try Self.requireName(path)
        (self.path, chosenStep) = (path, nil)
        try refuseRun()
        try Self.make(path)
        lock = try RunLock(folder: path)
        // Again: the one who had the lock before may have trained here meanwhile.
        try refuseRun()
        try requireOwnFiles()
    }

    /// Makes and locks `STEM-1`, or the first number that is free. Of several who do it at once each gets a folder of its
    /// own: the system makes a folder only once.
    package init(numbering stem: String) throws {
        try Self.make(AtomicFile.folder(of: stem))
        var number = 1
        while mkdir("\(stem)-\(number)", 0o777) != 0 {
            guard errno == EEXIST else { throw Self.failure("\(stem)-\(number)", errno) }
            number += 1
        }
        try self.init(creating: "\(stem)-\(number)")
    }

    /// Tells whether a folder holds a run.
    static func isRun(_ path: String) -> Bool { FileSystem.exists(path + "/config.json") }

    /// The folder of a run that there is, or one of its checkpoints (`RUN/checkpoints/step-N`): its weights are used then,
    /// or resumes the run from that checkpoint, discarding later ones.
    /// - Throws: `InputError` when it is none.
    public init(path: String) throws {
        try Self.requireName(path)
        let parts = path.split(separator: "/")
        if let name = parts.last, parts.dropLast().last == "checkpoints", let step = Checkpoint.step(of: String(name)) {
            let run = parts.dropLast(2).joined(separator: "/")
            self.path = path.hasPrefix("/") ? "/" + run : run.isEmpty ? "." : run
            chosenStep = step
        } else {
            (self.path, chosenStep) = (path, nil)
        }
        guard fileKind(configurationPath) != nil else {
            throw InputError("\(path): is no run folder: expected it to hold config.json")
        }
    }

    /// The same folder, locked.
    /// - Throws: `TrainingFault` when another process uses it.
    func locked() throws -> RunFolder {
        var folder = self
        folder.lock = try RunLock(folder: path)
        return folder
    }

    /// config.json is the last file of a run's beginning: where there is a lock without it, a beginning was interrupted, and
    /// is begun again. Where there is neither, weights and metrics are somebody's.
    private func refuseRun() throws {
        let others = FileSystem.exists(RunLock.path(in: path)) ? [] : [bestWeightsPath, metricsPath]
        for taken in [configurationPath] + others where FileSystem.exists(taken) {
            if FileSystem.kind(of: taken) == .folder { try requireOwnFiles() }
            throw OptionError(
                of: "folder",
                text: "\(path): holds a run already (\(taken)); expected a new folder, or \(resuming: path)")
        }
    }

    /// Without it, the files would be those of the root of the file system.
    private static func requireName(_ path: String) throws {
        if path.isEmpty { throw InputError("the name of a run's folder is empty; expected a folder") }
    }

    /// Makes a folder and those above it. Not through FileManager, whose errors hide the system's reason.
    private static func make(_ path: String) throws {
        guard !path.isEmpty else { return }
        let parts = path.split(separator: "/")
        for count in 1...max(parts.count, 1) {
            let folder = (path.hasPrefix("/") ? "/" : "") + parts.prefix(count).joined(separator: "/")
            if mkdir(folder, 0o777) != 0 && errno != EEXIST { throw failure(path, errno) }
        }
        guard fileKind(path) == S_IFDIR else { throw failure(path, ENOTDIR) }
    }

    private static func failure(_ path: String, _ code: Int32) -> InputError {
        InputError("\(path): the folder cannot be made: \(String(cString: strerror(code)))")
    }

    // MARK: Configuration and tokenizer

    /// - Throws: `InputError` that names the file and the key.
    public func configuration() throws -> RunConfiguration { try RunConfiguration(path: configurationPath) }

    func write(_ configuration: RunConfiguration) throws {
        try AtomicFile.write(Data((configuration.json.indented + "\n").utf8), to: configurationPath)
    }

    /// The tokenizer the run was made with.
    public func tokenizer() throws -> any Tokenizer {
        switch try configuration().tokenizer {
        case .bytes: ByteTokenizer()
        case .characters: try TokenizerKind.load(fromFolder: path)
        case .bpe: try BytePairTokenizer(path: TokenizerKind.path(inFolder: path))
        }
    }

    func write(_ tokenizer: any Tokenizer) throws {
        if tokenizer.kind != .bytes { try tokenizer.save(toFolder: path) }
    }
}
