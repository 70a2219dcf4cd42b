import NN
import Tensors

// Runs of a language model on a text.

extension TrainingRun where Model: LanguageModel {
    /// A new run.
    /// - Parameters:
    ///   - folder: where to keep it, made here; nil to keep nothing.
    ///   - origin: where model and text came from, for config.json.
    ///   - recording: called with the record of a run that is kept, as a part of its saves, after each validation and at the
    ///     end: to write a report of it.
    /// - Throws: `OptionError` when an option is wrong or the folder holds a run; `InputError` when the model and the text do
    ///   not go together.
    public convenience init(
        _ model: Model, on split: DataSplit, tokenizer: any Tokenizer, options: TrainingOptions = TrainingOptions(),
        folder: String? = nil, origin: RunOrigin = RunOrigin(), recording use: RunRecord.Use? = nil
    ) throws {
        try self.init(
            model, on: split, tokenizer: tokenizer, options: options, origin: origin, recording: use,
            making: { try folder.map { try RunFolder(creating: $0) } })
    }

    /// A new run in a folder that is made, and locked, once all else is known to fit.
    package convenience init(
        _ model: Model, on split: DataSplit, tokenizer: any Tokenizer, options: TrainingOptions, origin: RunOrigin,
        recording use: RunRecord.Use?, making folder: () throws -> RunFolder?
    ) throws {
        try self.init(
            LanguageTask(model, .text(split), tokenizer, options), options: options, origin: origin, recording: use,
            making: folder)
    }

    /// A run resumed from its last save.
    /// - Parameters:
    ///   - model: made from the run's configuration; its weights are replaced, and frozen as they were in the run.
    ///   - split: the run's text; one of another length is refused.
    ///   - change: changes to the options, such as more steps.
    ///   - use: called with the run's record as in a new run.
    /// - Throws: `InputError` when the folder holds no run, or one that does not fit: another text, model or version, which
    ///   the message names; `TrainingFault` when another process trains in it.
    public convenience init(
        resuming folder: RunFolder, _ model: Model, on split: DataSplit, tokenizer: any Tokenizer,
        changing change: (inout TrainingOptions) throws -> Void = { _ in }, recording use: RunRecord.Use? = nil
    ) throws {
        try self.init(resuming: folder, model, changing: change, recording: use) { saved, options, folder in
            try saved.requireSame(split, tokenizer, folder)
            return try LanguageTask(model, .text(split), tokenizer, options)
        }
    }

    /// Evaluates the validation text, or the share of it that the options say; nil when there is none.
    /// - Parameter stop: asked before it and after each batch whether to give it up, which gives nil too.
    public func validate(unless stop: () -> Bool = { false }) throws -> EvaluationResult? {
        try language?.evaluate(unless: stop)
    }

    /// The text to train on and to validate with. Only a run on a text has one.
    public var split: DataSplit {
        guard let split = language?.split else { fatalError("TrainingRun.split: the run has batches, not a text") }
        return split
    }

    /// The tokenizer of text and samples. Runs with a loss of the program's own have none.
    public var tokenizer: any Tokenizer {
        guard let language else { fatalError("TrainingRun.tokenizer: the run has a loss of its own and no tokens") }
        return language.tokenizer
    }

    private var language: LanguageTask<Model>? { task as? LanguageTask<Model> }
}
