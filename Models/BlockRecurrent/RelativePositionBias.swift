import NN
import Tensors

/// A learned bias of each head by distance, in T5's buckets, which the authors add to the product of query and key before its
/// factor (google-research/meliad, `T5RelativePositionBiases`).
///
/// Key: weight [32, h], of variance 1 / 32 at first.
public struct RelativePositionBias: Module {
    /// The bias of each bucket and head.
    public let weight: Parameter
    private static let buckets = RelativePositionBuckets(isCausal: true)

    init(_ configuration: BlockRecurrentConfiguration, key: RandomKey) {
        let count = Self.buckets.count
        weight = Parameter(
            .normal([count, configuration.heads], standardDeviation: 1 / Float(count).squareRoot(), key: key))
    }

    /// Returns the bias of n keys by their distance, the farthest first, a query's own key last: [h, n].
    func byDistance(_ n: Int) -> Tensor {
        let buckets = (0..<n).map { Int32(Self.buckets.bucket(of: $0 - (n - 1))) }
        return weight.value.taking(TokenTensor(buckets)).transposed(0, 1)
    }

    public func collect(into state: inout StateCollector) { state.add("weight", weight) }
}
