import Foundation
import NN
import Tensors

// Saving and resuming.
//
// A save cannot be torn. Both files are written to a hidden folder and synchronized with the disk; renaming that folder to
// `step-N` makes the save, in one piece (a step saved twice gets a new state.safetensors, also by a rename). Then the run's
// own weights.safetensors is renewed, and only then are old checkpoints removed, by hiding them first. Whenever the machine
// stops, the newest `step-N` is whole, and what is hidden is rubbish; `CutSaves.swift` says who does the rest. Should a
// checkpoint be damaged all the same (a bad disk), its checksums say so, and the one before it is taken.
//
// Links are read but never written or removed through: what is behind them is not the run's.

extension RunFolder {
    var checkpointsPath: String { path + "/checkpoints" }

    func checkpoint(_ step: Int) -> Checkpoint { Checkpoint(path: "\(checkpointsPath)/step-\(step)", step: step) }

    /// The steps of the checkpoints there are, damaged ones included, in ascending order.
    public var savedSteps: [Int] { (try? readSavedSteps()) ?? [] }

    /// - Throws: `InputError` when the folder cannot be read.
    private func readSavedSteps() throws -> [Int] {
        try FileSystem.names(in: checkpointsPath).compactMap(Checkpoint.step).sorted()
    }

    // MARK: Saving

    /// Saves a step. Of one that is saved already, with the same weights, the state is replaced.
    /// - Parameters:
    ///   - keep: how many checkpoints to keep at least; the latest and the best always are.
    ///   - follow: what belongs to the save and comes after it: where it is cut off, the next who opens the run makes up
    ///     for it.
    /// - Throws: `InputError` that names the file and the system's reason; all checkpoints there were stay. `TrainingFault`
    ///   when the folder is not that of the run any more.
    func save(
        _ model: some Module, _ optimizer: Optimizer, _ state: TrainingState, origin: RunOrigin, keep: Int,
        following follow: () throws -> Void = {}
    ) throws {
        var weights = SafetensorsWriter(metadata: [
            "step": "\(state.step)", "model": origin.model, "configuration": origin.configuration.description,
            "parameters": "\(model.parameterCount)", "version": packageVersion,
        ])
        try weights.add(model)
        let checksum = try Checkpoint.checksum(of: weights)
        try lock?.confirm()
        let isMarked = try beginSave()
        let target = checkpoint(state.step)
        if FileSystem.kind(of: target.path) == .folder, (try? target.open())?.weightsChecksum == checksum {
            try Checkpoint.writeState(optimizer, state, weightsChecksum: checksum, to: target.path)
        } else {
            do {
                try commit(target) { folder in
                    try weights.write(to: folder + "/weights.safetensors")
                    try Checkpoint.writeState(optimizer, state, weightsChecksum: checksum, to: folder)
                }
            } catch {
                // Nothing is left undone of a save that was not made.
                if isMarked, !FileSystem.exists(target.path) { try? endSave() }
                throw error
            }
        }
        try renewWeights(latest: state.step, best: state.best?.step)
        // Those after the latest are damaged, or another training's.
        try discard(savedSteps.filter { $0 > state.step })
        try prune(latest: state.step, best: state.best?.step, keep: keep)
        try follow()
        try endSave()
    }

    /// Lets `write` fill a hidden folder, and puts it in its place.
    private func commit(_ target: Checkpoint, _ write: (String) throws -> Void) throws {
        let temporary = FileSystem.temporaryName(for: target.path)
        do {
            try FileSystem.makeFolder(temporary)
            try write(temporary)
            if let before = savedSteps.last {
                FileSystem.copyPermissions(from: checkpoint(before).path, to: temporary, files: Checkpoint.files)
            }
            try FileSystem.synchronizeFolder(temporary)
            // A damaged one, or what a changed training makes another of.
            if FileSystem.exists(target.path) { try discard([target.step]) }
            try FileSystem.rename(temporary, to: target.path)
        } catch {
            try? FileSystem.remove(temporary)
            guard let error = error as? InputError else { throw error }
            throw InputError(error.message.replacingOccurrences(of: temporary, with: target.path))
        }
        try FileSystem.synchronizeFolder(checkpointsPath)
    }

    /// Makes the run's weights those of the best checkpoint, or of the latest where there is no best.
    func renewWeights(latest: Int, best: Int?) throws {
        let candidates = [best, latest].compactMap { $0 }.map { checkpoint($0).weightsPath }
        guard let source = candidates.first(where: FileSystem.exists) else { return }
        if !FileSystem.areEqual(source, bestWeightsPath) {
            try FileSystem.replace(bestWeightsPath, withCopyOf: source)
        }
    }

    /// Removes all checkpoints before the latest but the best and as many of the newest as are to be kept.
    func prune(latest: Int, best: Int?, keep: Int) throws {
        let steps = savedSteps.filter { $0 <= latest }
        var kept = Set([latest] + [best].compactMap { $0 })
        for step in steps.reversed() where kept.count < keep { kept.insert(step) }
        try discard(steps.filter { !kept.contains($0) })
    }

    /// Removes checkpoints: hidden first, so that none ever shows in parts.
    private func discard(_ steps: [Int]) throws {
        for step in steps {
            let hidden = FileSystem.temporaryName(for: checkpoint(step).path)
            try FileSystem.rename(checkpoint(step).path, to: hidden)
            try FileSystem.remove(hidden)
        }
    }

    // MARK: Going on

    /// Reads the newest whole checkpoint (or the one that the folder was opened for), and does what the last save left
    /// undone, where it was cut off, but for the report and `endSave`.
    /// - Parameters:
    ///   - keep: how many checkpoints that save had to keep.
    ///   - warn: called for each newer checkpoint that is damaged.
    ///   - check: is given the state before anything is changed; may throw to have nothing changed.
    /// - Throws: `InputError` when there is none, or it does not fit the model.
    func load(
        _ model: some Module, _ optimizer: Optimizer, keep: Int = 1, warn: (String) -> Void = { _ in },
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
        if chosenStep != nil {
            try discard(savedSteps.filter { $0 > found.step })
        } else if isSaveCut {
            try prune(latest: found.step, best: state.best?.step, keep: keep)
        }
        try clearTornSaves()
        try renewWeights(latest: found.step, best: state.best?.step)
        return state
    }

    /// Freezes the parameters that were frozen when the checkpoint to resume from was saved, and no others. The newest that can
    /// be read at all says so; `load` finds out whether it is whole.
    /// - Throws: `InputError` when the model has no such parameters; nothing is changed then.
    func freezeAsSaved(_ model: some Module) throws {
        let steps = try chosenStep.map { [$0] } ?? readSavedSteps().reversed()
        guard let file = steps.lazy.compactMap({ try? SafetensorsFile(path: checkpoint($0).statePath) }).first else {
            return
        }
        let frozen = try TrainingState.frozen(file)
        let parameters = Dictionary(model.state.map { ($0.key, $0.parameter) }) { first, _ in first }
        if let unknown = frozen.first(where: { parameters[$0]?.kind != .trained }) {
            throw InputError(
                "\(file.path): has frozen \(JSONValue.quoted(unknown)); expected parameters that the model has")
        }
        model.unfreeze()
        for key in frozen { parameters[key]?.freeze() }
    }

    func newestWhole(_ warn: (String) -> Void) throws -> (Checkpoint, Checkpoint.Contents) {
        if let chosenStep {
            try checkpoint(chosenStep).refuseNewerFormat()
            return (checkpoint(chosenStep), try checkpoint(chosenStep).open())
        }
        var problems: [String] = []
        for step in try readSavedSteps().reversed() {
            try checkpoint(step).refuseNewerFormat()
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
