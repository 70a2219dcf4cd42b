import Foundation
import NN
import Tensors

// Saves that were cut off.
//
// A save is made by one rename; what follows (the run's own weights, the removal of old checkpoints, the report) may not be
// reached. A hidden file says so from before that rename to the end, and who opens the run next, to train or to read it,
// does the rest. Readers do it only where nobody trains and the folder can be written; where they cannot, they read the
// weights from the checkpoint.

extension RunFolder {
    /// There while a save is under way.
    private var markPath: String { checkpointsPath + "/.saving" }

    /// Marks that a save is under way.
    /// - Returns: whether it is marked by this, and was not already by a save that was cut off.
    func beginSave() throws -> Bool {
        if FileSystem.kind(of: checkpointsPath) == .link { try requireOwnFolders() }
        try clearTornSaves()
        if !FileSystem.exists(checkpointsPath) {
            try FileSystem.makeFolder(checkpointsPath)
            try FileSystem.synchronizeFolder(path)
        }
        // Where there is no room for it there is none for the save.
        return try FileSystem.makeFile(markPath)
    }

    func endSave() throws { try FileSystem.remove(markPath) }

    /// True if the last save left something undone, of this version or another; also while it is under way.
    var isSaveCut: Bool {
        FileSystem.exists(markPath) || ((try? tornFiles)?.isEmpty == false) || unusedCheckpoint != nil
    }

    /// Does what a save left undone, unless a process trains in the folder or it cannot be written.
    /// - Parameter use: called with the run's record where there was something to do: to write a report of it.
    public func finishSave(recording use: RunRecord.Use? = nil) {
        guard chosenStep == nil, lock == nil, isSaveCut, let folder = try? locked() else { return }
        try? folder.finishCutSave(recording: use)
    }

    private func finishCutSave(recording use: RunRecord.Use?) throws {
        try requireOwnFolders()
        let (latest, contents) = try newestWhole { _ in }
        // One that is damaged is for a training to report.
        guard latest.step == savedSteps.last else { return }
        let best = contents.training.best?.step
        try clearTornSaves()
        // What is left of a damaged best is the run's weights.
        if (try? checkpoint(best ?? latest.step).open()) != nil { try renewWeights(latest: latest.step, best: best) }
        try prune(latest: latest.step, best: best, keep: configuration().training.keepCheckpoints)
        // That a report cannot be written is no reason to try all of this again.
        if let use { try? use(RunRecord(self, warn: { _ in })) }
        try endSave()
    }

    // MARK: Weights to use

    /// The file of the weights to use: `weightsPath`, or where a save was cut off before it was renewed and this cannot be
    /// made up for, that of the checkpoint.
    /// - Parameter warn: called for the latter.
    public func currentWeightsPath(warn: (String) -> Void = { _ in }) -> String {
        finishSave()
        guard let checkpoint = unusedCheckpoint else { return weightsPath }
        warn(
            "\(bestWeightsPath): is not of step \(checkpoint.step), as the last save says; using"
                + " \(checkpoint.weightsPath)")
        return checkpoint.weightsPath
    }

    /// The checkpoint that the run's weights should be of and are not. Nil where they are, where it is not whole, and where
    /// they are not the run's, as they say no step.
    private var unusedCheckpoint: Checkpoint? {
        if chosenStep != nil { return nil }
        let used = try? SafetensorsFile(path: bestWeightsPath)
        if let used, used.metadata["step"] == nil { return nil }
        for step in savedSteps.reversed() {
            // The header will do where nothing is wrong.
            guard let state = try? SafetensorsFile(path: checkpoint(step).statePath) else { continue }
            let best = TrainingState.bestStep(state) ?? step
            if used?.metadata["step"] == "\(best)" { return nil }
            guard (try? checkpoint(step).open()) != nil else { continue }
            return (try? checkpoint(best).open()) != nil ? checkpoint(best) : nil
        }
        return nil
    }

    // MARK: Torn files

    /// Removes what saves that were torn have left.
    func clearTornSaves() throws { for path in try tornFiles { try FileSystem.remove(path) } }

    /// The hidden files and folders of saves that did not come to a rename, and checkpoints about to be removed.
    private var tornFiles: [String] {
        get throws {
            let files =
                [configurationPath, bestWeightsPath, metricsPath, samplesPath, reportPath].map {
                    ($0 as NSString).lastPathComponent
                } + ["tokenizer.json"]
            var torn = try FileSystem.names(in: path).filter { name in files.contains { name.hasPrefix(".\($0).tmp-") }
            }
            .map { path + "/" + $0 }
            // What is behind a link is not the run's.
            guard FileSystem.kind(of: checkpointsPath) == .folder else { return torn }
            torn += try FileSystem.names(in: checkpointsPath)
                .filter { $0.hasPrefix(".step-") && $0.contains(".tmp-") }.map { checkpointsPath + "/" + $0 }
            for step in savedSteps where FileSystem.kind(of: checkpoint(step).path) == .folder {
                let folder = checkpoint(step).path
                torn += try FileSystem.names(in: folder).filter { $0.hasPrefix(".") && $0.contains(".tmp-") }
                    .map { folder + "/" + $0 }
            }
            return torn
        }
    }

    // MARK: What stands in the way

    /// Looks for what a training would find out about at its first save.
    /// - Throws: `InputError` that names what cannot be written.
    func requireOwnFiles() throws {
        for file in [bestWeightsPath, configurationPath, metricsPath, samplesPath, reportPath]
        where FileSystem.kind(of: file) == .folder {
            throw InputError("\(file): is a folder; expected a file, which the training writes")
        }
        try requireOwnFolders()
        for folder in [path, checkpointsPath] where FileSystem.exists(folder) {
            guard access(folder, W_OK) == 0 else {
                throw InputError("\(folder): cannot be written: \(String(cString: strerror(errno)))")
            }
        }
    }

    /// - Throws: `InputError` where the checkpoints' folder is something else: behind a link it is not the run's.
    private func requireOwnFolders() throws {
        guard let kind = FileSystem.kind(of: checkpointsPath), kind != .folder else { return }
        throw InputError("\(checkpointsPath): is \(kind.rawValue); expected a folder of the run's own")
    }
}
