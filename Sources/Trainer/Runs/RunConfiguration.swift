import Foundation
import NN
import Tensors

/// Where a run's model and text come from: what the commands need to make them again.
public struct RunOrigin: Sendable, Hashable {
    /// The architecture's id in the model zoo.
    public var model: String
    /// The architecture's configuration, with the peer's key names.
    public var configuration: JSONValue
    /// The files and folders of the text.
    public var data: [String]
    /// What ends the documents of the text, and of the validation text.
    public var documents: DocumentSeparator
    /// The file or folder of a validation text of its own.
    public var validation: String?
    /// Without one: the share of the text, at its end, that is held back.
    public var validationFraction: Double

    public init(
        model: String = "custom", configuration: JSONValue = .object([:]), data: [String] = [],
        documents: DocumentSeparator = .nothing, validation: String? = nil, validationFraction: Double = 0.1
    ) {
        self.model = model
        self.configuration = configuration
        self.data = data
        self.documents = documents
        self.validation = validation
        self.validationFraction = validationFraction
    }
}

/// A run's config.json: everything that decides its numbers.
public struct RunConfiguration: Sendable, Hashable {
    public var origin: RunOrigin
    public var tokenizer: TokenizerKind
    public var training: TrainingOptions
    /// Tokens trained on and held back: a text that has changed since is found out when the run is resumed.
    public var trainingTokens: Int
    public var validationTokens: Int
    /// The number of threads, on which the last bits of the results may depend.
    public var threads: Int
    /// The package's version.
    public var version = packageVersion

    var json: JSONValue {
        .object([
            "version": .string(version), "model": .string(origin.model), "configuration": origin.configuration,
            "tokenizer": .string(tokenizer.rawValue),
            "data": .object([
                "paths": .array(origin.data.map(JSONValue.string)),
                "documents": .string(origin.documents.description),
                "validation": origin.validation.map(JSONValue.string) ?? .null,
                "validation_fraction": .number(origin.validationFraction),
                "training_tokens": .integer(trainingTokens), "validation_tokens": .integer(validationTokens),
            ]),
            "training": training.json, "threads": .integer(threads),
        ])
    }

    /// Reads config.json.
    /// - Throws: `InputError` that names the file and the key.
    init(path: String) throws {
        var reader = try ConfigurationReader(path: path)
        version = try reader.string("version")
        let model = try reader.string("model")
        guard let configuration = reader.value("configuration"), configuration.objectValue != nil else {
            throw reader.error("configuration", "expected an object")
        }
        tokenizer = try reader.option("tokenizer")
        var data = try ConfigurationReader(reader.value("data") ?? .object([:]), file: "\(path), data")
        guard let paths = data.value("paths")?.arrayValue?.map(\.stringValue), !paths.contains(nil) else {
            throw data.error("paths", "expected a list of strings")
        }
        let documents = try data.string("documents")
        guard let separator = DocumentSeparator(documents) else {
            throw data.error(
                "documents", "expected \(DocumentSeparator.expectedText), found \(JSONValue.quoted(documents))")
        }
        origin = RunOrigin(
            model: model, configuration: configuration, data: paths.compactMap { $0 }, documents: separator,
            validation: try data.optionalString("validation"),
            validationFraction: try data.double("validation_fraction", in: 0..<1))
        trainingTokens = try data.int("training_tokens", in: 0...)
        validationTokens = try data.int("validation_tokens", in: 0...)
        try data.finish()
        training = try TrainingOptions(reader.value("training") ?? .object([:]), file: "\(path), training")
        threads = try reader.int("threads", in: 1...)
        try reader.finish()
    }

    init(
        origin: RunOrigin, tokenizer: TokenizerKind, training: TrainingOptions, trainingTokens: Int,
        validationTokens: Int, threads: Int
    ) {
        self.origin = origin
        self.tokenizer = tokenizer
        self.training = training
        self.trainingTokens = trainingTokens
        self.validationTokens = validationTokens
        self.threads = threads
    }
}
