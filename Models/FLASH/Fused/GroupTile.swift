import CKernels
import NN
import Tensors

/// Writes the heads of consecutive tokens, silu(qk) ⊙ γ + β, rotated.
/// - Parameters:
///   - qk: [count, s].
///   - gamma, beta: [heads, s].
///   - position: of the first token in `rotary`.
///   - shared: silu(qk), [count, s].
///   - heads: [count, s] each.
func writeHeads(
    count: Int, qk: UnsafePointer<Float>, gamma: Tensor, beta: Tensor, rotary: RotaryTable?, position: Int,
    shared: UnsafeMutablePointer<Float>, heads: [UnsafeMutablePointer<Float>]
) {
    let s = gamma.shape[1]
    az_silu_rows_forward(count, s, qk, s, shared, s)
    for (index, head) in heads.enumerated() {
        az_affine_rows_forward(count, s, shared, gamma.pointer + index * s, beta.pointer + index * s, head)
        rotary?.rotate(head, rows: count, width: s, from: position)
    }
}

extension AttentionFunction {
    var forward: az_row_function { self == .laplace ? az_laplace_forward : az_relu2_forward }
    var backward: az_row_gradient_function { self == .laplace ? az_laplace_backward : az_relu2_backward }
}

/// One group of tokens in the cache: its four heads, its values and its scores. Each worker makes one and loads its groups
/// into it in turn.
final class GroupTile {
    let attention: MixedChunkAttention
    private let s: Int, e: Int, g: Int
    private(set) var row = 0
    private(set) var tokens = 0..<0
    var count: Int { tokens.count }

    private let memory: Tensor
    /// silu(qk): [g, s]
    let shared: UnsafeMutablePointer<Float>
    /// q₁, q₂, k₁, k₂: [g, s] each
    let heads: [UnsafeMutablePointer<Float>]
    /// v: [g, e]
    let values: UnsafeMutablePointer<Float>
    /// A: [g, g]
    let weights: UnsafeMutablePointer<Float>

    /// The rows of a causal group that are worked on together: products stop at the diagonal block, which saves about 3/8
    /// of them.
    static let causalBlock = 64

    init(_ attention: MixedChunkAttention) {
        self.attention = attention
        (s, e, g) = (attention.s, attention.e, min(attention.g, attention.n))
        memory = Tensor(uninitialized: [5 * g * s + g * e + g * g])
        let base = memory.mutablePointer
        shared = base
        heads = (1...4).map { [g, s] index in base + index * g * s }
        values = base + 5 * g * s
        weights = base + 5 * g * s + g * e
    }

    // MARK: Loading

    /// Computes heads and values of the tokens of one row of the batch.
    func load(row: Int, _ tokens: Range<Int>) {
        (self.row, self.tokens) = (row, tokens)
        let first = row * attention.n + tokens.lowerBound
        az_silu_rows_forward(count, e, attention.hidden.pointer + first * 2 * e, 2 * e, values, e)
        writeHeads(
            count: count, qk: attention.qk.pointer + first * s, gamma: attention.gamma, beta: attention.beta,
            rotary: attention.rotary, position: tokens.lowerBound, shared: shared, heads: heads)
        hideMaskedKeys(heads[3])
    }

    /// Zeroes the linear keys of masked tokens, and in backward their gradients.
    func hideMaskedKeys(_ keys: UnsafeMutablePointer<Float>) {
        guard let mask = maskPointer else { return }
        for token in 0..<count where mask[token] == 0 { az_fill(s, 0, keys + token * s) }
    }

    /// Rotates gradients of a head back by position.
    func rotateBack(_ head: UnsafeMutablePointer<Float>) {
        attention.rotary?.rotate(head, rows: count, width: s, from: tokens.lowerBound, sign: -1)
    }

    private var maskPointer: UnsafePointer<Float>? {
        attention.mask.map { $0.pointer + row * attention.n + tokens.lowerBound }
    }

    // MARK: Quadratic attention

    /// Calls `body` with each block of query rows and the number of keys it sees.
    func blocks(_ body: (_ rows: Range<Int>, _ keys: Int) -> Void) {
        let step = attention.isCausal ? Self.causalBlock : count
        for start in stride(from: 0, to: count, by: max(step, 1)) {
            let rows = start..<min(count, start + step)
            body(rows, attention.isCausal ? rows.upperBound : count)
        }
    }

    /// Computes q₁ k₁ᵀ of a block, rows g apart.
    func scores(_ rows: Range<Int>, _ keys: Int, into target: UnsafeMutablePointer<Float>) {
        BLAS.multiply(
            rows.count, keys, s, .init(heads[0] + rows.lowerBound * s, stride: s),
            .init(heads[2], stride: s, transposed: true), target + rows.lowerBound * g, stride: g)
    }

    /// Computes weights = dropout(f(scores / g + B) ⊙ masks) of a block.
    func activate(_ rows: Range<Int>, _ keys: Int, _ scores: UnsafePointer<Float>) {
        az_masked_activation_forward(
            rows.count, keys, diagonal(rows), 1 / Float(attention.g), biasPointer(rows), maskPointer,
            attention.function.forward, scores + rows.lowerBound * g, g, weights + rows.lowerBound * g, g)
        dropout(rows, keys, weights)
    }

    /// Computes `weights` of a block from the heads.
    private func weigh(_ rows: Range<Int>, _ keys: Int) {
        scores(rows, keys, into: weights)
        activate(rows, keys, weights)
    }

    /// Writes the weights of the whole group into rows `stride` apart, and nothing where no key is seen.
    func copyWeights(into target: UnsafeMutablePointer<Float>, stride: Int) {
        blocks { rows, keys in
            weigh(rows, keys)
            az_copy_2d(
                rows.count, keys, weights + rows.lowerBound * g, g, 1, target + rows.lowerBound * stride, stride, 1)
        }
    }

    /// Drops weights in forward, and their gradients alike in backward. Weights are numbered in [b, n, g].
    func dropout(_ rows: Range<Int>, _ keys: Int, _ matrix: UnsafeMutablePointer<Float>) {
        guard let key = attention.mode.key, attention.attentionDropout > 0 else { return }
        for line in rows {
            let place = matrix + line * g
            let position = UInt64(row * attention.n + tokens.lowerBound + line) * UInt64(attention.g)
            az_dropout(keys, attention.attentionDropout, key.value, position, place, place)
        }
    }

    /// Turns gradients of weights into those of scores, and adds those of B to `bias`.
    func activateBackward(
        _ rows: Range<Int>, _ keys: Int, scores: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>,
        bias: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
    ) {
        dropout(rows, keys, gradients)
        az_masked_activation_backward(
            rows.count, keys, diagonal(rows), 1 / Float(attention.g), biasPointer(rows), maskPointer,
            attention.function.forward, attention.function.backward, scores + rows.lowerBound * g, g,
            gradients + rows.lowerBound * g, g, bias + attention.g - 1 - rows.lowerBound, scratch)
    }

    private func diagonal(_ rows: Range<Int>) -> Int { attention.isCausal ? rows.lowerBound : g }

    private func biasPointer(_ rows: Range<Int>) -> UnsafePointer<Float> {
        attention.bias.pointer + attention.g - 1 - rows.lowerBound
    }

    // MARK: Output

    /// Computes A v + q₂ H, [count, e].
    func attend(context: UnsafePointer<Float>?, into output: UnsafeMutablePointer<Float>) {
        blocks { rows, keys in
            weigh(rows, keys)
            BLAS.multiply(
                rows.count, e, keys, .init(weights + rows.lowerBound * g, stride: g), .init(values, stride: e),
                output + rows.lowerBound * e, stride: e)
        }
        if let context {
            BLAS.multiply(
                count, e, s, .init(heads[1], stride: s), .init(context, stride: e), beta: 1, output, stride: e)
        }
    }

    /// Adds k₂ᵀ v / divisor to H.
    func addContext(to context: UnsafeMutablePointer<Float>) {
        BLAS.multiply(
            s, e, count, alpha: 1 / attention.divisor(row), .init(heads[3], stride: s, transposed: true),
            .init(values, stride: e), beta: 1, context, stride: e)
    }

    /// Returns the sum of H and k₂ᵀ v / divisor, [s, e].
    func addingContext(to context: Tensor?) -> Tensor {
        let sum = Tensor.zeros([s, e])
        if let context { az_scale(s * e, 1, context.pointer, sum.mutablePointer) }
        addContext(to: sum.mutablePointer)
        return sum
    }

    /// Computes attended ⊙ silu(gate).
    func gate(_ attended: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>) {
        let gate = attention.hidden.pointer + (row * attention.n + tokens.lowerBound) * 2 * e + e
        az_silu_gate_forward(count, e, attended, e, gate, 2 * e, output, e)
    }
}
