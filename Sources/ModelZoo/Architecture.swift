@_exported import AttentionZooReports
@_exported import BlockRecurrentTransformers
@_exported import FLASHTransformers
@_exported import FastWeightTransformers
@_exported import Linformers
@_exported import LocalTransformers
@_exported import NN
@_exported import Tensors
@_exported import Trainer
@_exported import Transformers

/// A named starting point: a configuration and how to train it.
public struct Preset<Configuration: ModelConfiguration>: Sendable, Equatable {
    /// The model's configuration.
    public var configuration: Configuration
    /// The training that its author recommends.
    public var training: TrainingDefaults

    /// Creates a preset of a configuration and its training.
    public init(configuration: Configuration, training: TrainingDefaults) {
        self.configuration = configuration
        self.training = training
    }
}

/// One entry of the zoo: how to configure, preset and make the language model of an architecture.
///
/// The keys of the configuration that a training decides (vocabulary, length of rows, dropout) are those that have a
/// `ConfigurationRole` in its schema.
public protocol Architecture<Configuration>: Sendable {
    /// The configuration of its models.
    associatedtype Configuration: ModelConfiguration

    /// The name on the command line.
    var id: String { get }

    /// From the smallest to the largest.
    var presetNames: [String] { get }

    /// A preset for an objective: one that hides tokens wants another configuration than one that predicts the next. The
    /// configuration may even be of another kind of model, such as an encoder–decoder for reversals.
    /// - Parameter objective: nil for the one that the preset is for, which its training options say.
    /// - Throws: `InputError` that lists the presets when there is none of this name, or names the objective when there is
    ///   none for it.
    func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset<Configuration>

    /// The causal model of a size, by the rules of the preset `small`.
    /// - Throws: `InputError` where the size is impossible.
    func configuration(_ size: ModelSize) throws -> Configuration

    /// Builds a model with initial parameters drawn from `key`.
    /// - Throws: `ConfigurationError` that names the key which makes no language model.
    func makeModel(_ configuration: Configuration, key: RandomKey) throws -> any LanguageModel
}

extension Architecture {
    /// The preset for the objective that it is for.
    public func preset(_ name: String) throws -> Preset<Configuration> { try preset(name, objective: nil) }

    /// Builds the model of a preset with initial parameters drawn from `key`, of whatever architecture.
    public func makeModel(
        preset name: String, objective: ObjectiveKind? = nil, key: RandomKey
    ) throws -> any LanguageModel {
        try makeModel(preset(name, objective: objective).configuration, key: key)
    }

    /// The training of a preset, of whatever architecture.
    public func training(preset name: String, objective: ObjectiveKind? = nil) throws -> TrainingDefaults {
        try preset(name, objective: objective).training
    }
}

extension TrainingDefaults {
    /// The same for another objective: rows stay as long as they were.
    public func teaching(_ objective: ObjectiveKind) -> TrainingDefaults {
        var training = self
        training.sequenceLength = objective.windowLength(inRow: self.objective.rowLength(ofWindow: sequenceLength))
        training.objective = objective
        return training
    }
}

/// The architectures by id.
public enum Zoo {
    private static let architectures: [any Architecture] = [
        FLASHArchitecture(), LocalArchitecture(), LinformerArchitecture(), FastWeightsArchitecture(),
        BlockRecurrentArchitecture(), TransformerArchitecture(),
    ]

    /// The ids of all architectures, in the order of the registry.
    public static let identifiers = architectures.map(\.id)

    /// - Throws: `InputError` that lists the ids and names the nearest.
    public static func architecture(_ id: String) throws -> any Architecture {
        if let found = architectures.first(where: { $0.id == id }) { return found }
        throw unknown("model", id, identifiers)
    }
}

/// - Throws: `OptionError` where the objective hides tokens.
/// - Parameter models: what reads from the left only, as the subject of a sentence.
func refuseMasked(_ objective: ObjectiveKind?, _ models: String) throws {
    guard objective == .masked else { return }
    throw OptionError(
        "objective", is: "masked",
        """
        \(models) read from the left, and do not see what stands after a hidden token; expected next-token or reverse
        """)
}

/// The error for a name that is not one of a list.
func unknown(_ kind: String, _ name: String, _ known: [String]) -> InputError {
    let hint = nearest(name, in: known).map { ", did you mean \"\($0)\"?" } ?? ""
    return InputError("unknown \(kind) \"\(name)\"\(hint) (known: \(known.joined(separator: ", ")))")
}
