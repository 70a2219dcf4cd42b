import NN
import Tensors

/// Some of a model's parameters, with a learning rate and a weight decay of their own.
public struct ParameterGroup: Sendable, Hashable {
    /// The state-dict keys that belong to the group; `*` stands for any characters, none included.
    public var pattern: String
    /// The factor of the learning rate.
    public var rateFactor: Double
    /// The weight decay; nil for the optimizer's.
    public var weightDecay: Double?

    /// Creates a group of the keys that match a pattern, such as `*.bias` or `layers.0.*`.
    public init(_ pattern: String, rateFactor: Double = 1, weightDecay: Double? = nil) {
        require(
            rateFactor >= 0 && rateFactor.isFinite, "ParameterGroup: rate factor \(rateFactor), expected at least 0")
        (self.pattern, self.rateFactor, self.weightDecay) = (pattern, rateFactor, weightDecay)
    }

    /// Tells whether a parameter belongs to the group.
    public func contains(_ key: String) -> Bool { ParameterSelection([pattern]).contains(key) }
}

extension ParameterGroup: CheckedOptions {
    static var defaults: ParameterGroup { ParameterGroup("*") }

    static let schema: [OptionField<ParameterGroup>] = [
        OptionField(
            "pattern", read: { $0.pattern = try $1.string("pattern") }, members: { ["pattern": .string($0.pattern)] }),
        .number("rate_factor", \.rateFactor, .atLeast(0), isRequired: false),
        .number("weight_decay", \.weightDecay, .atLeast(0)).written { $0.weightDecay != nil },
    ]

    public init(from decoder: any Decoder) throws { try self.init(decoding: decoder) }

    public func encode(to encoder: any Encoder) throws { try json.encode(to: encoder) }
}
