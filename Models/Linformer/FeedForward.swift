import NN
import Tensors

/// Two linear layers with an activation between them. Keys: w_1.*, w_2.*.
public struct FeedForward: Module {
    public let up: Linear
    public let down: Linear
    public let activation: LinformerActivation
    /// After the activation, and after the second layer.
    public let dropout: Double

    /// - Parameter key: what the initial parameters are drawn from.
    public init(
        _ inputs: Int, _ outputs: Int, hidden: Int, activation: LinformerActivation = .gelu, dropout: Double = 0,
        key: RandomKey
    ) {
        up = Linear(inputs, hidden, key: key.child(0))
        down = Linear(hidden, outputs, key: key.child(1))
        (self.activation, self.dropout) = (activation, dropout)
    }

    /// x: [..., inputs] → [..., outputs]
    public func callAsFunction(_ x: Tensor, mode: ForwardMode = .inference) -> Tensor {
        let y = feedForward(
            x, up: up.projection, activation: activation.activation, dropout: dropout, key: mode.child(0).key,
            down: down.projection)
        return Tensors.dropout(y, probability: Float(dropout), key: mode.child(1).key)
    }

    /// norm(x) + self(norm(x)), neither norm(x) nor its product stored. x: [..., d] → [..., d]
    func callAsFunction(adding x: NormedTensor, mode: ForwardMode) -> Tensor {
        guard dropout == 0 || mode.key == nil else {
            let normed = x.value
            return normed + self(normed, mode: mode)
        }
        return feedForward(
            x.sum, norm: x.norm?.norm, up: up.projection, activation: activation.activation, down: down.projection,
            addsInput: true)
    }

    public func collect(into state: inout StateCollector) {
        state.add("w_1", up)
        state.add("w_2", down)
    }
}

/// Layer norm of a branch and its residual. Keys: fn.*, resample.* where the width changes, norm.*.
public struct PostNorm<Branch: Module>: Module {
    public let branch: Branch
    /// What makes the residual as wide as the output.
    public let resample: Linear?
    public let norm: LayerNorm

    init(_ branch: Branch, _ inputs: Int, _ outputs: Int, key: RandomKey) {
        self.branch = branch
        resample = inputs == outputs ? nil : Linear(inputs, outputs, key: key)
        norm = LayerNorm(outputs)
    }

    public func collect(into state: inout StateCollector) {
        state.add("fn", branch)
        if let resample { state.add("resample", resample) }
        state.add("norm", norm)
    }
}

/// A sum and the norm that has not been taken of it yet: what reads it may take it panel by panel.
struct NormedTensor: Sendable {
    let sum: Tensor
    /// nil: the sum is what is read.
    let norm: LayerNorm?

    var value: Tensor { norm.map { $0(sum) } ?? sum }
}

extension PostNorm<FeedForward> {
    /// x + branch(x), to be normalised. x: [..., inputs] → [..., outputs]
    func callAsFunction(_ x: NormedTensor, mode: ForwardMode) -> NormedTensor {
        guard let resample else { return NormedTensor(sum: branch(adding: x, mode: mode), norm: norm) }
        let value = x.value
        return NormedTensor(sum: resample(value) + branch(value, mode: mode), norm: norm)
    }
}
