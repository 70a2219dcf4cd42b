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

    /// x: [..., inputs] → [..., outputs], plus `residual`.
    public func callAsFunction(_ x: Tensor, residual: Tensor? = nil, mode: ForwardMode = .inference) -> Tensor {
        let drops = dropout > 0 && mode.key != nil
        let y = feedForward(
            x, up: up.projection, activation: activation.activation, dropout: dropout, key: mode.child(0).key,
            down: down.projection, residual: drops ? nil : residual)
        guard drops else { return y }
        let dropped = Tensors.dropout(y, probability: Float(dropout), key: mode.child(1).key)
        return residual.map { $0 + dropped } ?? dropped
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

    /// - Parameter run: the branch on x, plus a residual.
    func callAsFunction(_ x: Tensor, _ run: (_ residual: Tensor) -> Tensor) -> Tensor {
        norm(run(resample.map { $0(x) } ?? x))
    }

    public func collect(into state: inout StateCollector) {
        state.add("fn", branch)
        if let resample { state.add("resample", resample) }
        state.add("norm", norm)
    }
}
