import Tensors

/// A causal convolution of each channel over its last few tokens, as linear transformers put before attention (Gated Linear
/// Attention, 2312.06635; its ablation for the delta rule is 2406.06484, table 3):
///
///     y_t = f(Σ_j w_j ⊙ x_{t − k + 1 + j} + b),  j = 0 … k − 1
///
/// Keys: weight [channels, 1, k], bias [channels], those of PyTorch's Conv1d with as many groups as channels.
public struct ShortConvolution: Module {
    public let weight: Parameter
    public let bias: Parameter?
    public let activation: Activation

    /// k, the tokens an output sees.
    public var kernel: Int { weight.shape[2] }
    public var channels: Int { weight.shape[0] }

    /// - Parameters:
    ///   - channels: the width of what it reads.
    ///   - kernel: the tokens an output sees, at least 1.
    ///   - activation: f.
    ///   - key: what the initial weights are drawn from.
    public init(
        _ channels: Int, kernel: Int = 4, bias: Bool = false, activation: Activation = .silu, key: RandomKey
    ) {
        require(kernel >= 1, "ShortConvolution: kernel \(kernel), expected at least 1")
        let bound = 1 / Float(kernel).squareRoot()
        weight = Parameter(.uniform([channels, 1, kernel], low: -bound, high: bound, key: key.child(0)))
        self.bias = bias ? Parameter(.uniform([channels], low: -bound, high: bound, key: key.child(1))) : nil
        self.activation = activation
    }

    /// - Parameters:
    ///   - x: [b, n, channels].
    ///   - before: the last k − 1 tokens before x, [b, k − 1, channels]; nil for zeros, at the beginning.
    /// - Returns: [b, n, channels], and the tokens that the next ones are read with, [b, k − 1, channels].
    public func callAsFunction(_ x: Tensor, after before: Tensor? = nil) -> (output: Tensor, last: Tensor) {
        require(x.rank == 3 && x.shape[2] == channels, "ShortConvolution: x \(x.shape), expected [b, n, \(channels)]")
        let (b, n) = (x.shape[0], x.shape[1])
        let history = before ?? .zeros([b, kernel - 1, channels])
        require(
            history.shape == [b, kernel - 1, channels],
            "ShortConvolution: after \(history.shape), expected \([b, kernel - 1, channels])")
        let tokens = kernel == 1 ? x : concatenate([history, x], axis: 1)  // [b, k − 1 + n, channels]
        let w = weight.value.reshaped([channels, kernel])
        var sum = tokens.sliced(1, to: n) * w.at(1, 0)
        for j in 1..<max(kernel, 1) { sum = sum + tokens.sliced(1, from: j, to: j + n) * w.at(1, j) }
        if let bias { sum = sum + bias.value }
        return (activation(sum), tokens.sliced(1, from: n))
    }

    public func collect(into state: inout StateCollector) {
        state.add("weight", weight)
        if let bias { state.add("bias", bias) }
    }
}
