import CKernels
import Tensors

// The gradient of mixed chunk attention. Groups in reverse, G = ∂L/∂H after the group:
//
//     dA = dY vᵀ        dZ = dA ⊙ f′(Z) ⊙ tril      dq₁ = dZ k₁ / g      dk₁ = dZᵀ q₁ / g      dB = Σ dZ
//     dq₂ = dY Hᵀ       dk₂ = v Gᵀ / g              dv = Aᵀ dY + k₂ G / g                      G ← G + q₂ᵀ dY

/// The backward pass of mixed chunk attention over all units of work.
struct MixedChunkBackward {
    private let attention: MixedChunkAttention
    private let units: [GroupRun]
    private let attended: Tensor
    private let contexts: [[Tensor?]]
    private let gradient: Tensor
    private var b: Int { attention.b }
    private var n: Int { attention.n }
    private var s: Int { attention.s }
    private var e: Int { attention.e }

    /// - Parameters:
    ///   - units: those of the forward pass.
    ///   - attended: before the gate, [b, n, e].
    ///   - contexts: H as each group of each unit saw it.
    ///   - gradient: of the output, [b, n, e].
    init(
        _ attention: MixedChunkAttention, _ units: [GroupRun], attended: Tensor, contexts: [[Tensor?]],
        gradient: Tensor
    ) {
        self.attention = attention
        self.units = units
        self.attended = attended
        self.contexts = contexts
        self.gradient = gradient
    }

    /// Computes the gradients of hidden, qk, gamma, beta and bias.
    func run(_ slots: [InputGradient]) {
        let dHidden = Tensor(uninitialized: [b, n, 2 * e])
        let dQK = Tensor(uninitialized: [b, n, s])
        let widths = [4 * s, 4 * s, 2 * attention.g - 1]
        // A row for each unit, added in order afterwards: the same bits for any timing of the threads.
        let partials = widths.map { Tensor.zeros([units.count, $0]) }
        let ends = attention.contexts(units, reversed: true, addContextGradient)
        let (pHidden, pQK, pointers) = (dHidden.mutablePointer, dQK.mutablePointer, partials.map(\.mutablePointer))
        parallelFor(units.count) { index in
            let worker = UnitBackward(
                attention, attended, gradient, dHidden: pHidden, dQK: pQK,
                dGamma: pointers[0] + index * widths[0], dBeta: pointers[1] + index * widths[1],
                dBias: pointers[2] + index * widths[2])
            worker.run(units[index], contexts[index], end: ends?[index])
        }
        slots[0].add(dHidden)
        slots[1].add(dQK)
        for (slot, (partial, width)) in zip(slots.dropFirst(2), zip(partials, widths)) {
            slot.accumulate { destination, beta in
                if beta == 0 { az_fill(width, 0, destination) }
                az_sum_rows(units.count, width, partial.pointer, width, destination)
            }
        }
    }

    /// Adds q₂ᵀ dY of a loaded group.
    private func addContextGradient(_ tile: GroupTile, _ target: UnsafeMutablePointer<Float>) {
        let scratch = Tensor(uninitialized: [2, tile.count, e])
        let (dY, dGate) = (scratch.mutablePointer, scratch.mutablePointer + tile.count * e)
        tile.gateBackward(attended, gradient, dY: dY, dGate: dGate, stride: e)
        tile.addContextGradient(dY, to: target)
    }
}

/// The backward pass of one unit, with its buffers.
private final class UnitBackward {
    let attention: MixedChunkAttention
    let attended: Tensor, gradient: Tensor
    let dHidden: UnsafeMutablePointer<Float>, dQK: UnsafeMutablePointer<Float>
    let dGamma: UnsafeMutablePointer<Float>, dBeta: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>
    let tile: GroupTile
    private let s: Int, e: Int, g: Int
    private let memory: Tensor
    private let dY: UnsafeMutablePointer<Float>, dValues: UnsafeMutablePointer<Float>
    private let scores: UnsafeMutablePointer<Float>, dWeights: UnsafeMutablePointer<Float>
    private let dHeads: [UnsafeMutablePointer<Float>]
    private let dShared: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>

    init(
        _ attention: MixedChunkAttention, _ attended: Tensor, _ gradient: Tensor, dHidden: UnsafeMutablePointer<Float>,
        dQK: UnsafeMutablePointer<Float>, dGamma: UnsafeMutablePointer<Float>, dBeta: UnsafeMutablePointer<Float>,
        dBias: UnsafeMutablePointer<Float>
    ) {
        self.attention = attention
        (self.attended, self.gradient) = (attended, gradient)
        (self.dHidden, self.dQK) = (dHidden, dQK)
        (self.dGamma, self.dBeta, self.dBias) = (dGamma, dBeta, dBias)
        tile = GroupTile(attention)
        (s, e, g) = (attention.s, attention.e, min(attention.g, attention.n))
        memory = Tensor(uninitialized: [2 * g * e + 2 * g * g + 5 * g * s + 2 * g])
        let base = memory.mutablePointer
        dY = base
        dValues = base + g * e
        scores = base + 2 * g * e
        dWeights = scores + g * g
        let firstHead = dWeights + g * g
        dHeads = (0..<4).map { [g, s] in firstHead + $0 * g * s }
        dShared = firstHead + 4 * g * s
        scratch = dShared + g * s
    }

    func run(_ unit: GroupRun, _ contexts: [Tensor?], end: Tensor?) {
        let later = Tensor.zeros([s, e])
        if let end { az_scale(s * e, 1, end.pointer, later.mutablePointer) }
        var hasLater = end != nil
        for group in unit.groups.reversed() {
            tile.load(row: unit.row, attention.tokens(group))
            let width = 2 * e
            let gateGradient = dHidden + (unit.row * attention.n + tile.tokens.lowerBound) * width + e
            tile.gateBackward(attended, gradient, dY: dY, dGate: gateGradient, stride: width)
            if attention.contextGroups == .own {
                az_fill(s * e, 0, later.mutablePointer)
                tile.addContextGradient(dY, to: later.mutablePointer)
                hasLater = true
            }
            quadratic()
            linear(contexts[group - unit.groups.lowerBound], hasLater ? later.pointer : nil)
            if attention.isCausal && group > unit.groups.lowerBound {
                tile.addContextGradient(dY, to: later.mutablePointer)
                hasLater = true
            }
            finish()
        }
    }

    /// Computes dq₁, dk₁, dB and the first term of dv.
    private func quadratic() {
        let count = tile.count
        az_fill(count * e, 0, dValues)
        az_fill(count * s, 0, dHeads[2])
        tile.blocks { rows, keys in
            let (offset, line) = (rows.lowerBound * e, rows.lowerBound * g)
            tile.scores(rows, keys, into: scores)
            tile.activate(rows, keys, scores)
            BLAS.multiply(
                keys, e, rows.count, .init(tile.weights + line, stride: g, transposed: true),
                .init(dY + offset, stride: e), beta: 1, dValues, stride: e)
            BLAS.multiply(
                rows.count, keys, e, .init(dY + offset, stride: e), .init(tile.values, stride: e, transposed: true),
                dWeights + line, stride: g)
            tile.activateBackward(rows, keys, scores: scores, gradients: dWeights, bias: dBias, scratch: scratch)
            BLAS.multiply(
                rows.count, s, keys, .init(dWeights + line, stride: g), .init(tile.heads[2], stride: s),
                dHeads[0] + rows.lowerBound * s, stride: s)
            BLAS.multiply(
                keys, s, rows.count, .init(dWeights + line, stride: g, transposed: true),
                .init(tile.heads[0] + rows.lowerBound * s, stride: s), beta: 1, dHeads[2], stride: s)
        }
    }

    /// Computes dq₂ from H, and from G dk₂ and the rest of dv.
    private func linear(_ context: Tensor?, _ later: UnsafePointer<Float>?) {
        let count = tile.count
        if let context {
            BLAS.multiply(
                count, s, e, .init(dY, stride: e), .init(context.pointer, stride: e, transposed: true), dHeads[1],
                stride: s)
        } else {
            az_fill(count * s, 0, dHeads[1])
        }
        guard let later else { return az_fill(count * s, 0, dHeads[3]) }
        let factor = 1 / attention.divisor(tile.row)
        BLAS.multiply(
            count, s, e, alpha: factor, .init(tile.values, stride: e), .init(later, stride: e, transposed: true),
            dHeads[3], stride: s)
        BLAS.multiply(
            count, e, s, alpha: factor, .init(tile.heads[3], stride: s), .init(later, stride: e), beta: 1, dValues,
            stride: e)
    }

    /// Carries the gradients through rotation, heads and activations to hidden and qk.
    private func finish() {
        let count = tile.count
        let first = tile.row * attention.n + tile.tokens.lowerBound
        az_fill(count * s, 0, dShared)
        for (index, head) in dHeads.enumerated() {
            tile.rotateBack(head)
            if index == 3 { tile.hideMaskedKeys(head) }
            az_affine_rows_backward(
                count, s, tile.shared, attention.gamma.pointer + index * s, head, dShared, dGamma + index * s,
                dBeta + index * s)
        }
        az_silu_rows_backward(count, s, attention.qk.pointer + first * s, s, dShared, s, dQK + first * s, s)
        az_silu_rows_backward(
            count, e, attention.hidden.pointer + first * 2 * e, 2 * e, dValues, e, dHidden + first * 2 * e, 2 * e)
    }
}

extension GroupTile {
    /// Computes dY = dOut ⊙ silu(z) and dz = dOut ⊙ Y ⊙ silu′(z) for the gate z; dGate has rows `stride` apart.
    fileprivate func gateBackward(
        _ attended: Tensor, _ gradient: Tensor, dY: UnsafeMutablePointer<Float>, dGate: UnsafeMutablePointer<Float>,
        stride: Int
    ) {
        let e = attention.e
        let first = row * attention.n + tokens.lowerBound
        az_silu_gate_backward(
            count, e, attended.pointer + first * e, e, attention.hidden.pointer + first * 2 * e + e, 2 * e,
            gradient.pointer + first * e, e, dY, e, dGate, stride)
    }

    /// Adds q₂ᵀ dY to G.
    fileprivate func addContextGradient(_ dY: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>) {
        let (s, e) = (attention.s, attention.e)
        BLAS.multiply(
            s, e, count, .init(heads[1], stride: s, transposed: true), .init(dY, stride: e), beta: 1, target, stride: e)
    }
}
