import NN
import Tensors

/// Two linear layers with an activation between them, or a gate (2002.05202). Keys: w_1.*, whose rows for a are above those
/// for g with a gate, w_2.*.
public struct FeedForward: Module {
    /// W₁ and b₁, to the hidden width.
    public let up: Linear
    /// W₂ and b₂, to the width of the output.
    public let down: Linear
    /// The activation between them, f.
    public let activation: LinformerActivation
    /// Whether half of the first layer's columns gate the others.
    public let isGated: Bool
    /// The probability of dropout after the activation and after the second layer.
    public let dropout: Double

    /// - Parameter key: the source of the initial parameters.
    public init(
        _ inputs: Int, _ outputs: Int, hidden: Int, activation: LinformerActivation = .gelu, isGated: Bool = false,
        dropout: Double = 0, key: RandomKey
    ) {
        up = Linear(inputs, isGated ? 2 * hidden : hidden, key: key.child(0))
        down = Linear(hidden, outputs, key: key.child(1))
        (self.activation, self.isGated, self.dropout) = (activation, isGated, dropout)
    }

    /// dropout(W₂ dropout(f(W₁ x + b₁)) + b₂), with a gate a ⊙ f(g) of a, g = W₁ x + b₁ for f. x: [..., inputs] → [..., outputs]
    public func callAsFunction(_ x: Tensor, mode: ForwardMode = .inference) -> Tensor {
        func drop(_ x: Tensor, _ index: Int) -> Tensor {
            Tensors.dropout(x, probability: Float(dropout), key: mode.child(index).key)
        }
        let function = activation.activation
        switch mode.implementation {
        case .plain: return drop(down(drop(hidden(x), 0)), 1)
        case .fused:
            let y = feedForward(
                x, up: up.projection, activation: function, isGated: isGated, dropout: dropout, key: mode.child(0).key,
                down: down.projection)
            return drop(y, 1)
        }
    }

    /// f(W₁ x + b₁), or a ⊙ f(g). [..., inputs] → [..., hidden]
    private func hidden(_ x: Tensor) -> Tensor {
        guard isGated else { return up(x, activation: activation.activation) }
        let halves = up(x).split(count: 2)
        return halves[0] * activation.activation(halves[1])
    }

    /// self(x) + x with x = norm(sum). The fused form stores neither x nor its product. sum: [..., d] → [..., d]
    func callAsFunction(adding sum: Tensor, after norm: LayerNorm, mode: ForwardMode) -> Tensor {
        guard mode.implementation == .fused && (dropout == 0 || mode.key == nil) else {
            let x = norm(sum)
            return x + self(x, mode: mode)
        }
        return feedForward(
            sum, norm: norm.norm, up: up.projection, activation: activation.activation, isGated: isGated,
            down: down.projection,
            residual: FeedForwardResidual.input)
    }

    /// residual + self(norm(x)). x: [..., inputs] → [..., outputs]
    func callAsFunction(norm: LayerNorm, _ x: Tensor, residual: Tensor, mode: ForwardMode) -> Tensor {
        guard mode.implementation == .fused && (dropout == 0 || mode.key == nil) else {
            return residual + self(norm(x), mode: mode)
        }
        return feedForward(
            x, norm: norm.norm, up: up.projection, activation: activation.activation, isGated: isGated,
            down: down.projection,
            residual: .tensor(residual))
    }

    public func collect(into state: inout StateCollector) {
        state.add("w_1", up)
        state.add("w_2", down)
    }
}

/// A branch, its residual and a norm: norm(x + f(x)), or x + f(norm(x)) with pre_norm. Keys: fn.*, resample.* where the width
/// changes, norm.*.
public struct Sublayer<Branch: Module>: Module {
    /// The function f of x.
    public let branch: Branch
    /// The residual's projection to the width of the output, where that is another.
    public let resample: Linear?
    /// The norm of the branch's input or of the sum.
    public let norm: LayerNorm
    /// True where the norm is applied to the branch's input (pre_norm), false where to the sum.
    public let normalizesFirst: Bool

    init(_ branch: Branch, _ inputs: Int, _ outputs: Int, normalizesFirst: Bool, key: RandomKey) {
        self.branch = branch
        resample = inputs == outputs ? nil : Linear(inputs, outputs, key: key)
        norm = LayerNorm(normalizesFirst ? inputs : outputs)
        self.normalizesFirst = normalizesFirst
    }

    /// The norm of the branch's input; nil where the sum is normalized.
    var normBefore: LayerNorm? { normalizesFirst ? norm : nil }

    public func collect(into state: inout StateCollector) {
        state.add("fn", branch)
        if let resample { state.add("resample", resample) }
        state.add("norm", norm)
    }
}

extension Sublayer<FeedForward> {
    /// norm(x + f(x)) with x the norm of a sum, that of the sub-layer before. sum: [..., inputs] → [..., outputs]
    func callAsFunction(_ sum: Tensor, after norm: LayerNorm, mode: ForwardMode) -> Tensor {
        guard let resample else { return self.norm(branch(adding: sum, after: norm, mode: mode)) }
        let x = norm(sum)
        return self.norm(resample(x) + branch(x, mode: mode))
    }

    /// x + f(norm(x)). x: [..., inputs] → [..., outputs]
    func callAsFunction(_ x: Tensor, mode: ForwardMode) -> Tensor {
        branch(norm: norm, x, residual: resample.map { $0(x) } ?? x, mode: mode)
    }
}
