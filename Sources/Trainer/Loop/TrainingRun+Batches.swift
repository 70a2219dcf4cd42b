import NN
import Tensors

// Runs on batches that the program makes.

extension TrainingRun {
    /// A new run on batches of the program's own.
    ///
    ///     let run = try TrainingRun(classifier, on: batches, validation: held, options: options, folder: "runs/mine") {
    ///         classifier, batch, mode in
    ///         BatchLoss(crossEntropy(classifier(batch.images, mode: mode), batch.labels))
    ///     }
    /// - Parameters:
    ///   - batches: what each step learns from.
    ///   - validation: the batches to validate with; none for no validation.
    ///   - folder: where to keep the run, made here; nil to keep nothing.
    ///   - origin: where model and batches came from, for config.json.
    ///   - recording: called with the record of a run that is kept, as a part of its saves.
    ///   - loss: the loss of a batch; without dropout and gradients where it validates.
    /// - Throws: `OptionError` when an option is wrong or the folder holds a run; `InputError` when nothing can be trained.
    public convenience init<Batch: Sendable>(
        _ model: Model, on batches: Batches<Batch>, validation: [Batch] = [],
        options: TrainingOptions = TrainingOptions(), folder: String? = nil, origin: RunOrigin = RunOrigin(),
        recording use: RunRecord.Use? = nil,
        loss: @escaping (_ model: Model, _ batch: Batch, _ mode: ForwardMode) throws -> BatchLoss
    ) throws {
        try self.init(
            ModuleTask(model, batches, validation: validation, options, loss: loss), options: options, origin: origin,
            recording: use, making: { try folder.map { try RunFolder(creating: $0) } })
    }

    /// A run on batches of the program's own, resumed from its last save. The program makes the same batches and the same loss
    /// as for the run's beginning.
    /// - Parameters:
    ///   - model: made as at the beginning; its weights are replaced, and frozen as they were in the run.
    ///   - change: changes to the options, such as more steps.
    /// - Throws: `InputError` when the folder holds no run, or one that does not fit; `TrainingFault` when another process
    ///   trains in it.
    public convenience init<Batch: Sendable>(
        resuming folder: RunFolder, _ model: Model, on batches: Batches<Batch>, validation: [Batch] = [],
        changing change: (inout TrainingOptions) throws -> Void = { _ in }, recording use: RunRecord.Use? = nil,
        loss: @escaping (_ model: Model, _ batch: Batch, _ mode: ForwardMode) throws -> BatchLoss
    ) throws {
        try self.init(resuming: folder, model, changing: change, recording: use) { saved, options, folder in
            try saved.requireOwnBatches(folder)
            return try ModuleTask(model, batches, validation: validation, options, loss: loss)
        }
    }
}

extension TrainingRun where Model: LanguageModel {
    /// A new run of a language model on batches of tokens that the program makes. With the option `order` as `.sequential`,
    /// each row continues the same row of the batch before unless it says that it begins.
    /// - Parameter tokenizer: the tokenizer of the batches, with which the run's folder can be opened.
    /// - Throws: as on a text.
    public convenience init(
        _ model: Model, on batches: Batches<TokenBatch>, validation: [TokenBatch] = [],
        tokenizer: any Tokenizer = ByteTokenizer(), options: TrainingOptions = TrainingOptions(),
        folder: String? = nil, origin: RunOrigin = RunOrigin(), recording use: RunRecord.Use? = nil
    ) throws {
        try self.init(
            LanguageTask(model, .batches(batches, validation: validation), tokenizer, options), options: options,
            origin: origin, recording: use, making: { try folder.map { try RunFolder(creating: $0) } })
    }

    /// A run on batches of tokens that the program makes, resumed from its last save.
    /// - Throws: `InputError` when the folder holds no run, or one that does not fit; `TrainingFault` when another process
    ///   trains in it.
    public convenience init(
        resuming folder: RunFolder, _ model: Model, on batches: Batches<TokenBatch>, validation: [TokenBatch] = [],
        tokenizer: any Tokenizer = ByteTokenizer(),
        changing change: (inout TrainingOptions) throws -> Void = { _ in }, recording use: RunRecord.Use? = nil
    ) throws {
        try self.init(resuming: folder, model, changing: change, recording: use) { saved, options, folder in
            try saved.requireOwnBatches(folder)
            try saved.requireSame(tokenizer, folder)
            return try LanguageTask(model, .batches(batches, validation: validation), tokenizer, options)
        }
    }
}
