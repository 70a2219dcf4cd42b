import Foundation
import ModelZoo

extension PublishedRecallCell {
    /// Trains the model, or resumes its training.
    /// - Parameters:
    ///   - settings: what `--set` changes in the model.
    ///   - seed: the source of parameters and examples. The same seed gives the same outcome but for the time.
    ///   - folder: the place of the save, which is removed at the end.
    ///   - progress: called after each step with the share of the training that is done, and its state in a few words.
    ///   - stop: asked before each step.
    /// - Returns: nil where it was stopped; the save resumes it.
    /// - Throws: `InputError` for an architecture that does not exist, or a save that does not fit.
    func run(
        _ options: PublishedRecallOptions, settings: ModelSettings = .init(), seed: UInt64, folder: String,
        progress: (_ share: Double, _ status: String) -> Void = { _, _ in }, stop: () -> Bool = { false }
    ) throws -> PublishedRecallOutcome? {
        let key = RandomKey(seed: seed).child(Self.stream)
        return try run(
            makeModel(settings, key: key.child(0)), options, seed: seed, key: key,
            save: save(options, settings: settings, seed: seed, folder: folder), progress: progress, stop: stop)
    }

    private func run(
        _ model: some LanguageModel, _ options: PublishedRecallOptions, seed: UInt64, key: RandomKey,
        save: PublishedRecallSave, progress: (Double, String) -> Void, stop: () -> Bool
    ) throws -> PublishedRecallOutcome? {
        let model = PublishedRecallModel(model, key: key.child(1))
        let optimizer = Optimizer(model.trained, .adamW(weightDecay: PublishedRecallOptions.weightDecay))
        let examples = PublishedRecall.Examples(
            task, count: options.examples, testCount: options.testExamples, seed: seed)
        let training = PublishedRecallTraining(cell: self, options: options, examples: examples, key: key.child(2))
        let end = try withoutActuallyEscaping(progress) { progress in
            try withoutActuallyEscaping(stop) { stop in
                try training.run(
                    model, optimizer, from: save.read(into: model, optimizer),
                    .init(progress: progress, stop: stop, save: { try save.write(model, optimizer, $0) }))
            }
        }
        guard end.isOver else { return nil }
        return PublishedRecallOutcome(
            cell: self, parameters: model.parameterCount, seconds: end.progress.seconds, tests: end.progress.tests,
            fault: end.progress.fault)
    }

    /// Keeps the parameters apart from the examples.
    private static let stream = -1

    /// The save of the cell in a comparison's folder.
    func save(
        _ options: PublishedRecallOptions, settings: ModelSettings = .init(), seed: UInt64, folder: String
    ) throws -> PublishedRecallSave {
        PublishedRecallSave(
            path: "\(folder)/\(model)-\(length)-width-\(width)-rate-\(rate).safetensors",
            setting: .init(
                cell: self, options: options, seed: seed, configuration: try configuration(settings).description))
    }
}
