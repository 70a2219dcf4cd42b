import Tensors

/// The precision in which a model holds weights that are only read.
public enum WeightPrecision: String, Sendable, CaseIterable {
    /// As they are, or rounded to 16 bits, or to 8 with a scale for each 64.
    case float, bfloat16, int8

    /// The format that weights are rounded to; nil for floats.
    public var format: RoundedMatrix.Format? { RoundedMatrix.Format(rawValue: rawValue) }
}
