import CKernels
import NN
import Tensors

// The gradient of gated slots: segments in reverse, of each the slots at its chunks again, then the chunks in reverse with
// G = ∂L/∂K̄, H = ∂L/∂V̄ after the chunk (letters as in GatedSlotAttention.swift; P̃ is P after dropout):
//
//     dR = dO Vᵀ      dZ = dO V̄ᵀ      dP̃ = the fading sums of dZ and dR      dA = P ⊙ (dP − Σ P ⊙ dP)
//     dS, dX: the transposed sums of dA            R, Z: those of P̃
//     dQ = σ (dS K + dX K̄)      dK = σ dSᵀ Q + L G      dV = Rᵀ dO + L H
//     G ← diag(g) G + σ dXᵀ Q      H ← diag(g) H + Zᵀ dO
//
// ln α of a token and slot has a part in the sums of both, and in K̄ and V̄ after the chunk: there the slot's sum
// ⟨G, K̄⟩ + ⟨H, V̄⟩ fades from token to token like a score, with K Gᵀ + V Hᵀ in place of S.

/// The gradients of gated slot attention.
struct GatedSlotBackward: @unchecked Sendable {
    private let attention: GatedSlotAttention
    /// The slots at the start of each segment.
    private let kept: SlotHistory?
    /// dO; nil for zeros.
    private let output: HeadRows?
    /// The gradients of q, k, v and ln α.
    private let made: [Tensor]
    private let rows: [HeadRows]
    /// G and H, which run from chunk to chunk; at the end of the slots before the first token.
    private let later: SlotTensors
    private var shape: GatedSlotShape { attention.shape }

    /// output: [b, n, h, dv]; keys, values: of the slots after the last token; nil for zeros.
    init(_ attention: GatedSlotAttention, _ kept: SlotHistory?, output: Tensor?, keys: Tensor?, values: Tensor?) {
        (self.attention, self.kept) = (attention, kept)
        self.output = output.map { HeadRows($0) }
        let shape = attention.shape
        made = [shape.d, shape.d, shape.dv, shape.m].map { Tensor(uninitialized: [shape.b, shape.n, shape.h, $0]) }
        rows = made.map { HeadRows($0) }
        func copy(_ gradient: Tensor?, _ shape: [Int]) -> Tensor {
            guard let gradient = gradient?.contiguous() else { return .zeros(shape) }
            let copy = Tensor(uninitialized: shape)
            az_scale(copy.count, 1, gradient.pointer, copy.mutablePointer)
            return copy
        }
        later = SlotTensors(keys: copy(keys, shape.keys), values: copy(values, shape.values))
    }

    /// slots: q, k, v, logForget, then keys and values of the state if there is one.
    func run(_ slots: [InputGradient]) {
        let all = later.pointers
        parallelFor(shape.b * shape.h) { run($0, after: all.advanced($0, in: shape)) }
        for (slot, gradient) in zip(slots, made) { slot.add(gradient) }
        for (slot, gradient) in zip(slots.dropFirst(made.count), [later.keys, later.values]) { slot.add(gradient) }
    }

    private func run(_ sequence: Int, after: SlotPointers) {
        let tile = GatedSlotTileBackward(attention)
        let most = min(attention.segment, shape.n + GatedSlotAttention.chunk - 1) / GatedSlotAttention.chunk
        let start = SlotHistory(GatedSlotShape(b: 1, n: 0, h: 1, d: shape.d, dv: shape.dv, m: shape.m), segments: most)
        for segment in (0..<attention.segments).reversed() {
            let chunks = attention.chunks(segment)
            start.keep(kept![sequence, segment], sequence: 0, segment: 0)
            for (step, tokens) in chunks.enumerated().dropLast() {
                let chunk = attention.chunk(sequence, tokens)
                start.keep(start[0, step], sequence: 0, segment: step + 1)
                tile.tile.load(chunk)
                tile.tile.extend(chunk, start[0, step + 1])
            }
            for (step, tokens) in chunks.enumerated().reversed() {
                tile.run(
                    attention.chunk(sequence, tokens), start[0, step], gradients: gradients(sequence, tokens),
                    after: after)
            }
        }
        withExtendedLifetime(start) {}
    }

    private func gradients(_ sequence: Int, _ tokens: Range<Int>) -> GatedSlotChunkGradients {
        let (batch, head, first) = (sequence / shape.h, sequence % shape.h, tokens.lowerBound)
        func place(_ index: Int) -> UnsafeMutablePointer<Float> { rows[index].target(batch, head, first) }
        return GatedSlotChunkGradients(
            output: output?.row(batch, head, first), outputStride: output?.stride ?? 0, q: place(0), k: place(1),
            v: place(2), logForget: place(3))
    }
}

/// The places of a chunk's gradients: rows of [b, n, h, …]. output: nil for zeros.
struct GatedSlotChunkGradients {
    let output: UnsafePointer<Float>?
    let outputStride: Int
    let q: UnsafeMutablePointer<Float>, k: UnsafeMutablePointer<Float>, v: UnsafeMutablePointer<Float>
    let logForget: UnsafeMutablePointer<Float>
}

/// The tiles of one chunk in backward.
final class GatedSlotTileBackward {
    let tile: GatedSlotTile
    private let c: Int, m: Int, d: Int, dv: Int, h: Int
    private let memory: Tensor
    /// dO, [c, dv]
    private let output: UnsafeMutablePointer<Float>
    /// dZ; dP̃, dP, dA and then dX; K Gᵀ + V Hᵀ; [c, m] each
    private let faded: UnsafeMutablePointer<Float>, slopes: UnsafeMutablePointer<Float>
    private let writes: UnsafeMutablePointer<Float>
    /// dR and dS, [c, c]
    private let dMixed: UnsafeMutablePointer<Float>, dScores: UnsafeMutablePointer<Float>
    /// The gradient of ln α, [c, wide]
    private let dLog: UnsafeMutablePointer<Float>
    /// ⟨G, K̄⟩ + ⟨H, V̄⟩ by slot, and its second part, [m]
    private let sums: UnsafeMutablePointer<Float>, part: UnsafeMutablePointer<Float>
    private let scratch: UnsafeMutablePointer<Float>

    init(_ attention: GatedSlotAttention) {
        tile = GatedSlotTile(attention)
        (c, m, d, dv, h) = (tile.c, tile.m, tile.d, tile.dv, attention.shape.h)
        memory = Tensor(uninitialized: [c * dv + 3 * c * m + 2 * c * c + c * tile.wide + 2 * m + 64 * c])
        output = memory.mutablePointer
        faded = output + c * dv
        slopes = faded + c * m
        writes = slopes + c * m
        dMixed = writes + c * m
        dScores = dMixed + c * c
        dLog = dScores + c * c
        sums = dLog + c * tile.wide
        part = sums + m
        scratch = part + m
    }

    /// - Parameters:
    ///   - state: K̄ and V̄ before the chunk.
    ///   - after: G and H, of the slots after the chunk; become those of the slots before it.
    func run(
        _ chunk: GatedSlotChunk, _ state: SlotPointers, gradients: GatedSlotChunkGradients, after: SlotPointers
    ) {
        takeOutput(chunk.count, gradients)
        tile.load(chunk)
        tile.weigh(chunk, state.keys)
        weights(chunk, state.values)
        slots(chunk, state, after)
        store(chunk, gradients, from: state, to: after)
        extend(chunk, after)
    }

    private func takeOutput(_ count: Int, _ gradients: GatedSlotChunkGradients) {
        guard let source = gradients.output else { return az_fill(count * dv, 0, output) }
        az_copy_2d(count, dv, source, gradients.outputStride, 1, output, dv, 1)
    }

    /// Computes dX, dS, R (in the tile's mixed scores), Z (in its dropped weights), and the sums' part in ln α.
    private func weights(_ chunk: GatedSlotChunk, _ slotValues: UnsafePointer<Float>) {
        let (count, wide) = (chunk.count, tile.wide)
        BLAS.multiply(
            count, count, dv, .init(output, stride: dv), tile.values(chunk, transposed: true), dMixed, stride: c)
        BLAS.multiply(
            count, m, dv, .init(output, stride: dv), .init(slotValues, stride: dv, transposed: true), faded, stride: m)
        az_scale(count * m, 1, faded, slopes)
        az_fading_sums_forward(count, m, tile.kept, tile.written, wide, dMixed, c, slopes)
        tile.drop(chunk, slopes, into: slopes)
        az_softmax_backward(count, m, tile.weights, slopes, slopes)
        az_fill(count * wide, 0, dLog)
        az_fading_sums_backward(
            count, m, tile.kept, tile.written, wide, tile.scores, c, tile.reads, slopes, dScores, c, dLog, scratch)
        az_fading_sums_backward(
            count, m, tile.kept, tile.written, wide, dMixed, c, faded, tile.dropped, tile.mixed, c, dLog, scratch)
    }

    /// Adds the part of ln α in the slots after the chunk.
    private func slots(_ chunk: GatedSlotChunk, _ state: SlotPointers, _ after: SlotPointers) {
        let count = chunk.count
        BLAS.multiply(
            count, m, d, tile.keys(chunk), .init(after.keys, stride: d, transposed: true), writes, stride: m)
        BLAS.multiply(
            count, m, dv, tile.values(chunk), .init(after.values, stride: dv, transposed: true), beta: 1, writes,
            stride: m)
        az_row_dots(m, d, state.keys, d, after.keys, d, sums)
        az_row_dots(m, dv, state.values, dv, after.values, dv, part)
        az_scale_add(m, 1, part, 1, sums)
        az_fading_total_backward(count, m, tile.kept, tile.written, tile.wide, writes, sums, dLog)
    }

    /// Writes dQ, dK, dV and the gradient of ln α.
    private func store(
        _ chunk: GatedSlotChunk, _ gradients: GatedSlotChunkGradients, from state: SlotPointers, to after: SlotPointers
    ) {
        let (count, scale) = (chunk.count, tile.attention.scale)
        let lasting = BLAS.Operand(tile.lasting, stride: m)
        BLAS.multiply(
            count, d, count, alpha: scale, .init(dScores, stride: c), tile.keys(chunk), gradients.q, stride: h * d)
        BLAS.multiply(
            count, d, m, alpha: scale, .init(slopes, stride: m), .init(state.keys, stride: d), beta: 1, gradients.q,
            stride: h * d)
        BLAS.multiply(
            count, d, count, alpha: scale, .init(dScores, stride: c, transposed: true), tile.queries(chunk),
            gradients.k, stride: h * d)
        BLAS.multiply(count, d, m, lasting, .init(after.keys, stride: d), beta: 1, gradients.k, stride: h * d)
        BLAS.multiply(
            count, dv, count, .init(tile.mixed, stride: c, transposed: true), .init(output, stride: dv), gradients.v,
            stride: h * dv)
        BLAS.multiply(count, dv, m, lasting, .init(after.values, stride: dv), beta: 1, gradients.v, stride: h * dv)
        az_copy_2d(count, m, dLog, tile.wide, 1, gradients.logForget, h * m, 1)
    }

    /// G ← diag(g) G + σ dXᵀ Q and H ← diag(g) H + Zᵀ dO.
    private func extend(_ chunk: GatedSlotChunk, _ after: SlotPointers) {
        let count = chunk.count
        tile.fade(after)
        BLAS.multiply(
            m, d, count, alpha: tile.attention.scale, .init(slopes, stride: m, transposed: true), tile.queries(chunk),
            beta: 1, after.keys, stride: d)
        BLAS.multiply(
            m, dv, count, .init(tile.dropped, stride: m, transposed: true), .init(output, stride: dv), beta: 1,
            after.values, stride: dv)
    }
}
