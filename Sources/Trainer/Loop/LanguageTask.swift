import Foundation
import NN
import Tensors

/// The training of a language model on a text, or on batches of tokens that the program makes.
final class LanguageTask<Model: LanguageModel>: TrainingTask {
    /// The origin of the examples.
    enum Source {
        case text(DataSplit)
        case batches(Batches<TokenBatch>, validation: [TokenBatch])
    }

    let model: Model
    let source: Source
    let tokenizer: any Tokenizer
    let options: TrainingOptions
    let objective: Objective
    /// The carry that each row of a stream continues; empty if every batch begins anew.
    private(set) var carries: [Model.Carry?] = []
    private var feed: BatchFeed
    /// nil where the batches are of no text.
    private let bytesPerToken: Double?

    /// - Throws: `OptionError` when an option is wrong; `InputError` when the model and the text do not go together.
    init(_ model: Model, _ source: Source, _ tokenizer: any Tokenizer, _ options: TrainingOptions) throws {
        try options.validate()
        objective = options.objective.objective(for: tokenizer)
        (self.model, self.source, self.tokenizer, self.options) = (model, source, tokenizer, options)
        switch source {
        case .text(let split):
            try model.requireFitness(for: objective)
            try model.requireLength(options.sequenceLength, for: options.objective)
            try model.requireVocabulary(of: tokenizer, for: options.objective)
            try model.requireTrainable()
            try options.requireMemory(for: model)
            feed = try BatchFeed(split.training, options, objective)
            bytesPerToken = try Double(split.training.byteCount()) / Double(split.training.count)
        case .batches(let batches, _):
            try model.requireTrainable()
            try options.requireParameterMemory(for: model)
            feed = BatchFeed(batches, options)
            bytesPerToken = nil
        }
        if feed.isContinuous { carries = Array(repeating: nil, count: options.batchSize) }
    }

    /// The text to train on and to validate with; nil where the batches are the program's own.
    var split: DataSplit? { if case .text(let split) = source { split } else { nil } }

    /// The name of the data in messages.
    private var name: String { split?.training.name ?? "the batches" }

    var batchesPerEpoch: Double? { feed.batchesPerEpoch }

    // MARK: Steps

    func gradients(ofStep step: Int, key: RandomKey) throws -> StepGradients {
        var read = 0
        let batches = try (0..<options.accumulate).map { part in
            let key = key.child(part).child(-1)  // segments count from 0
            let batch = try feed.next(step * options.accumulate + part, key: key)
            try model.requireVocabulary(of: batch, in: name)
            if split == nil { try requireFit(of: batch, in: name) }
            read += batch.textCount
            return batch
        }
        var result = model.stepGradients(of: batches, carries: &carries, key: key)
        result.read = read
        return result
    }

    /// - Throws: `InputError` where a batch that the program made has too many tokens in a row, another number of rows than
    ///   the one before that it continues, or no target.
    func requireFit(of batch: TokenBatch, in name: String) throws {
        let (rows, length) = (batch.shape[0], batch.shape[1])
        if !model.carriesState, let most = model.maximumLength, length > most {
            throw InputError("\(name): expected at most \(most) tokens in a row, the model's longest, found \(length)")
        }
        guard carries.isEmpty || rows == carries.count else {
            throw InputError(
                "\(name): expected batches of \(counted(carries.count, "row")), each continuing its row, found \(rows)")
        }
        guard batch.targetCount > 0 else {
            throw InputError("\(name): expected a target that counts in each batch, found none")
        }
    }

    func bitsPerByte(ofLoss loss: Double) -> Double { bytesPerToken.map { loss / M_LN2 / $0 } ?? .nan }

    // MARK: Saves

    var position: JSONValue { feed.position }

    var carriedTensors: [String: Tensor] { SavedCarries.tensors(of: carries) }

    func takePlace(of state: TrainingState, file: String) throws {
        guard feed.isContinuous else {
            guard state.position == .null, state.carries.isEmpty else {
                throw InputError("\(file): has the place of a stream; expected none, as the run's windows are random")
            }
            return
        }
        try feed.move(to: state.position, file: file)
        carries = try SavedCarries.carries(
            from: state.carries, rows: options.batchSize, file: file, check: model.requireFit)
        let found = carries.count { $0 != nil }
        guard found == (model.carriesState && state.step > 0 ? carries.count : 0) else {
            throw InputError("\(file): has what \(found) rows carry; expected that of \(carries.count)")
        }
    }

    func configuration(_ origin: RunOrigin, _ options: TrainingOptions) throws -> RunConfiguration {
        try RunConfiguration(
            origin: origin, tokenizer: tokenizer.kind, training: options, split: split, threads: Threads.count)
    }

    func writeFiles(to folder: RunFolder) throws { try folder.write(tokenizer) }
}

extension LanguageModel {
    /// - Throws: `InputError` when the model has fewer tokens than the tokenizer and the objective.
    fileprivate func requireVocabulary(of tokenizer: any Tokenizer, for objective: ObjectiveKind) throws {
        guard vocabularySize < objective.vocabularySize(of: tokenizer) else { return }
        let extra = objective.extraToken.map { " and " + $0 } ?? ""
        throw InputError(
            "the model has a vocabulary of \(vocabularySize) tokens; expected at least the"
                + " \(tokenizer.vocabularySize) of the tokenizer (\(tokenizer.kind.rawValue))\(extra)")
    }
}
