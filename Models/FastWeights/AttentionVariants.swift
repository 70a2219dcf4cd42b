import NN
import Tensors

// Attention other than the default. Attention normalization (2102.11174, sections 3.2 and 4.2) divides reads by what the sum of
// the keys gives; for the delta rule the paper divides keys and queries by their own sums in its place. Softmax attention has
// no fast weights.
//
// b batch, n tokens, h heads, dk features of keys and queries

extension FastWeightsAttention {
    /// Reads and writes the memory with divisors: with z_t the sum of the keys up to t, z_{t−1} φ(k_t) for what is under a key,
    /// z_t φ(q_t) for the output.
    func attendNormalized(
        _ inputs: MemoryInputs, beta: Tensor, state: FastWeights?, _ mode: ForwardMode
    ) -> (output: Tensor, state: FastWeights?) {
        let phi = features(mode)
        let q = phi(inputs.q, implementation: mode.implementation)
        let k = phi(inputs.k, implementation: mode.implementation)
        func sums(_ q: Tensor, _ k: Tensor) -> (Tensor, Tensor) {
            let (y, z) = keySums(
                q, k, state: state?.keySum, segment: configuration.segment, implementation: mode.implementation)
            return (y + configuration.epsilon, z)
        }
        var erase: Tensor?
        if configuration.rule == .delta {
            let before = k.sliced(1, from: 0, to: max(k.shape[1] - 1, 0)).padded(axis: 1, before: min(k.shape[1], 1))
            erase = beta / sums(k, before).0
        }
        let (y, s) = deltaRule(
            q, k, inputs.v, beta: beta, erase: erase, rule: configuration.rule, state: state?.memory,
            segment: configuration.segment, implementation: mode.implementation)
        let (divisor, z) = sums(q, k)
        return (y / divisor.unsqueezed(-1), FastWeights(memory: s, keySum: z))
    }

    /// softmax(q kᵀ / √d) v over the tokens up to each (1706.03762, equation 1): what fast weights are compared with.
    func attendWithSoftmax(_ inputs: MemoryInputs, _ mode: ForwardMode) -> Tensor {
        let (q, k, v) = (inputs.q, inputs.k, inputs.v)
        let scale = 1 / Float(configuration.headWidth).squareRoot()
        func weights() -> Tensor {
            let scores = matrixProduct(q.transposed(1, 2), k.transposed(1, 2), transposeB: true) * scale
            return softmax(select(.lowerTriangle(q.shape[1], k.shape[1]), scores, -.infinity))  // [b, h, n, n]
        }
        if let recorder = mode.recorder { withoutGradients { recorder.record(weights()) } }
        switch mode.implementation {
        case .plain: return matrixProduct(weights(), v.transposed(1, 2)).transposed(1, 2)
        case .fused: return attention(q, k, v, scale: scale, isCausal: true)
        }
    }
}

/// Sums keys up to each token, z_t, and reads the sum under queries, as the sum rule would with values of 1.
///
/// - Parameters:
///   - q, k: features, [b, n, h, dk].
///   - state: z before the first token, [b, h, dk, 1]; nil for zeros.
///   - segment: as in `deltaRule`.
/// - Returns: z_t q_t, [b, n, h], and z after the last token.
func keySums(
    _ q: Tensor, _ k: Tensor, state: Tensor?, segment: Int, implementation: Implementation
) -> (output: Tensor, state: Tensor) {
    if implementation == .fused { return fusedKeySums(q, k, state: state, segment: segment) }
    let before = state ?? .zeros([k.shape[0], k.shape[2], k.shape[3], 1])
    let z = before.squeezed(-1).unsqueezed(1) + k.cumulativeSum(axis: 1)  // [b, n, h, dk]
    return ((z * q).sum(axes: [-1]), before + k.sum(axes: [1]).unsqueezed(-1))
}
