import CKernels
import Tensors

/// Neighbouring tokens of one sequence and head: where their rows, and their columns of E and F, start.
struct BoundedMemoryChunk {
    let count: Int
    let q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>
    let e: UnsafePointer<Float>, f: UnsafePointer<Float>
    /// The number of the first weight in the stream that dropout draws from: a weight's own, however it is cut.
    let draw: UInt64
}

/// The tiles of one chunk, in cache. A worker makes one and uses it for chunk after chunk.
final class BoundedMemoryTile {
    let attention: BoundedMemoryAttention
    /// The most tokens of a chunk, slots, columns of a head.
    let c: Int, k: Int, d: Int
    private let memory: Tensor
    /// tril(Q Kᵀ), [c, c]
    let scores: UnsafeMutablePointer<Float>
    /// P, and after dropout (the same memory where there is none), [c, k]
    let weights: UnsafeMutablePointer<Float>, dropped: UnsafeMutablePointer<Float>
    /// tril(P Fᵀ), [c, c]
    let mixed: UnsafeMutablePointer<Float>

    init(_ attention: BoundedMemoryAttention) {
        self.attention = attention
        c = min(BoundedMemoryPlan.chunk, attention.n)
        (k, d) = (attention.slots, attention.d)
        let drops = attention.key != nil
        memory = Tensor(uninitialized: [2 * c * c + (drops ? 2 : 1) * c * k])
        scores = memory.mutablePointer
        weights = scores + c * c
        dropped = drops ? weights + c * k : weights
        mixed = dropped + c * k
    }

    // MARK: Operands

    func queries(_ chunk: BoundedMemoryChunk) -> BLAS.Operand { .init(chunk.q, stride: attention.queries.stride) }
    func keys(_ chunk: BoundedMemoryChunk, transposed: Bool = false) -> BLAS.Operand {
        .init(chunk.k, stride: attention.keys.stride, transposed: transposed)
    }
    func values(_ chunk: BoundedMemoryChunk, transposed: Bool = false) -> BLAS.Operand {
        .init(chunk.v, stride: attention.values.stride, transposed: transposed)
    }

    /// [k, tokens], or transposed e_t by rows.
    func e(_ chunk: BoundedMemoryChunk, transposed: Bool = false) -> BLAS.Operand {
        .init(chunk.e, stride: attention.e.stride, transposed: transposed)
    }
    func f(_ chunk: BoundedMemoryChunk, transposed: Bool = false) -> BLAS.Operand {
        .init(chunk.f, stride: attention.f.stride, transposed: transposed)
    }

    /// alpha · tril(a bᵀ) by tokens, rows c apart.
    func triangle(
        _ count: Int, _ inner: Int, alpha: Float = 1, _ a: BLAS.Operand, _ b: BLAS.Operand,
        into target: UnsafeMutablePointer<Float>
    ) {
        BLAS.multiply(count, count, inner, alpha: alpha, a, b, target, stride: c)
        for row in 0..<count { az_fill(count - row - 1, 0, target + row * c + row + 1) }
    }

    // MARK: Forward

    /// P = softmax(σ (tril(Q Kᵀ) E + Q K̄ᵀ)), and with dropout.
    func weigh(_ chunk: BoundedMemoryChunk, _ slotKeys: UnsafePointer<Float>) {
        let (count, scale) = (chunk.count, attention.scale)
        triangle(count, d, queries(chunk), keys(chunk, transposed: true), into: scores)
        BLAS.multiply(
            count, k, count, alpha: scale, .init(scores, stride: c), e(chunk, transposed: true), weights, stride: k)
        BLAS.multiply(
            count, k, d, alpha: scale, queries(chunk), .init(slotKeys, stride: d, transposed: true), beta: 1, weights,
            stride: k)
        az_softmax_forward(count, k, weights, weights)
        drop(chunk, weights, into: dropped)
    }

    /// The same dropout on weights and on their gradients.
    func drop(
        _ chunk: BoundedMemoryChunk, _ matrix: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>
    ) {
        guard let key = attention.key else { return }
        az_dropout(chunk.count * k, attention.dropout, key.value, chunk.draw, matrix, target)
    }

    /// tril(P Fᵀ) V + P V̄ of the weights in place, to rows `stride` apart.
    func attend(
        _ chunk: BoundedMemoryChunk, _ slotValues: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        stride: Int
    ) {
        let count = chunk.count
        triangle(count, k, .init(dropped, stride: k), f(chunk), into: mixed)
        BLAS.multiply(count, d, count, .init(mixed, stride: c), values(chunk), output, stride: stride)
        BLAS.multiply(
            count, d, k, .init(dropped, stride: k), .init(slotValues, stride: d), beta: 1, output, stride: stride)
    }

    /// K̄ += Eᵀ K and V̄ += Fᵀ V
    func extend(_ state: SlotPointers, by chunk: BoundedMemoryChunk) {
        BLAS.multiply(k, d, chunk.count, e(chunk), keys(chunk), beta: 1, state.keys, stride: d)
        BLAS.multiply(k, d, chunk.count, f(chunk), values(chunk), beta: 1, state.values, stride: d)
    }
}
