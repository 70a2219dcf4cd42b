import CKernels
import Tensors

/// Neighboring tokens of one sequence and head: where their rows start.
struct GatedSlotChunk {
    let count: Int
    let q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>, logForget: UnsafePointer<Float>
    /// The number of the first weight in the stream that dropout draws from: a weight's own, however it is cut.
    let draw: UInt64
}

/// The tiles of one chunk, in cache. A worker makes one and uses it for chunk after chunk.
final class GatedSlotTile {
    let attention: GatedSlotAttention
    /// The most tokens of a chunk, slots, columns of keys and values.
    let c: Int, m: Int, d: Int, dv: Int
    /// Slots rounded up to whole vectors: the step between rows of factors.
    let wide: Int
    private let memory: Tensor
    /// α and 1 − α, [c, wide]
    let kept: UnsafeMutablePointer<Float>, written: UnsafeMutablePointer<Float>
    /// S = σ Q Kᵀ, [c, c]
    let scores: UnsafeMutablePointer<Float>
    /// X = σ Q K̄ᵀ, [c, m]
    let reads: UnsafeMutablePointer<Float>
    /// P, and after dropout, [c, m]
    let weights: UnsafeMutablePointer<Float>, dropped: UnsafeMutablePointer<Float>
    /// R, [c, c]
    let mixed: UnsafeMutablePointer<Float>
    /// L, [c, m], and g, [m]
    let lasting: UnsafeMutablePointer<Float>, whole: UnsafeMutablePointer<Float>

    init(_ attention: GatedSlotAttention) {
        self.attention = attention
        let shape = attention.shape
        c = min(GatedSlotAttention.chunk, max(shape.n, 1))
        (m, d, dv) = (shape.m, shape.d, shape.dv)
        wide = (m + 15) / 16 * 16
        memory = Tensor(uninitialized: [2 * c * wide + 2 * c * c + 4 * c * m + m])
        kept = memory.mutablePointer
        written = kept + c * wide
        scores = written + c * wide
        mixed = scores + c * c
        reads = mixed + c * c
        weights = reads + c * m
        dropped = weights + c * m
        lasting = dropped + c * m
        whole = lasting + c * m
    }

    // MARK: Operands

    func queries(_ chunk: GatedSlotChunk) -> BLAS.Operand { .init(chunk.q, stride: attention.queries.stride) }
    func keys(_ chunk: GatedSlotChunk, transposed: Bool = false) -> BLAS.Operand {
        .init(chunk.k, stride: attention.keys.stride, transposed: transposed)
    }
    func values(_ chunk: GatedSlotChunk, transposed: Bool = false) -> BLAS.Operand {
        .init(chunk.v, stride: attention.values.stride, transposed: transposed)
    }

    // MARK: Forward

    /// Computes α and 1 − α of a chunk, and what lasts beyond it.
    func load(_ chunk: GatedSlotChunk) {
        az_fading_factors(chunk.count, m, chunk.logForget, attention.logForget.stride, kept, written, wide)
        az_fading_total_forward(chunk.count, m, kept, written, wide, lasting, whole)
    }

    /// Computes P, and P with dropout.
    func weigh(_ chunk: GatedSlotChunk, _ slotKeys: UnsafePointer<Float>) {
        let (count, scale) = (chunk.count, attention.scale)
        BLAS.multiply(
            count, count, d, alpha: scale, queries(chunk), keys(chunk, transposed: true), scores, stride: c)
        BLAS.multiply(
            count, m, d, alpha: scale, queries(chunk), .init(slotKeys, stride: d, transposed: true), reads, stride: m)
        az_scale(count * m, 1, reads, weights)
        az_fading_sums_forward(count, m, kept, written, wide, scores, c, weights)
        az_softmax_forward(count, m, weights, weights)
        drop(chunk, weights, into: dropped)
    }

    /// Drops the same of weights and of their gradients; copies where nothing is dropped.
    func drop(_ chunk: GatedSlotChunk, _ matrix: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>) {
        if let key = attention.key {
            az_dropout(chunk.count * m, attention.dropout, key.value, chunk.draw, matrix, target)
        } else if matrix != UnsafePointer(target) {
            az_scale(chunk.count * m, 1, matrix, target)
        }
    }

    /// Writes O = R V + Z V̄ to rows `stride` apart. Z replaces the dropped weights.
    func attend(
        _ chunk: GatedSlotChunk, _ slotValues: UnsafePointer<Float>, stride: Int,
        into output: UnsafeMutablePointer<Float>
    ) {
        let count = chunk.count
        az_fading_sums_transpose(count, m, kept, written, wide, dropped, mixed, c)
        BLAS.multiply(count, dv, count, .init(mixed, stride: c), values(chunk), output, stride: stride)
        BLAS.multiply(
            count, dv, m, .init(dropped, stride: m), .init(slotValues, stride: dv), beta: 1, output, stride: stride)
    }

    /// K̄ ← diag(g) K̄ + Lᵀ K and V̄ likewise.
    func extend(_ chunk: GatedSlotChunk, _ state: SlotPointers) {
        fade(state)
        let written = BLAS.Operand(lasting, stride: m, transposed: true)
        BLAS.multiply(m, d, chunk.count, written, keys(chunk), beta: 1, state.keys, stride: d)
        BLAS.multiply(m, dv, chunk.count, written, values(chunk), beta: 1, state.values, stride: dv)
    }

    /// Multiplies slots, or their gradients, by g.
    func fade(_ state: SlotPointers) {
        az_scale_rows(m, d, whole, state.keys, d)
        az_scale_rows(m, dv, whole, state.values, dv)
    }
}
