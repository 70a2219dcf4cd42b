import Foundation
import NN
import Tensors

// Saving and going on.
//
// A save cannot be torn. Both files are written to a hidden folder and synchronised with the disk; renaming that folder to
// `step-N` makes the save, in one piece (a step saved twice gets a new state.safetensors, also by a rename). Then the run's own weights.safetensors is renewed, and only then are old
// checkpoints removed, by hiding them first. Whenever the machine stops, the newest `step-N` is whole, and what is hidden
// is rubbish, which the next save or resumption clears away. Should a checkpoint be damaged all the same (a bad disk), its
// checksums say so, and the one before it is taken.

extension RunFolder {
    private var checkpointsPath: String { path + "/checkpoints" }

    func checkpoint(_ step: Int) -> Checkpoint { Checkpoint(path: "\(checkpointsPath)/step-\(step)", step: step) }

    /// The steps of the checkpoints there are, damaged ones included, in ascending order.
    public var savedSteps: [Int] { FileSystem.names(in: checkpointsPath).compactMap(Checkpoint.step).sorted() }

    // MARK: Saving

    /// Saves a step. Of one that is saved already, with the same weights, the state is replaced.
    /// - Parameter keep: how many checkpoints to keep at least; the latest and the best always are.
    /// - Throws: `InputError` that names the file and the system's reason; all checkpoints there were stay.
    func save(
        _ model: some Module, _ optimizer: Optimizer, _ state: TrainingState, _ origin: RunOrigin, keep: Int
    ) throws {
        var weights = SafetensorsWriter(metadata: [
            "step": "\(state.step)", "model": origin.model, "configuration": origin.configuration.description,
            "parameters": "\(model.parameterCount)", "version": packageVersion,
        ])
        try weights.add(model)
        let checksum = try Checkpoint.checksum(of: weights)
        try clearTornSaves()
        let target = checkpoint(state.step)
        if (try? target.open())?.weightsChecksum == checksum {
            try Checkpoint.writeState(optimizer, state, weightsChecksum: checksum, to: target.path)
        } else {
            try commit(target) { folder in
                try weights.write(to: folder + "/weights.safetensors")
                try Checkpoint.writeState(optimizer, state, weightsChecksum: checksum, to: folder)
            }
        }
        try renewWeights(latest: state.step, best: state.best?.step)
        try prune(latest: state.step, best: state.best?.step, keep: keep)
    }

    /// Lets `write` fill a hidden folder, and puts it in its place.
    private func commit(_ target: Checkpoint, _ write: (String) throws -> Void) throws {
        if !FileSystem.exists(checkpointsPath) {
            try FileSystem.makeFolder(checkpointsPath)
            try FileSystem.synchronizeFolder(path)
        }
        let temporary = FileSystem.temporaryName(for: target.path)
        do {
            try FileSystem.makeFolder(temporary)
            try write(temporary)
            try FileSystem.synchronizeFolder(temporary)
            // A damaged one, or what a changed training makes another of.
            if FileSystem.exists(target.path) { try discard(target) }
            try FileSystem.rename(temporary, to: target.path)
        } catch {
            try? FileSystem.remove(temporary)
            guard let error = error as? InputError else { throw error }
            throw InputError(error.message.replacingOccurrences(of: temporary, with: target.path))
        }
        try FileSystem.synchronizeFolder(checkpointsPath)
    }

    /// Makes the run's weights those of the best checkpoint, or of the latest where there is no best.
    private func renewWeights(latest: Int, best: Int?) throws {
        let candidates = [best, latest].compactMap { $0 }.map { checkpoint($0).weightsPath }
        guard let source = candidates.first(where: FileSystem.exists) else { return }
        if !FileSystem.areEqual(source, bestWeightsPath) {
            try FileSystem.replace(bestWeightsPath, withCopyOf: source)
        }
    }

    /// Removes all checkpoints but the latest, the best and as many of the newest as are to be kept. Those after the latest
    /// are damaged, or another training's.
    private func prune(latest: Int, best: Int?, keep: Int) throws {
        let steps = savedSteps
        var kept = Set([latest] + [best].compactMap { $0 })
        for step in steps.reversed() where step < latest && kept.count < keep { kept.insert(step) }
        for step in steps where !kept.contains(step) { try discard(checkpoint(step)) }
    }

    /// Removes a checkpoint: hidden first, so that it never shows in parts.
    private func discard(_ checkpoint: Checkpoint) throws {
        let hidden = FileSystem.temporaryName(for: checkpoint.path)
        try FileSystem.rename(checkpoint.path, to: hidden)
        try FileSystem.remove(hidden)
    }

    /// Removes what saves that were torn have left.
    private func clearTornSaves() throws {
        let hidden = ["weights.safetensors", "config.json", "tokenizer.json", "report.html"].map { ".\($0).tmp-" }
        for name in FileSystem.names(in: path) where hidden.contains(where: name.hasPrefix) {
            try FileSystem.remove(path + "/" + name)
        }
        for name in FileSystem.names(in: checkpointsPath) where name.hasPrefix(".step-") {
            try FileSystem.remove(checkpointsPath + "/" + name)
        }
        for step in savedSteps {
            let folder = checkpoint(step).path
            for name in FileSystem.names(in: folder) where name.hasPrefix(".") {
                try FileSystem.remove(folder + "/" + name)
            }
        }
    }

    // MARK: Going on

    /// Reads the newest whole checkpoint (or the one that the folder was opened for), clears away what torn saves have left
    /// and brings the run's weights up to date.
    /// - Parameters:
    ///   - warn: is told of each newer checkpoint that is damaged.
    ///   - check: is given the state before anything is changed; may throw to have nothing changed.
    /// - Throws: `InputError` when there is none, or it does not fit the model.
    func load(
        _ model: some Module, _ optimizer: Optimizer, warn: (String) -> Void = { _ in },
        check: (TrainingState) throws -> Void = { _ in }
    ) throws -> TrainingState {
        let (found, contents) = try newestWhole(warn)
        var state = contents.training
        try check(state)
        try model.load(contents.weights)
        try optimizer.load(contents.state, besides: state.carries.count)
        if let best = state.best, best.step != found.step {
            do {
                _ = try checkpoint(best.step).open()
            } catch let error as InputError {
                warn("\(error.message); the next validation counts as the best so far")
                state.best = nil
            }
        }
        try clearTornSaves()
        if chosenStep != nil {
            for step in savedSteps where step > found.step { try discard(checkpoint(step)) }
        }
        try renewWeights(latest: found.step, best: state.best?.step)
        return state
    }

    private func newestWhole(_ warn: (String) -> Void) throws -> (Checkpoint, Checkpoint.Contents) {
        if let chosenStep { return (checkpoint(chosenStep), try checkpoint(chosenStep).open()) }
        var problems: [String] = []
        for step in savedSteps.reversed() {
            do {
                let contents = try checkpoint(step).open()
                for problem in problems { warn("\(problem); going on from step \(step), the newest that is whole") }
                return (checkpoint(step), contents)
            } catch let error as InputError {
                problems.append(error.message)
            }
        }
        if let newest = problems.first { throw InputError("\(newest); there is no whole checkpoint in \(path)") }
        throw InputError("\(checkpointsPath): holds no checkpoint; expected step-N, made by a save")
    }
}
