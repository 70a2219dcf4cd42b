import AttentionZooTestSupport
import Foundation
import Linformers
import NN
import Tensors
import Testing

/// The share of a slot that a token leaves.
enum Forgetting: String, CaseIterable {
    /// Nearly all; most, as σ^{1/8} does; next to nothing (α = 1e-4); any of these by token and slot; nothing at all, or
    /// all, here and there.
    case slow, usual, fast, mixed, clearing

    /// ln α of a tensor [b, n, h, m].
    func draw(_ shape: [Int], key: RandomKey) -> Tensor {
        let noise = Tensor.uniform(shape, key: key.child(0))
        let choice = Tensor.uniform(shape, key: key.child(1)).values
        func mix(_ kinds: [Float]) -> Tensor { Tensor(choice.map { kinds[Int($0 * 3.999)] }, shape: shape) }
        switch self {
        case .slow: return noise * -0.01
        case .usual: return softplus(noise * 8 - 4) / -8
        case .fast: return Tensor(repeating: Float(log(1e-4)), shape: shape)
        case .mixed: return mix([-0.001, -0.4, -9.3, -60]) * (noise + 0.5)
        case .clearing: return mix([-0.1, -0.5, 0, -.infinity])
        }
    }
}

/// Sizes and variants of gated slot attention.
struct GatedSlotCase: CustomTestStringConvertible, Sendable {
    var b = 1
    var n: Int
    var h = 2, d = 3, dv = 3, m = 5
    var forgetting = Forgetting.usual
    var hasState = false
    /// True where the loss reads the slots after the last token.
    var readsState = false
    var dropout = 0.0

    var testDescription: String {
        "b \(b) n \(n) h \(h) d \(d) dv \(dv) m \(m) \(forgetting)\(hasState ? " state" : "")"
            + "\(readsState ? " reads state" : "") dropout \(dropout)"
    }

    static let names = ["q", "k", "v", "logForget", "state.keys", "state.values"]
    static let scale: Float = 0.6

    /// q, k, v, logForget and, with a state, its keys and values.
    func inputs() -> [Tensor] {
        func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }
        let tokens = [d, d, dv].enumerated().map { random([b, n, h, $1], UInt64($0)) }
        let state = hasState ? [random([b, h, m, d], 5), random([b, h, m, dv], 6)] : []
        return tokens + [forgetting.draw([b, n, h, m], key: RandomKey(seed: 4))] + state
    }

    /// The operation on these inputs.
    func attend(_ x: [Tensor], _ implementation: Implementation = .fused) -> (output: Tensor, state: GatedSlots) {
        gatedSlotAttention(
            x[0], x[1], x[2], logForget: x[3], state: hasState ? GatedSlots(keys: x[4], values: x[5]) : nil,
            scale: Self.scale, dropout: dropout, key: RandomKey(seed: 77), implementation: implementation)
    }

    /// Output and slots, and the gradients of all inputs of a loss of randomly weighted outputs.
    func results(_ implementation: Implementation) -> (values: [Tensor], gradients: [Tensor]) {
        let leaves = inputs().map { $0.requiringGradient() }
        let (output, state) = attend(leaves, implementation)
        func weighted(_ x: Tensor, _ seed: UInt64) -> Tensor {
            (x * .normal(x.shape, key: RandomKey(seed: seed))).sum()
        }
        var loss = weighted(output, 8)
        if readsState { loss = loss + weighted(state.keys, 9) + weighted(state.values, 10) }
        let all = gradients(of: loss)
        return (
            [output.detached(), state.keys.detached(), state.values.detached()],
            leaves.map { all[$0] ?? .zeros($0.shape) }
        )
    }

    /// A slot is a sum over all tokens, a score over d columns, an output over m slots.
    var lengths: SumLengths { SumLengths(path: n + d + m, rows: b * n, widest: max(n, d, dv, m)) }
}
