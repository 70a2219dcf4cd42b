import CKernels
import Tensors

/// Neighboring tokens of one sequence and head: where their rows, and their columns of E and F, start.
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

    /// Computes alpha · tril(a bᵀ) by tokens, rows c apart.
    func triangle(
        _ count: Int, inner: Int, alpha: Float = 1, _ a: BLAS.Operand, _ b: BLAS.Operand,
        into target: UnsafeMutablePointer<Float>
    ) {
        BLAS.multiply(count, count, inner, alpha: alpha, a, b, target, stride: c)
        for row in 0..<count { az_fill(count - row - 1, 0, target + row * c + row + 1) }
    }

    // MARK: Forward

    /// P = softmax(σ (tril(Q Kᵀ) E + Q K̄ᵀ)), and with dropout.
    func weigh(_ chunk: BoundedMemoryChunk, _ slotKeys: UnsafePointer<Float>) {
        let (count, scale) = (chunk.count, attention.scale)
        triangle(count, inner: d, queries(chunk), keys(chunk, transposed: true), into: scores)
        BLAS.multiply(
            count, k, count, alpha: scale, .init(scores, stride: c), e(chunk, transposed: true), weights, stride: k)
        BLAS.multiply(
            count, k, d, alpha: scale, queries(chunk), .init(slotKeys, stride: d, transposed: true), beta: 1, weights,
            stride: k)
        az_softmax_forward(count, k, weights, weights)
        drop(chunk, weights, into: dropped)
    }

    /// Drops the same of weights and of their gradients.
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
        triangle(count, inner: k, .init(dropped, stride: k), f(chunk), into: mixed)
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

// MARK: Backward

// The gradient of one chunk. With K̄, V̄ before it and G = ∂L/∂K̄, H = ∂L/∂V̄ after it (letters as in
// BoundedMemoryAttention.swift; P̃ is P after dropout, T = tril(Q Kᵀ)):
//
//     R = tril(P̃ Fᵀ)      dR = tril(dO Vᵀ)      dP̃ = dR F + dO V̄ᵀ      dA = σ P ⊙ (dP − Σ P ⊙ dP)      dT = tril(dA Eᵀ)
//     dQ = dT K + dA K̄    dK = dTᵀ Q + E G      dV = Rᵀ dO + F H       dE = Tᵀ dA + K Gᵀ      dF = dRᵀ P̃ + V Hᵀ
//     G ← G + dAᵀ Q       H ← H + P̃ᵀ dO

/// The places where a chunk's gradients are read and written.
struct BoundedMemoryChunkGradients {
    let output: UnsafePointer<Float>
    let outputStride: Int
    let q: UnsafeMutablePointer<Float>, k: UnsafeMutablePointer<Float>, v: UnsafeMutablePointer<Float>
    /// The step from row to row of q, k and v.
    let stride: Int
    /// The chunk's columns, slots by tokens; nil where nobody wants them.
    let e: UnsafeMutablePointer<Float>?, f: UnsafeMutablePointer<Float>?
    let eStride: Int, fStride: Int
}

/// The tiles of one chunk in backward.
final class BoundedMemoryTileBackward {
    let tile: BoundedMemoryTile
    private let c: Int, k: Int, d: Int
    private let memory: Tensor
    /// dP̃, dP and dA, [c, k]
    private let dWeights: UnsafeMutablePointer<Float>
    /// dR and dT, [c, c]
    private let dMixed: UnsafeMutablePointer<Float>

    init(_ attention: BoundedMemoryAttention) {
        tile = BoundedMemoryTile(attention)
        (c, k, d) = (tile.c, tile.k, tile.d)
        memory = Tensor(uninitialized: [c * k + c * c])
        dWeights = memory.mutablePointer
        dMixed = dWeights + c * k
    }

    /// Adds all that does not depend on later tokens: dQ is written; dK, dV, dE and dF are added to, and so are G and H.
    /// - Parameter state: K̄ and V̄ before the chunk.
    func addOwn(
        _ chunk: BoundedMemoryChunk, _ state: SlotPointers, to gradients: BoundedMemoryChunkGradients,
        later: SlotPointers
    ) {
        tile.weigh(chunk, state.keys)
        values(chunk, state.values, to: gradients, later: later.values)
        tile.drop(chunk, dWeights, into: dWeights)
        az_softmax_backward(chunk.count, k, tile.weights, dWeights, dWeights)
        scores(chunk, state.keys, to: gradients, later: later.keys)
    }

    /// Adds what comes by way of R, dV, dF and H, and writes dP̃.
    private func values(
        _ chunk: BoundedMemoryChunk, _ slots: UnsafePointer<Float>, to gradients: BoundedMemoryChunkGradients,
        later: UnsafeMutablePointer<Float>
    ) {
        let count = chunk.count
        let dOutput = BLAS.Operand(gradients.output, stride: gradients.outputStride)
        let weights = BLAS.Operand(tile.dropped, stride: k, transposed: true)
        tile.triangle(count, inner: k, .init(tile.dropped, stride: k), tile.f(chunk), into: tile.mixed)
        BLAS.multiply(
            count, d, count, .init(tile.mixed, stride: c, transposed: true), dOutput, beta: 1, gradients.v,
            stride: gradients.stride)
        tile.triangle(count, inner: d, dOutput, tile.values(chunk, transposed: true), into: dMixed)
        BLAS.multiply(count, k, count, .init(dMixed, stride: c), tile.f(chunk, transposed: true), dWeights, stride: k)
        BLAS.multiply(
            count, k, d, dOutput, .init(slots, stride: d, transposed: true), beta: 1, dWeights, stride: k)
        if let f = gradients.f {
            BLAS.multiply(k, count, count, weights, .init(dMixed, stride: c), beta: 1, f, stride: gradients.fStride)
        }
        BLAS.multiply(k, d, count, weights, dOutput, beta: 1, later, stride: d)
    }

    /// Adds what comes by way of dA: dQ, dK, dE and G.
    private func scores(
        _ chunk: BoundedMemoryChunk, _ slots: UnsafePointer<Float>, to gradients: BoundedMemoryChunkGradients,
        later: UnsafeMutablePointer<Float>
    ) {
        let (count, scale) = (chunk.count, tile.attention.scale)
        let (slopes, bySlot) = (
            BLAS.Operand(dWeights, stride: k), BLAS.Operand(dWeights, stride: k, transposed: true)
        )
        tile.triangle(count, inner: k, alpha: scale, slopes, tile.e(chunk), into: dMixed)
        BLAS.multiply(
            count, d, count, .init(dMixed, stride: c), tile.keys(chunk), gradients.q, stride: gradients.stride)
        BLAS.multiply(
            count, d, k, alpha: scale, slopes, .init(slots, stride: d), beta: 1, gradients.q, stride: gradients.stride)
        BLAS.multiply(
            count, d, count, .init(dMixed, stride: c, transposed: true), tile.queries(chunk), beta: 1, gradients.k,
            stride: gradients.stride)
        if let e = gradients.e {
            BLAS.multiply(
                k, count, count, alpha: scale, bySlot, .init(tile.scores, stride: c), beta: 1, e,
                stride: gradients.eStride)
        }
        BLAS.multiply(k, d, count, alpha: scale, bySlot, tile.queries(chunk), beta: 1, later, stride: d)
    }

    /// Adds what later tokens give to keys, values, E and F. With beta 0, dK and dV are overwritten.
    func addLater(
        _ chunk: BoundedMemoryChunk, _ later: SlotPointers, to gradients: BoundedMemoryChunkGradients, beta: Float
    ) {
        let count = chunk.count
        BLAS.multiply(
            count, d, k, tile.e(chunk, transposed: true), .init(later.keys, stride: d), beta: beta, gradients.k,
            stride: gradients.stride)
        BLAS.multiply(
            count, d, k, tile.f(chunk, transposed: true), .init(later.values, stride: d), beta: beta, gradients.v,
            stride: gradients.stride)
        if let e = gradients.e {
            BLAS.multiply(
                k, count, d, .init(later.keys, stride: d), tile.keys(chunk, transposed: true), beta: 1, e,
                stride: gradients.eStride)
        }
        if let f = gradients.f {
            BLAS.multiply(
                k, count, d, .init(later.values, stride: d), tile.values(chunk, transposed: true), beta: 1, f,
                stride: gradients.fStride)
        }
    }

    /// Zeros for dK and dV.
    func clear(_ chunk: BoundedMemoryChunk, _ gradients: BoundedMemoryChunkGradients) {
        for row in 0..<chunk.count {
            az_fill(d, 0, gradients.k + row * gradients.stride)
            az_fill(d, 0, gradients.v + row * gradients.stride)
        }
    }
}
