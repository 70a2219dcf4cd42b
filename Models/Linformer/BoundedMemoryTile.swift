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
    /// Rows that are worked on together where what is above the diagonal is left out.
    static let block = 64

    let attention: BoundedMemoryAttention
    /// The most tokens of a chunk, slots, columns of a head.
    let c: Int, k: Int, d: Int
    private let memory: Tensor
    /// tril(Q Kᵀ), [c, c]
    let scores: UnsafeMutablePointer<Float>
    /// P, and after dropout (the same memory where there is none), [c, k]
    let weights: UnsafeMutablePointer<Float>, dropped: UnsafeMutablePointer<Float>
    /// tril(P Fᵀ) of a block, [block, c]
    let mixed: UnsafeMutablePointer<Float>

    init(_ attention: BoundedMemoryAttention) {
        self.attention = attention
        c = min(BoundedMemoryPlan.chunk, attention.n)
        (k, d) = (attention.slots, attention.d)
        let drops = attention.key != nil
        memory = Tensor(uninitialized: [c * c + (drops ? 2 : 1) * c * k + min(c, Self.block) * c])
        scores = memory.mutablePointer
        weights = scores + c * c
        dropped = drops ? weights + c * k : weights
        mixed = dropped + c * k
    }

    // MARK: Operands

    func queries(_ chunk: BoundedMemoryChunk, from row: Int = 0) -> BLAS.Operand {
        rows(chunk.q, row, attention.queries.stride)
    }
    func keys(_ chunk: BoundedMemoryChunk, from row: Int = 0, transposed: Bool = false) -> BLAS.Operand {
        rows(chunk.k, row, attention.keys.stride, transposed)
    }
    func values(_ chunk: BoundedMemoryChunk, from row: Int = 0, transposed: Bool = false) -> BLAS.Operand {
        rows(chunk.v, row, attention.values.stride, transposed)
    }
    private func rows(
        _ pointer: UnsafePointer<Float>, _ row: Int, _ stride: Int, _ transposed: Bool = false
    ) -> BLAS.Operand { .init(pointer + row * stride, stride: stride, transposed: transposed) }

    /// [k, tokens], or transposed e_t by rows.
    func e(_ chunk: BoundedMemoryChunk, transposed: Bool = false) -> BLAS.Operand {
        .init(chunk.e, stride: attention.e.stride, transposed: transposed)
    }
    func f(_ chunk: BoundedMemoryChunk, transposed: Bool = false) -> BLAS.Operand {
        .init(chunk.f, stride: attention.f.stride, transposed: transposed)
    }

    /// Calls `body` with each block of rows; its last row sees the columns before `rows.upperBound`.
    func blocks(_ chunk: BoundedMemoryChunk, _ body: (_ rows: Range<Int>) -> Void) {
        for start in stride(from: 0, to: chunk.count, by: Self.block) {
            body(start..<min(chunk.count, start + Self.block))
        }
    }

    /// Zeros above the diagonal in a block of rows, whose columns start at token 0 of the chunk.
    func clearAbove(_ rows: Range<Int>, _ matrix: UnsafeMutablePointer<Float>) {
        for row in rows {
            az_fill(rows.upperBound - row - 1, 0, matrix + (row - rows.lowerBound) * c + row + 1)
        }
    }

    /// tril(a bᵀ) of a block of rows, rows c apart.
    func triangle(
        _ rows: Range<Int>, _ inner: Int, alpha: Float = 1, _ a: BLAS.Operand, _ b: BLAS.Operand,
        into target: UnsafeMutablePointer<Float>
    ) {
        BLAS.multiply(rows.count, rows.upperBound, inner, alpha: alpha, a, b, target, stride: c)
        clearAbove(rows, target)
    }

    // MARK: Forward

    /// P = softmax(σ (tril(Q Kᵀ) E + Q K̄ᵀ)), and with dropout.
    func weigh(_ chunk: BoundedMemoryChunk, _ slotKeys: UnsafePointer<Float>) {
        let count = chunk.count
        BLAS.multiply(
            count, k, d, alpha: attention.scale, queries(chunk), .init(slotKeys, stride: d, transposed: true), weights,
            stride: k)
        blocks(chunk) { rows in
            let line = scores + rows.lowerBound * c
            triangle(rows, d, queries(chunk, from: rows.lowerBound), keys(chunk, transposed: true), into: line)
            BLAS.multiply(
                rows.count, k, rows.upperBound, alpha: attention.scale, .init(line, stride: c),
                e(chunk, transposed: true), beta: 1, weights + rows.lowerBound * k, stride: k)
        }
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
        BLAS.multiply(
            chunk.count, d, k, .init(dropped, stride: k), .init(slotValues, stride: d), output, stride: stride)
        blocks(chunk) { rows in
            triangle(rows, k, .init(dropped + rows.lowerBound * k, stride: k), f(chunk), into: mixed)
            BLAS.multiply(
                rows.count, d, rows.upperBound, .init(mixed, stride: c), values(chunk), beta: 1,
                output + rows.lowerBound * stride, stride: stride)
        }
    }

    /// K̄ += Eᵀ K and V̄ += Fᵀ V
    func extend(_ state: SlotPointers, by chunk: BoundedMemoryChunk) {
        BLAS.multiply(k, d, chunk.count, e(chunk), keys(chunk), beta: 1, state.keys, stride: d)
        BLAS.multiply(k, d, chunk.count, f(chunk), values(chunk), beta: 1, state.values, stride: d)
    }
}
