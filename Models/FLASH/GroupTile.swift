import CKernels
import Tensors

/// One group of tokens in the cache: its four heads, its values and its scores. A worker makes one and loads group after
/// group into it.
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
    /// [g, e]
    let values: UnsafeMutablePointer<Float>
    /// f(scores), [g, g]
    let weights: UnsafeMutablePointer<Float>

    /// Rows of a causal group that are worked on together: the products stop at the diagonal block, so about 3/8 of them
    /// are saved.
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

    func load(_ row: Int, _ tokens: Range<Int>) {
        (self.row, self.tokens) = (row, tokens)
        let first = row * attention.n + tokens.lowerBound
        az_silu_rows_forward(count, s, attention.qk.pointer + first * s, s, shared, s)
        az_silu_rows_forward(count, e, attention.hidden.pointer + first * 2 * e, 2 * e, values, e)
        for (index, head) in heads.enumerated() {
            az_affine_rows_forward(
                count, s, shared, attention.gamma.pointer + index * s, attention.beta.pointer + index * s, head)
        }
        hideMaskedKeys(heads[3])
        for head in heads { rotate(head, sign: 1) }
    }

    /// Zeroes the linear keys of masked tokens, and in backward their gradients.
    func hideMaskedKeys(_ keys: UnsafeMutablePointer<Float>) {
        guard let mask = maskPointer else { return }
        for token in 0..<count where mask[token] == 0 { az_fill(s, 0, keys + token * s) }
    }

    /// Rotates by position, or with sign −1 back.
    func rotate(_ head: UnsafeMutablePointer<Float>, sign: Float) {
        attention.rotary?.rotate(count, s, from: tokens.lowerBound, sign: sign, head)
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

    /// q₁ k₁ᵀ for a block, rows g apart.
    func scores(_ rows: Range<Int>, _ keys: Int, into target: UnsafeMutablePointer<Float>) {
        BLAS.multiply(
            rows.count, keys, s, .init(heads[0] + rows.lowerBound * s, stride: s),
            .init(heads[2], stride: s, transposed: true), target + rows.lowerBound * g, stride: g)
    }

    /// weights = dropout(f(scores / g + B) ⊙ masks)
    func activate(_ rows: Range<Int>, _ keys: Int, _ scores: UnsafePointer<Float>) {
        az_masked_activation_forward(
            rows.count, keys, diagonal(rows), 1 / Float(attention.g), biasPointer(rows), maskPointer,
            attention.function.forward, scores + rows.lowerBound * g, g, weights + rows.lowerBound * g, g)
        dropout(rows, keys, weights)
    }

    /// `weights` of a block, from the heads.
    private func weigh(_ rows: Range<Int>, _ keys: Int) {
        scores(rows, keys, into: weights)
        activate(rows, keys, weights)
    }

    /// The weights of the whole group into rows `stride` apart; where nothing is seen, `target` stays as it is.
    func copyWeights(into target: UnsafeMutablePointer<Float>, stride: Int) {
        blocks { rows, keys in
            weigh(rows, keys)
            az_copy_2d(
                rows.count, keys, weights + rows.lowerBound * g, g, 1, target + rows.lowerBound * stride, stride, 1)
        }
    }

    /// The same dropout on weights in forward and on their gradients in backward.
    func dropout(_ rows: Range<Int>, _ keys: Int, _ matrix: UnsafeMutablePointer<Float>) {
        guard let key = attention.key, attention.dropout > 0 else { return }
        for line in rows {
            let place = matrix + line * g
            let position = UInt64(row * attention.n + tokens.lowerBound + line) * UInt64(attention.g)
            az_dropout(keys, attention.dropout, key.value, position, place, place)
        }
    }

    /// The gradient of `activate`: `gradients` of weights become those of scores; those of B are added to `bias`.
    func activateBackward(
        _ rows: Range<Int>, _ keys: Int, _ scores: UnsafePointer<Float>, _ gradients: UnsafeMutablePointer<Float>,
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

    /// A v + q₂ H into [count, e].
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

    /// H += k₂ᵀ v / divisor
    func addContext(to context: UnsafeMutablePointer<Float>) {
        BLAS.multiply(
            s, e, count, alpha: 1 / attention.divisors[row], .init(heads[3], stride: s, transposed: true),
            .init(values, stride: e), beta: 1, context, stride: e)
    }

    /// The same into memory of its own: [s, e].
    func addingContext(to context: Tensor?) -> Tensor {
        let sum = Tensor.zeros([s, e])
        if let context { az_scale(s * e, 1, context.pointer, sum.mutablePointer) }
        addContext(to: sum.mutablePointer)
        return sum
    }

    /// attended ⊙ silu(gate)
    func gate(_ attended: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>) {
        let gate = attention.hidden.pointer + (row * attention.n + tokens.lowerBound) * 2 * e + e
        az_silu_gate_forward(count, e, attended, e, gate, 2 * e, output, e)
    }
}
