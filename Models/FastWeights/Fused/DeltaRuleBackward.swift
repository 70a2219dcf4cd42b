import CKernels
import NN
import Tensors

// The gradient of the chunked memory. Segments in reverse, G = ∂L/∂S after the chunk; of each the chunks are run again to
// have S, U and the features. With X = [−diag(γ) R; dO] below Z = [K; Q] (the erasing part first):
//
//     dU = Pᵀ dO + K G           R = dU − stril(N)ᵀ diag(γ) R, from the last row to the first
//     dV = diag(β) R             dβ = rowsum(R ⊙ V)          dγ = −rowsum(R ⊙ (K S + N U))
//     T = X Uᵀ, of dN strictly below the diagonal, of dP up to it
//     [dK; dQ] = X Sᵀ + T K      dK += Tᵀ Z + U Gᵀ           G ← G + Zᵀ X
//
// Decays change this by factors: see ChunkDecayGradient.

struct DeltaRuleBackward: @unchecked Sendable {
    private let rule: DeltaRule
    /// S at the start of each segment but the first, [b h, segments − 1, dk, dv].
    private let kept: Tensor?
    /// dO; nil for zeros.
    private let output: HeadRows?
    /// ∂L/∂S after the last token; nil for zeros.
    private let later: Tensor?
    private let dq: Tensor, dk: Tensor, dv: Tensor
    /// [b, n, h]
    private let dBeta: Tensor, dGamma: Tensor?, dLogDecay: Tensor?
    /// G, which runs from chunk to chunk; at the end ∂L/∂S before the first token.
    private let dState: Tensor

    /// output: [b, n, h, dv]; state: [b, h, dk, dv].
    init(_ rule: DeltaRule, _ kept: Tensor?, output: Tensor?, state: Tensor?) {
        (self.rule, self.kept) = (rule, kept)
        self.output = output.map { HeadRows($0) }
        later = state?.contiguous()
        let scalars = [rule.b, rule.n, rule.h]
        (dq, dk) = (Tensor(uninitialized: scalars + [rule.d]), Tensor(uninitialized: scalars + [rule.d]))
        dv = Tensor(uninitialized: scalars + [rule.dv])
        dBeta = Tensor(uninitialized: scalars)
        dGamma = rule.gamma == nil ? nil : Tensor(uninitialized: scalars)
        dLogDecay = rule.logDecay == nil ? nil : Tensor(uninitialized: scalars)
        dState = Tensor(uninitialized: [rule.b, rule.h, rule.dk, rule.dv])
    }

    /// slots: q, k, v, beta, then erase, logDecay and state where there are any.
    func run(_ slots: [InputGradient], hasErase: Bool) {
        if let later {
            az_scale(later.count, 1, later.pointer, dState.mutablePointer)
        } else {
            az_fill(dState.count, 0, dState.mutablePointer)
        }
        parallelFor(rule.b * rule.h) { sequence in run(sequence) }
        for (slot, gradient) in zip(slots, [dq, dk, dv]) { slot.add(gradient) }
        if let dGamma, !hasErase { slots[3].add(dBeta + dGamma) } else { slots[3].add(dBeta) }
        if let dGamma, hasErase { slots[4].add(dGamma) }
        if let dLogDecay { slots[hasErase ? 5 : 4].add(dLogDecay) }
        if rule.initial != nil { slots[slots.count - 1].add(dState) }
    }

    private func run(_ sequence: Int) {
        let tiles = (0..<min(rule.segment, rule.n + rule.chunk - 1) / rule.chunk).map { _ in DeltaRuleTile(rule) }
        let states = Tensor(uninitialized: [max(tiles.count, 1), rule.stateCount])
        let tile = DeltaRuleTileBackward(rule)
        let after = dState.mutablePointer + sequence * rule.stateCount
        for segment in (0..<rule.segments).reversed() {
            let chunks = rule.chunks(segment)
            start(states.mutablePointer, sequence, segment)
            for (step, tokens) in chunks.enumerated() {
                let chunk = rule.chunk(sequence, tokens)
                let state = states.mutablePointer + step * rule.stateCount
                tiles[step].load(chunk)
                tiles[step].write(chunk, state)
                guard step + 1 < chunks.count else { continue }
                if !chunk.startsEmpty { az_scale(rule.stateCount, 1, state, state + rule.stateCount) }
                tiles[step].extend(chunk, state + rule.stateCount)
            }
            for (step, tokens) in chunks.enumerated().reversed() {
                let isLast = later == nil && tokens.upperBound == rule.n
                tile.run(
                    rule.chunk(sequence, tokens), tiles[step], state: states.pointer + step * rule.stateCount,
                    target: gradients(sequence, tokens), after: after, isLast: isLast)
            }
        }
    }

    /// Copies S at the start of a segment.
    private func start(_ state: UnsafeMutablePointer<Float>, _ sequence: Int, _ segment: Int) {
        if segment > 0, let kept {
            let place = sequence * (rule.segments - 1) + segment - 1
            az_scale(rule.stateCount, 1, kept.pointer + place * rule.stateCount, state)
        } else if let initial = rule.initial {
            az_scale(rule.stateCount, 1, initial.pointer + sequence * rule.stateCount, state)
        }
    }

    private func gradients(_ sequence: Int, _ tokens: Range<Int>) -> DeltaRuleChunkGradients {
        let (batch, head, first) = (sequence / rule.h, sequence % rule.h, tokens.lowerBound)
        let row = (batch * rule.n + first) * rule.h + head
        return DeltaRuleChunkGradients(
            output: output?.row(batch, head, first), outputStride: output?.stride ?? 0,
            q: dq.mutablePointer + row * rule.d, k: dk.mutablePointer + row * rule.d,
            v: dv.mutablePointer + row * rule.dv,
            beta: dBeta.mutablePointer + row, gamma: dGamma.map { $0.mutablePointer + row },
            logDecay: dLogDecay.map { $0.mutablePointer + row })
    }
}

/// The places of a chunk's gradients: rows of [b, n, h, …].
struct DeltaRuleChunkGradients {
    let output: UnsafePointer<Float>?
    let outputStride: Int
    let q: UnsafeMutablePointer<Float>, k: UnsafeMutablePointer<Float>, v: UnsafeMutablePointer<Float>
    let beta: UnsafeMutablePointer<Float>, gamma: UnsafeMutablePointer<Float>?
    let logDecay: UnsafeMutablePointer<Float>?
}

/// The tiles of one chunk's gradient.
final class DeltaRuleTileBackward {
    private let rule: DeltaRule
    private let c: Int, dk: Int, dv: Int
    private let memory: Tensor
    /// X, [2m, dv]
    private let errors: UnsafeMutablePointer<Float>
    /// R, [m, dv]
    private let written: UnsafeMutablePointer<Float>
    /// T, [2m, c]
    private let grams: UnsafeMutablePointer<Float>
    /// [dK; dQ], [2m, dk]
    private let features: UnsafeMutablePointer<Float>
    /// A number a token.
    private let dots: UnsafeMutablePointer<Float>
    private let scratch: UnsafeMutablePointer<Float>
    /// nil where nothing fades.
    private let decay: ChunkDecayGradient?

    init(_ rule: DeltaRule) {
        self.rule = rule
        (c, dk, dv) = (rule.chunk, rule.dk, rule.dv)
        decay = rule.logDecay == nil ? nil : ChunkDecayGradient(tokens: c)
        memory = Tensor(uninitialized: [3 * c * dv + 2 * c * c + 2 * c * dk + c + rule.map.scratch(rule.d)])
        errors = memory.mutablePointer
        written = errors + 2 * c * dv
        grams = written + c * dv
        features = grams + 2 * c * c
        dots = features + 2 * c * dk
        scratch = dots + c
    }

    /// - Parameters:
    ///   - tile: of the forward pass, with U and the features.
    ///   - state: S at the start of the chunk.
    ///   - after: G, of S after the chunk; becomes that of S before it.
    ///   - isLast: true where G is zero and need not be read.
    func run(
        _ chunk: DeltaRuleChunk, _ tile: DeltaRuleTile, state: UnsafePointer<Float>, target: DeltaRuleChunkGradients,
        after: UnsafeMutablePointer<Float>, isLast: Bool
    ) {
        let (m, low) = (chunk.count, tile.first(chunk))
        takeOutput(m, target)
        updates(chunk, tile, after: after, isLast: isLast)
        shares(chunk, tile, target)
        let (before, later) = (chunk.startsEmpty ? nil : state, isLast ? nil : UnsafePointer(after))
        keysAndQueries(m, low, tile, state: before, after: later)
        if let target = target.logDecay {
            decay?.store(m, tile, state: before, after: later, into: target, step: rule.h)
        }
        // The gradient of a zero state that nobody asked for.
        if !chunk.startsEmpty {
            BLAS.multiply(
                dk, dv, 2 * m - low, .init(tile.features + low * dk, stride: dk, transposed: true),
                .init(errors + low * dv, stride: dv), beta: isLast ? 0 : tile.decay?.whole(m) ?? 1, after, stride: dv)
        }
        let map = rule.map
        map.backward(
            m, rule.d, chunk.k, stride: rule.keys.stride, dy: features, dx: target.k, dxStride: rule.h * rule.d,
            scratch: scratch)
        map.backward(
            m, rule.d, chunk.q, stride: rule.queries.stride, dy: features + m * dk, dx: target.q,
            dxStride: rule.h * rule.d,
            scratch: scratch)
    }

    /// Copies dO to the lower half of X.
    private func takeOutput(_ m: Int, _ target: DeltaRuleChunkGradients) {
        let place = errors + m * dv
        guard let output = target.output else { return az_fill(m * dv, 0, place) }
        az_copy_2d(m, dv, output, target.outputStride, 1, place, dv, 1)
    }

    /// Computes R, and above dO the gradient of K S.
    private func updates(
        _ chunk: DeltaRuleChunk, _ tile: DeltaRuleTile, after: UnsafePointer<Float>, isLast: Bool
    ) {
        let m = chunk.count
        func readAfter(_ beta: Float) {
            BLAS.multiply(
                m, dv, dk, .init(tile.features, stride: dk), .init(after, stride: dv), beta: beta, written, stride: dv)
        }
        // What a token writes is read after the chunk less its decay, of which the gradient is taken alone.
        if let decay, !isLast {
            readAfter(0)
            decay.takeWrites(m, tile, written)
        }
        BLAS.multiply(
            m, dv, m, .init(tile.grams + m * c, stride: c, transposed: true), .init(errors + m * dv, stride: dv),
            beta: decay == nil || isLast ? 0 : 1, written, stride: dv)
        if decay == nil && !isLast { readAfter(1) }
        guard let gamma = chunk.gamma else { return }
        az_erasing_substitution_backward(m, dv, tile.grams, c, gamma, rule.gamma!.step, written, errors)
    }

    /// Computes dβ, dγ and dV.
    private func shares(_ chunk: DeltaRuleChunk, _ tile: DeltaRuleTile, _ target: DeltaRuleChunkGradients) {
        let (m, h) = (chunk.count, rule.h)
        az_row_dots(m, dv, written, dv, chunk.v, rule.values.stride, dots)
        az_copy_2d(m, 1, dots, 1, 1, target.beta, h, 1)
        if let gamma = target.gamma {
            az_row_dots(m, dv, written, dv, tile.reads, dv, dots)
            az_scale(m, -1, dots, dots)
            az_copy_2d(m, 1, dots, 1, 1, gamma, h, 1)
        }
        for row in 0..<m {
            az_scale(dv, chunk.beta[row * rule.beta.step], written + row * dv, target.v + row * h * dv)
        }
    }

    /// Computes [dK; dQ].
    private func keysAndQueries(
        _ m: Int, _ low: Int, _ tile: DeltaRuleTile, state: UnsafePointer<Float>?, after: UnsafePointer<Float>?
    ) {
        let (rows, updates) = (2 * m - low, tile.updates)
        let lasting = tile.decay?.lasting(m, updates) ?? UnsafePointer(updates)
        BLAS.multiply(
            rows, m, dv, .init(errors + low * dv, stride: dv), .init(updates, stride: dv, transposed: true),
            grams + low * c,
            stride: c)
        if low == 0 { tile.zeroAbove(m, grams, diagonal: 0) }
        tile.zeroAbove(m, grams + m * c, diagonal: 1)
        func readState(_ state: UnsafePointer<Float>, _ beta: Float) {
            BLAS.multiply(
                rows, dk, dv, .init(errors + low * dv, stride: dv), .init(state, stride: dv, transposed: true),
                beta: beta, features + low * dk, stride: dk)
        }
        if let decay {
            decay.takeSquares(m, from: low, tile, grams)
            decay.fade(m, from: low, tile, errors)
            if let state {
                readState(state, 0)
                decay.takeReads(m, from: low, tile, features)
            }
        }
        BLAS.multiply(
            rows, dk, m, .init(grams + low * c, stride: c), .init(tile.features, stride: dk),
            beta: decay == nil || state == nil ? 0 : 1, features + low * dk, stride: dk)
        if let state, decay == nil { readState(state, 1) }
        BLAS.multiply(
            m, dk, rows, .init(grams + low * c, stride: c, transposed: true),
            .init(tile.features + low * dk, stride: dk),
            beta: low == 0 ? 1 : 0, features, stride: dk)
        if let after {
            BLAS.multiply(
                m, dk, dv, .init(lasting, stride: dv), .init(after, stride: dv, transposed: true), beta: 1, features,
                stride: dk)
        }
    }
}
