import NN
import Tensors

/// The training of any module on batches that the program makes, by a loss of its own.
final class ModuleTask<Model: Module, Batch: Sendable>: TrainingTask {
    typealias Loss = (_ model: Model, _ batch: Batch, _ mode: ForwardMode) throws -> BatchLoss

    let model: Model
    private let batches: Batches<Batch>
    private let heldBack: [Batch]
    private let options: TrainingOptions
    private let loss: Loss

    /// - Throws: `OptionError` when an option is wrong; `InputError` when nothing can be trained.
    init(
        _ model: Model, _ batches: Batches<Batch>, validation: [Batch], _ options: TrainingOptions,
        loss: @escaping Loss
    ) throws {
        try options.validate()
        try model.requireTrainable()
        try options.requireParameterMemory(for: model)
        (self.model, self.batches, self.options, self.loss) = (model, batches, options, loss)
        heldBack = validation
    }

    var batchesPerEpoch: Double? { batches.perEpoch.map(Double.init) }

    func gradients(ofStep step: Int, key: RandomKey) throws -> StepGradients {
        let parts = try (0..<options.accumulate).map { part in
            try batches.batch(step * options.accumulate + part, key: key.child(part).child(-1))
        }
        return try model.stepGradients(of: parts, key: key, loss: loss)
    }

    func bitsPerByte(ofLoss loss: Double) -> Double { .nan }

    // MARK: Progress

    var measure: ValidationMeasure { .loss }
    var hasValidation: Bool { !heldBack.isEmpty }
    var hasSamples: Bool { false }
    var tokenCounts: (training: Int, validation: Int, step: Int) { (0, 0, 0) }

    func validation(unless stop: () -> Bool) throws -> ValidationResult? {
        guard !heldBack.isEmpty, !stop() else { return nil }
        var sums = (loss: 0.0, count: 0)
        var metrics: [String: Double] = [:]
        for batch in heldBack {
            let part = try withoutGradients { try loss(model, batch, .inference) }
            sums.loss += Double(part.count) * Double(part.mean.item)
            sums.count += part.count
            for (name, value) in part.metrics { metrics[name, default: 0] += Double(part.count) * value }
            if stop() { return nil }
        }
        let mean = sums.loss / Double(sums.count)
        let named = metrics.map { ("validation_" + $0, $1 / Double(sums.count)) }
        return ValidationResult(
            loss: mean, measure: mean,
            metrics: Dictionary([("validation_loss", mean)] + named) { first, _ in first })
    }

    func floors() -> [String: Double] { [:] }

    func sample(afterStep step: Int, unless stop: () -> Bool) -> TrainingEvent? { nil }

    // MARK: Saves

    var position: JSONValue { .null }
    var carriedTensors: [String: Tensor] { [:] }

    func takePlace(of state: TrainingState, file: String) throws {
        guard state.position == .null, state.carries.isEmpty else {
            throw InputError("\(file): has the place of a stream; expected none, as the run is of batches by number")
        }
    }

    func configuration(_ origin: RunOrigin, _ options: TrainingOptions) throws -> RunConfiguration {
        try RunConfiguration(origin: origin, tokenizer: nil, training: options, split: nil, threads: Threads.count)
    }

    func writeFiles(to folder: RunFolder) {}
}
