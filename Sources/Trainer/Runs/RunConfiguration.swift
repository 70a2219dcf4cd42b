import Foundation
import NN
import Tensors

/// The origin of a run's model and text: what the commands need to make them again.
public struct RunOrigin: Sendable, Hashable {
    /// The architecture's id in the model zoo.
    public var model: String
    /// The architecture's configuration, with the peer's key names.
    package var configuration: JSONValue
    /// The files and folders of the text; none for the built-in corpus.
    public var data: [String]
    /// The built-in corpus; nil where the text comes from files.
    public var corpus: CorpusOptions?
    /// The separator of documents in the text and the validation text.
    public var documents: DocumentSeparator
    /// The file or folder of a validation text of its own.
    public var validation: String?
    /// Without one: the share of the text, at its end, that is held back.
    public var validationFraction: Double
    /// The beginning of the weights; nil where they were drawn.
    public var initialWeights: InitialWeights?
    /// The parameters that were frozen at the beginning.
    public var frozen: ParameterSelection = []
    /// The parameters that were trained alone; nil for all that were not frozen.
    public var trainedAlone: ParameterSelection?

    /// Creates the origin of a model and its text.
    public init(
        model: String = "custom", configuration: (any ModelConfiguration)? = nil, data: [String] = [],
        corpus: CorpusOptions? = nil, documents: DocumentSeparator = .nothing, validation: String? = nil,
        validationFraction: Double = 0.1
    ) {
        self.model = model
        self.configuration = configuration?.json ?? .object([:])
        self.data = data
        self.corpus = corpus
        self.documents = documents
        self.validation = validation
        self.validationFraction = validationFraction
    }
}

/// The weights that a run began from.
public struct InitialWeights: Sendable, Hashable {
    /// The folder of a run, or the file or folder of weights.
    public var path: String
    /// The rule by which they were taken.
    public var rule: LoadRule

    /// Creates the beginning of a run.
    public init(path: String, rule: LoadRule = .strict) { (self.path, self.rule) = (path, rule) }

    init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        path = try reader.string("path")
        rule = try reader.bool("partial", default: false) ? .matching : .strict
        try reader.finish()
    }
}

extension RunOrigin {
    /// The architecture's configuration as its type.
    /// - Throws: `InputError` that names the key where it is one of another architecture.
    public func configuration<Configuration: ModelConfiguration>(
        as type: Configuration.Type = Configuration.self
    ) throws -> Configuration {
        try Configuration(configuration, file: "the configuration of \(model)")
    }
}

/// A run's config.json: everything that decides its numbers.
public struct RunConfiguration: Sendable, Hashable {
    /// The origin of model and text.
    public var origin: RunOrigin
    /// True where the program made the batches itself: only it can resume the run.
    public var hasOwnBatches = false
    /// The kind of tokenizer; of no meaning in the run of a module that is no language model.
    public var tokenizer: TokenizerKind
    /// The options of the training.
    public var training: TrainingOptions
    /// Tokens trained on and held back, and their fingerprints: a text that has changed since is found out when the run is
    /// resumed.
    public var trainingTokens: Int
    /// The fingerprint of the tokens trained on.
    public var trainingChecksum: String
    /// 0 and nil where nothing is held back.
    public var validationTokens: Int
    /// The fingerprint of the tokens held back; nil where nothing is.
    public var validationChecksum: String?
    /// The number of threads, on which the last bits of the results may depend.
    public var threads: Int
    /// Whose kernels OpenBLAS multiplied with, on which they depend as well; nil where the run is from before they were
    /// written down.
    public var kernels: String?
    /// The format of the folder, `runFormat` where it was made by this package.
    public var format = runFormat
    /// The package's version.
    public var version = packageVersion

    package var json: JSONValue {
        var data: [String: JSONValue] = [
            "paths": .array(origin.data.map(JSONValue.string)),
            "corpus": origin.corpus?.json ?? .null, "documents": .string(origin.documents.description),
            "validation": origin.validation.map(JSONValue.string) ?? .null,
            "validation_fraction": .number(origin.validationFraction),
            "training_tokens": .integer(trainingTokens), "training_checksum": .string(trainingChecksum),
            "validation_tokens": .integer(validationTokens),
            "validation_checksum": validationChecksum.map(JSONValue.string) ?? .null,
        ]
        if hasOwnBatches { data["own_batches"] = .bool(true) }
        var members: [String: JSONValue] = [
            "format": .integer(format), "version": .string(version), "model": .string(origin.model),
            "configuration": origin.configuration,
            "tokenizer": .string(tokenizer.rawValue),
            "data": .object(data),
            "training": training.json, "threads": .integer(threads),
            "kernels": kernels.map(JSONValue.string) ?? .null,
        ]
        // As older versions know none of these, they are written only where they say something.
        members["init"] = origin.initialWeights.map {
            .object(["path": .string($0.path), "partial": .bool($0.rule == .matching)])
        }
        members["freeze"] = origin.frozen.patterns.isEmpty ? nil : Self.list(origin.frozen)
        members["train_only"] = origin.trainedAlone.map(Self.list)
        return .object(members)
    }

    private static func list(_ selection: ParameterSelection) -> JSONValue {
        .array(selection.patterns.map(JSONValue.string))
    }

    /// Tokens that a text can have: so many bytes are in no file.
    private static let mostTokens = 1 << 53

    /// Reads config.json.
    /// - Throws: `InputError` that names the file and the key.
    init(path: String) throws {
        var reader = try ConfigurationReader(path: path)
        version = try reader.string("version")
        format = try reader.int("format", default: 1, in: 1...)
        try checkFormat(format, file: path, version: version)
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
            model: model, data: paths.compactMap { $0 },
            corpus: try data.value("corpus").map { try CorpusOptions($0, file: "\(path), data, corpus") },
            documents: separator, validation: try data.optionalString("validation"),
            validationFraction: try data.double("validation_fraction", in: 0..<1))
        origin.configuration = configuration
        trainingTokens = try data.int("training_tokens", in: 0...Self.mostTokens)
        trainingChecksum = try data.string("training_checksum")
        validationTokens = try data.int("validation_tokens", in: 0...Self.mostTokens)
        validationChecksum = try data.optionalString("validation_checksum")
        hasOwnBatches = try data.bool("own_batches", default: false)
        try data.finish()
        origin.initialWeights = try reader.value("init").map { try InitialWeights($0, file: "\(path), init") }
        origin.frozen = try Self.selection("freeze", &reader) ?? []
        origin.trainedAlone = try Self.selection("train_only", &reader)
        training = try TrainingOptions(reader.value("training") ?? .object([:]), file: "\(path), training")
        threads = try reader.int("threads", in: Threads.counts)
        kernels = try reader.optionalString("kernels")
        try reader.finish()
    }

    private static func selection(_ key: String, _ reader: inout ConfigurationReader) throws -> ParameterSelection? {
        guard let value = reader.value(key) else { return nil }
        guard let patterns = value.arrayValue?.map(\.stringValue), !patterns.contains(nil) else {
            throw reader.error(key, "expected a list of strings")
        }
        return ParameterSelection(patterns.compactMap { $0 })
    }

    /// - Throws: `InputError` that names the text when it cannot be read any more.
    /// - Parameters:
    ///   - tokenizer: nil of a module that is no language model.
    ///   - split: nil of batches that the program makes.
    init(
        origin: RunOrigin, tokenizer: TokenizerKind?, training: TrainingOptions, split: DataSplit?, threads: Int
    ) throws {
        self.origin = origin
        self.tokenizer = tokenizer ?? .bytes
        self.training = training
        hasOwnBatches = split == nil
        trainingTokens = split?.training.count ?? 0
        trainingChecksum = try split?.training.fingerprint() ?? ""
        validationTokens = split?.validation?.count ?? 0
        validationChecksum = try split?.validation?.fingerprint()
        self.threads = threads
        kernels = BLAS.kernels
    }

    /// - Throws: `InputError` that names how tokenizer or text differ from those of the run in `folder`.
    package func requireSame(_ split: DataSplit, _ tokenizer: any Tokenizer, _ folder: RunFolder) throws {
        try requireText(folder)
        try requireSame(tokenizer, folder)
        for (text, tokens, checksum) in [
            (split.training, trainingTokens, trainingChecksum),
            (split.validation, validationTokens, validationChecksum),
        ] as [(TokenSource?, Int, String?)] {
            guard let text else {
                guard tokens == 0 else {
                    throw InputError("\(folder.path): validated with a text of \(tokens) tokens; found none")
                }
                continue
            }
            guard text.count == tokens else {
                throw InputError(
                    "\(text.name): has \(counted(text.count, "token")); the run in \(folder.path) began with \(tokens)")
            }
            let found = try text.fingerprint()
            guard found == checksum else {
                throw InputError(
                    "\(text.name): differs from the text the run in \(folder.path) was trained on (checksum \(found),"
                        + " expected \(checksum ?? "none"))")
            }
        }
    }

    /// - Throws: `InputError` where the run's tokenizer is of another kind.
    func requireSame(_ tokenizer: any Tokenizer, _ folder: RunFolder) throws {
        guard self.tokenizer == tokenizer.kind else {
            throw InputError(
                "\(folder.path): made with the tokenizer \(self.tokenizer.rawValue); found \(tokenizer.kind.rawValue)")
        }
    }

    /// - Throws: `InputError` where the program made the batches of the run in `folder`.
    package func requireText(_ folder: RunFolder) throws {
        guard hasOwnBatches else { return }
        throw InputError(
            "\(folder.path): the run's batches are made by a program; expected a run on a text, or that program")
    }

    /// - Throws: `InputError` where the run in `folder` is on a text.
    func requireOwnBatches(_ folder: RunFolder) throws {
        guard !hasOwnBatches else { return }
        throw InputError("\(folder.path): the run is on a text; expected one on batches that a program makes")
    }
}
