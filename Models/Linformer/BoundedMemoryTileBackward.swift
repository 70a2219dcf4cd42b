import CKernels
import Tensors

// The gradient of one chunk. With K̄, V̄ before it and G = ∂L/∂K̄, H = ∂L/∂V̄ after it (the same letters as in
// BoundedMemoryAttention.swift; P̃ is P after dropout, T = tril(Q Kᵀ)):
//
//     R = tril(P̃ Fᵀ)      dR = tril(dO Vᵀ)      dP̃ = dR F + dO V̄ᵀ      dA = σ P ⊙ (dP − Σ P ⊙ dP)      dT = tril(dA Eᵀ)
//     dQ = dT K + dA K̄    dK = dTᵀ Q + E G      dV = Rᵀ dO + F H       dE = Tᵀ dA + K Gᵀ      dF = dRᵀ P̃ + V Hᵀ
//     G ← G + dAᵀ Q       H ← H + P̃ᵀ dO

/// Where the gradients of a chunk are read and written. Those of E and F are added to, those of k and v as told.
struct BoundedMemoryChunkGradients {
    let output: UnsafePointer<Float>
    let outputStride: Int
    let q: UnsafeMutablePointer<Float>, k: UnsafeMutablePointer<Float>, v: UnsafeMutablePointer<Float>
    /// Of q, k and v.
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

    /// All that does not depend on later tokens: dQ; dK, dV, dE and dF are added to, and so are G and H.
    /// - Parameter state: K̄ and V̄ before the chunk.
    func addOwn(
        _ chunk: BoundedMemoryChunk, _ state: SlotPointers, _ gradients: BoundedMemoryChunkGradients,
        later: SlotPointers
    ) {
        tile.weigh(chunk, state.keys)
        values(chunk, state.values, gradients, later.values)
        tile.drop(chunk, dWeights, into: dWeights)
        az_softmax_backward(chunk.count, k, tile.weights, dWeights, dWeights)
        scores(chunk, state.keys, gradients, later.keys)
    }

    /// dP̃, and what comes by way of R: dV, dF and H.
    private func values(
        _ chunk: BoundedMemoryChunk, _ slots: UnsafePointer<Float>, _ gradients: BoundedMemoryChunkGradients,
        _ later: UnsafeMutablePointer<Float>
    ) {
        let count = chunk.count
        let dOutput = BLAS.Operand(gradients.output, stride: gradients.outputStride)
        let weights = BLAS.Operand(tile.dropped, stride: k, transposed: true)
        tile.triangle(count, k, .init(tile.dropped, stride: k), tile.f(chunk), into: tile.mixed)
        BLAS.multiply(
            count, d, count, .init(tile.mixed, stride: c, transposed: true), dOutput, beta: 1, gradients.v,
            stride: gradients.stride)
        tile.triangle(count, d, dOutput, tile.values(chunk, transposed: true), into: dMixed)
        BLAS.multiply(count, k, count, .init(dMixed, stride: c), tile.f(chunk, transposed: true), dWeights, stride: k)
        BLAS.multiply(
            count, k, d, dOutput, .init(slots, stride: d, transposed: true), beta: 1, dWeights, stride: k)
        if let f = gradients.f {
            BLAS.multiply(k, count, count, weights, .init(dMixed, stride: c), beta: 1, f, stride: gradients.fStride)
        }
        BLAS.multiply(k, d, count, weights, dOutput, beta: 1, later, stride: d)
    }

    /// What comes by way of dA: dQ, dK, dE and G.
    private func scores(
        _ chunk: BoundedMemoryChunk, _ slots: UnsafePointer<Float>, _ gradients: BoundedMemoryChunkGradients,
        _ later: UnsafeMutablePointer<Float>
    ) {
        let (count, scale) = (chunk.count, tile.attention.scale)
        let (slopes, bySlot) = (
            BLAS.Operand(dWeights, stride: k), BLAS.Operand(dWeights, stride: k, transposed: true)
        )
        tile.triangle(count, k, alpha: scale, slopes, tile.e(chunk), into: dMixed)
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

    /// What later tokens give to keys, values, E and F. With beta 0, dK and dV are overwritten.
    func addLater(
        _ chunk: BoundedMemoryChunk, _ later: SlotPointers, _ gradients: BoundedMemoryChunkGradients, beta: Float
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
