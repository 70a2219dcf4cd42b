import NN
import Tensors

/// The part of a training that knows what is learned: its batches, their gradients, and the measure of its progress. The loop
/// around it, `TrainingRun`, has the steps, the optimizer, the saves and the events.
protocol TrainingTask<Model>: AnyObject {
    associatedtype Model: Module

    /// The model that is trained.
    var model: Model { get }
    /// The number of batches in an epoch; nil where nothing says.
    var batchesPerEpoch: Double? { get }

    // MARK: Steps

    /// The gradients of a step's batches.
    /// - Parameters:
    ///   - step: the step's number, counted from 0.
    ///   - key: the step's, for whatever is random in it.
    /// - Throws: `InputError` when the batches cannot be had, or are none of the model's.
    func gradients(ofStep step: Int, key: RandomKey) throws -> StepGradients

    /// The loss of a step in bits a byte of the text; NaN where there is no text.
    func bitsPerByte(ofLoss loss: Double) -> Double

    // MARK: Progress

    /// The name of the measure that validations minimize.
    var measure: ValidationMeasure { get }
    /// True if something is held back to validate with.
    var hasValidation: Bool { get }
    /// True if samples show what the model has learned.
    var hasSamples: Bool { get }

    /// Measures the model; nil where there is nothing to validate with.
    /// - Parameter stop: asked before it and after each batch whether to give it up, which gives nil too.
    func validation(unless stop: () -> Bool) throws -> ValidationResult?

    /// The losses that the best possible models would reach, by the metrics' names; empty if they are not known.
    func floors() -> [String: Double]

    /// Lets the model answer a place of the text, another one after each step.
    /// - Parameter stop: asked before it and after each token whether to give it up, which gives nil.
    func sample(afterStep step: Int, unless stop: () -> Bool) throws -> TrainingEvent?

    /// The tokens to train on, to validate with, and of a step; 0 where nothing says.
    var tokenCounts: (training: Int, validation: Int, step: Int) { get }

    // MARK: Saves

    /// The place in the data to resume from, beside the number of the next batch.
    var position: JSONValue { get }
    /// What passes from this step to the next, in tensors that can be saved.
    var carriedTensors: [String: Tensor] { get }

    /// Continues in the data where a checkpoint was.
    /// - Throws: `InputError` that names the file, and what in it is not of this run.
    func takePlace(of state: TrainingState, file: String) throws

    /// The run's config.json.
    /// - Throws: `InputError` that names the text when it cannot be read any more.
    func configuration(_ origin: RunOrigin, _ options: TrainingOptions) throws -> RunConfiguration

    /// Writes what the folder of a new run holds beside its configuration.
    func writeFiles(to folder: RunFolder) throws
}

/// The measures that validations minimize, by the names that state files have.
enum ValidationMeasure: String, CaseIterable, Sendable {
    case bitsPerByte = "bits_per_byte"
    case loss
}

/// The result of a validation.
struct ValidationResult {
    /// The mean loss, in nats where it is a cross-entropy.
    var loss: Double
    /// The measure that is minimized.
    var measure: Double
    /// The metrics that it adds to those of its step.
    var metrics: [String: Double]
}

extension Module {
    /// - Throws: `InputError` when all parameters are frozen.
    func requireTrainable() throws {
        guard trainable.isEmpty else { return }
        throw InputError("the model has no parameter to train: all are frozen; expected one that is not")
    }
}
