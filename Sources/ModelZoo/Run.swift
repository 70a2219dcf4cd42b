import Foundation
import Trainer

/// A trained run, opened: its model with the weights that it has learned, its tokenizer and its configuration.
///
///     let run = try Run(opening: "runs/flash-1")
///     print(try run.generate("To be", length: 100))
///     let model = try run.model(as: FLASHTransformer.self)
public struct Run: Sendable {
    /// The folder of the run.
    public let folder: RunFolder
    /// The run's config.json.
    public let configuration: RunConfiguration
    /// The tokenizer that the run was made with.
    public let tokenizer: any Tokenizer
    /// The model with the best weights by validation, or those of the checkpoint whose folder was opened.
    public let model: any LanguageModel
    /// The steps that loading took so that the weights fit.
    public let loading: LoadReport

    /// Opens the folder of a run, or of one of its checkpoints (`RUN/checkpoints/step-N`).
    /// - Parameter warn: called with what should be known of the weights, in one line.
    /// - Throws: `InputError` that names the file, and the key of its configuration that is wrong.
    public init(opening path: String, warn: (String) -> Void = { _ in }) throws {
        try self.init(opening: RunFolder(path: path), warn: warn)
    }

    package init(opening folder: RunFolder, warn: (String) -> Void) throws {
        let configuration = try folder.configuration()
        try self.init(folder, configuration, into: folder.makeModel(configuration), warn: warn)
    }

    /// Opens the folder of a run at a file URL.
    /// - Throws: `InputError` that names the file, and the key of its configuration that is wrong.
    public init(opening url: URL) throws { try self.init(opening: url.path) }

    /// Opens the run of an architecture that the zoo does not know.
    /// - Parameter model: made as for the training; its weights are replaced by those of the run.
    /// - Throws: `InputError` that names the file that is wrong or does not fit the model.
    public init(opening path: String, into model: any LanguageModel) throws {
        let folder = try RunFolder(path: path)
        try self.init(folder, folder.configuration(), into: model) { _ in }
    }

    private init(
        _ folder: RunFolder, _ configuration: RunConfiguration, into model: any LanguageModel, warn: (String) -> Void
    ) throws {
        (self.folder, self.configuration, self.model) = (folder, configuration, model)
        tokenizer = try folder.tokenizer()
        // Another tokenizer.json than the run's would have tokens without a row of the weights.
        guard configuration.training.objective.vocabularySize(of: tokenizer) <= model.vocabularySize else {
            throw InputError(
                "\(folder.path)/tokenizer.json: has \(tokenizer.vocabularySize) tokens; expected those of the run's weights,"
                    + " which are for \(model.vocabularySize)")
        }
        loading = try model.load(from: folder.currentWeightsPath(warn: warn))
    }

    /// The objective that the model has learned.
    public var objective: Objective { configuration.training.objective.objective(for: tokenizer) }

    /// The model as its type.
    /// - Throws: `InputError` that names the folder, and the type that its model has.
    public func model<Model: LanguageModel>(as type: Model.Type = Model.self) throws -> Model {
        if let model = model as? Model { return model }
        throw InputError(
            "\(folder.path): expected the run of a \(Model.self), found that of a \(Swift.type(of: model))")
    }

    /// Lets the model answer a prompt: continue it, or what else it has learned.
    /// - Parameters:
    ///   - length: tokens of the answer; nil for the usual number.
    ///   - sampling: the choice of tokens; nil for the objective's usual one.
    ///   - stop: texts that end the answer.
    ///   - onText: called with each piece of the answer as it comes.
    /// - Returns: the answer.
    /// - Throws: `InputError` for a prompt that the tokenizer cannot encode, or a model that does not generate.
    @discardableResult
    public func generate(
        _ prompt: String, length: Int? = nil, sampling: SamplingOptions? = nil, stop: StopTexts? = nil,
        onText: (String) throws -> Void = { _ in }
    ) throws -> String {
        try model.generate(
            prompt, length: length, tokenizer: tokenizer, objective: objective, sampling: sampling, stop: stop,
            onText: onText)
    }

    /// The answer to a prompt as a stream of pieces of text; see `generate`.
    public func textStream(
        _ prompt: String, length: Int? = nil, sampling: SamplingOptions? = nil, stop: StopTexts? = nil
    ) -> AsyncThrowingStream<String, any Error> {
        model.textStream(
            prompt, length: length, tokenizer: tokenizer, objective: objective, sampling: sampling, stop: stop)
    }
}
