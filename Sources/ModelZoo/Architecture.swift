@_exported import BlockRecurrentTransformers
@_exported import FLASHTransformers
@_exported import FastWeightTransformers
@_exported import Linformers
@_exported import LocalTransformers
@_exported import NN
@_exported import Tensors
@_exported import Trainer
@_exported import Transformers
@_exported import Visualizing

/// A named starting point: a configuration and how to train it.
public struct Preset: Sendable {
    /// The peer's keyword names in snake_case.
    public let configuration: JSONValue
    /// The training that its author recommends.
    public let training: TrainingDefaults

    /// Creates a preset of a configuration, with the peer's key names, and its training.
    public init(configuration: JSONValue, training: TrainingDefaults) {
        self.configuration = configuration
        self.training = training
    }
}

/// One entry of the zoo: how to configure, preset and make the language model of an architecture.
public protocol Architecture: Sendable {
    /// The name on the command line.
    var id: String { get }

    /// From the smallest to the largest.
    var presetNames: [String] { get }

    /// A preset for an objective: one that hides tokens wants another configuration than one that predicts the next. The
    /// configuration may even be of another kind of model, such as an encoder–decoder for reversals, as long as
    /// `makeModel` and the two functions below can tell from the configuration itself.
    /// - Parameter objective: nil for the one that the preset is for, which its training options say.
    /// - Throws: `InputError` that lists the presets when there is none of this name, or names the objective when there is
    ///   none for it.
    func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset

    /// The causal model of a size, by the rules of the preset `small`.
    func configuration(_ size: ModelSize) -> JSONValue

    /// Builds a model with initial parameters drawn from `key`.
    /// - Throws: `InputError` that names `file` and the key of `configuration` that is wrong.
    func makeModel(_ configuration: JSONValue, file: String, key: RandomKey) throws -> any LanguageModel

    /// The configuration for a vocabulary of this size.
    func configuration(_ configuration: JSONValue, vocabularySize: Int) -> JSONValue

    /// The length of the longest rows that a configuration is for, where it says so itself: what the next function sets. It
    /// is kept where it was written.
    func rowLength(of configuration: JSONValue) -> Int?

    /// The configuration for training on sequences of this length, with this dropout; nil leaves either as it is.
    /// - Parameter sequenceLength: the length of the rows that the model reads, which is twice that of a window where it is
    ///   reversed (`ObjectiveKind.rowLength(ofWindow:)`).
    /// - Throws: `InputError` that names --dropout where the model has none.
    func configuration(_ configuration: JSONValue, sequenceLength: Int?, dropout: Double?) throws -> JSONValue
}

extension Architecture {
    public func rowLength(of configuration: JSONValue) -> Int? { nil }

    /// The preset for the objective that it is for.
    public func preset(_ name: String) throws -> Preset { try preset(name, objective: nil) }
}

extension TrainingDefaults {
    /// The same for another objective: rows stay as long as they were.
    func teaching(_ objective: ObjectiveKind) -> TrainingDefaults {
        var training = self
        training.sequenceLength = objective.windowLength(inRow: self.objective.rowLength(ofWindow: sequenceLength))
        training.objective = objective
        return training
    }
}

/// The architectures by id.
public enum ModelZoo {
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

/// - Throws: `InputError` where the objective hides tokens.
/// - Parameter models: what reads from the left only, as the subject of a sentence.
func refuseMasked(_ objective: ObjectiveKind?, _ models: String) throws {
    guard objective == .masked else { return }
    throw InputError(
        "--objective masked: \(models) read from the left, and do not see what stands after a hidden token; expected"
            + " next-token or reverse")
}

/// The error for a name that is not one of a list.
func unknown(_ kind: String, _ name: String, _ known: [String]) -> InputError {
    let hint = nearest(name, in: known).map { ", did you mean \"\($0)\"?" } ?? ""
    return InputError("unknown \(kind) \"\(name)\"\(hint) (known: \(known.joined(separator: ", ")))")
}

extension JSONValue {
    /// An object with some members replaced or added; anything else as it is.
    func setting(_ members: [String: JSONValue?]) -> JSONValue {
        guard case .object(var object) = self else { return self }
        for (key, value) in members { if let value { object[key] = value } }
        return .object(object)
    }
}
