import NN
import Tensors

/// Several heads from one projection, each by a scale and an offset of its own: x ⊙ γ_h + β_h (2202.10447, section 3.1).
///
/// Keys: gamma [heads, s], normal with deviation 0.02 at first; beta [heads, s], zeros.
public struct OffsetScale: Module {
    public let gamma: Parameter
    public let beta: Parameter

    public init(_ dimension: Int, heads: Int, key: RandomKey) {
        gamma = Parameter(.normal([heads, dimension], standardDeviation: 0.02, key: key))
        beta = Parameter(.zeros([heads, dimension]))
    }

    /// x: [..., s] → one [..., s] for each head
    public func callAsFunction(_ x: Tensor) -> [Tensor] {
        (0..<gamma.shape[0]).map { x * gamma.value.at(0, $0) + beta.value.at(0, $0) }
    }

    public func collect(into state: inout StateCollector) {
        state.add("gamma", gamma)
        state.add("beta", beta)
    }
}
