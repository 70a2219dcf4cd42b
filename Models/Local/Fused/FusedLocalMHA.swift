import NN
import Tensors

// Parts of LocalMHA in fewer passes over memory.

extension LocalMHA {
    /// Projects x to queries, keys, values and gates: the normalized rows pass to both products in cache.
    func fusedProjections(_ x: Tensor) -> (qkv: Tensor, gates: Tensor?) {
        guard let norm else { return (toQKV(x), toGates.map { $0(x) }) }
        let projected = normLinear(x, norm: norm.norm, [toQKV.projection] + (toGates.map { [$0.projection] } ?? []))
        return (projected[0], projected.count > 1 ? projected[1] : nil)
    }

    /// True if queries and keys are used as they are projected.
    var readsProjection: Bool {
        !options.normalizesQueriesAndKeys && !options.attention.sharesQueriesAndKeys && attention.rotary == nil
    }

    /// Attends to queries, keys and values where the projection left them. qkv: [b, n, 3 h d] → [b, n, h d].
    func fusedAttention(_ qkv: Tensor, mask: Tensor?, bias: WindowBias?, mode: ForwardMode) -> Tensor {
        let rules = attention.rules(
            options.headDimension, window: options.attention.windowSize, mask: mask, bias: bias, mode: mode)
        if let recorder = mode.recorder {
            let (q, k, _) = heads(qkv)
            recorder.record(windowAttentionWeights(q, k, options: rules))
        }
        return windowAttention(packed: qkv, heads: options.heads, options: rules)
    }
}
