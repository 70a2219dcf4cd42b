import NN
import Tensors

/// A bias of the scores that a small network makes of the distance between query and key, for each head.
///
/// Keys: mlp.{0, 2, 4}.{weight, bias}.
public struct DynamicPositionBias: Module {
    /// From a distance to the network's width, there again, and to a number for each head.
    public let input: Linear, hidden: Linear, output: Linear

    /// - Parameters:
    ///   - dimension: the width of the network.
    ///   - key: what the initial parameters are drawn from.
    public init(_ dimension: Int, heads: Int, key: RandomKey) {
        input = Linear(1, dimension, key: key.child(0))
        hidden = Linear(dimension, dimension, key: key.child(1))
        output = Linear(dimension, heads, key: key.child(2))
    }

    /// The bias of the distances 0 ..< count. Returns [heads, count].
    public func byDistance(_ count: Int) -> Tensor {
        let distances = Tensor.range(count).reshaped([count, 1])
        return output(hidden(input(distances, activation: .silu), activation: .silu)).transposed()
    }

    /// The bias of every query and key of sequences of n tokens that a pattern brings together.
    public func callAsFunction(_ pattern: WindowPattern, tokens n: Int) -> WindowBias {
        let windows = max(pattern.lookBackward, pattern.lookForward) + (pattern.isExact ? 0 : 1)
        let count = max(min(windows * pattern.window + (pattern.isExact ? 1 : 0), n), 1)
        let after = byDistance(count)
        let before = after.sliced(1, from: count - 1, by: -1)  // distances count − 1 … 0
        let both = pattern.isCausal ? before : concatenate([before, after.sliced(1, from: 1)], axis: 1)
        return .byDistance(both, origin: count - 1)
    }

    public func collect(into state: inout StateCollector) {
        state.add("mlp.0", input)
        state.add("mlp.2", hidden)
        state.add("mlp.4", output)
    }
}
