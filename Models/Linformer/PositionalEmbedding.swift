import NN
import Tensors

/// Sines and cosines of the positions (1706.03762, section 3.5, with base 100,000): all sines, then all cosines.
///
/// Key: inv_freq [⌈d / 2⌉].
public struct PositionalEmbedding: Module {
    /// 1 / base^(2 i / d), [⌈d / 2⌉]: computed, saved and not trained.
    public let inverseFrequencies: Parameter
    private let dimension: Int

    /// - Parameter dimension: d.
    public init(_ dimension: Int) {
        inverseFrequencies = Parameter(Tensor(NN.inverseFrequencies(dimension, base: 100_000)), .computed)
        self.dimension = dimension
    }

    /// Embeds positions [n] as [n, d]; of an odd d the last cosine is left out.
    public func callAsFunction(_ positions: Tensor) -> Tensor {
        sinusoids(positions, frequencies: inverseFrequencies.value, dimension: dimension)
    }

    public func collect(into state: inout StateCollector) { state.add("inv_freq", inverseFrequencies) }
}
