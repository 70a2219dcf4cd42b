@_exported import AttentionZooReports
@_exported import BlockRecurrentTransformers
@_exported import FLASHTransformers
@_exported import FastWeightTransformers
@_exported import Linformers
@_exported import LocalTransformers
@_exported import NN
import Synchronization
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

    /// The name in reports, the id unless another is given.
    var displayName: String { get }

    /// The color, the dash and the shape of points in reports, the same in every plot; nil for some that no other entry has.
    var plotStyle: PlotStyle? { get }

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
    public var displayName: String { id }
    public var plotStyle: PlotStyle? { nil }

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

/// The architectures by id: those of this package, and those that a program registers.
public enum Zoo {
    private static let registered = Mutex<[any Architecture]>([
        FLASHArchitecture(), LocalArchitecture(), LinformerArchitecture(), FastWeightsArchitecture(),
        BlockRecurrentArchitecture(), TransformerArchitecture(),
    ])

    /// All architectures, in the order in which they came.
    public static var architectures: [any Architecture] { registered.withLock { $0 } }

    /// The ids of all architectures, in the order in which they came.
    public static var identifiers: [String] { architectures.map(\.id) }

    /// Adds an architecture, which from then on trains, resumes, loads, generates, evaluates and is compared by its id as
    /// the package's own do, in Swift and in the commands.
    ///
    /// A program does so once, before it makes or opens a model. An id that is taken already ends the program: runs would
    /// open as another architecture than they were begun with.
    public static func register(_ architecture: some Architecture) {
        let isFree = registered.withLock { architectures in
            guard !architectures.contains(where: { $0.id == architecture.id }) else { return false }
            architectures.append(architecture)
            return true
        }
        require(isFree, "Zoo.register: there is an architecture \"\(architecture.id)\" already")
    }

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
