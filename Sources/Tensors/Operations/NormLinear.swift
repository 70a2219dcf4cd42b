import CKernels

/// A norm over the last axis, with its parameters.
public enum Norm: Sendable {
    /// (x − mean)/√(variance + ε) · weight + bias (Ba et al., 1607.06450). weight, bias: [d].
    case layer(weight: Tensor, bias: Tensor, epsilon: Float = 1e-5)
    /// x / max(‖x‖ d^−½, ε) · gain (Nguyen and Salazar, 1910.05895). gain: [1].
    case scale(gain: Tensor, epsilon: Float = 1e-5)
    /// x / √(mean(x²) + ε) · weight (Zhang and Sennrich, 1910.07467). weight: [d].
    case rootMeanSquare(weight: Tensor, epsilon: Float = 1e-5)

    var parameters: [Tensor] {
        switch self {
        case .layer(let weight, let bias, _): [weight, bias]
        case .scale(let gain, _): [gain]
        case .rootMeanSquare(let weight, _): [weight]
        }
    }

    /// The same norm with dense parameters, as the kernels take them.
    func contiguous() -> Norm {
        switch self {
        case .layer(let weight, let bias, let epsilon):
            .layer(weight: weight.contiguous(), bias: bias.contiguous(), epsilon: epsilon)
        case .scale(let gain, let epsilon): .scale(gain: gain.contiguous(), epsilon: epsilon)
        case .rootMeanSquare(let weight, let epsilon):
            .rootMeanSquare(weight: weight.contiguous(), epsilon: epsilon)
        }
    }
}

/// A projection of a normalised input: weight [out, in], bias [out].
public struct Projection: Sendable {
    public let weight: Tensor
    public let bias: Tensor?

    public init(weight: Tensor, bias: Tensor? = nil) {
        self.weight = weight
        self.bias = bias
    }
}

/// Several projections of one normalised input in one operation: a panel of rows is normalised and, while in the L2
/// cache, multiplied by every weight. The normalised rows are never stored; backward computes them again.
///
/// - Parameters:
///   - x: [..., n, d].
///   - shiftTokens: the first half of the features (⌈d/2⌉ of them) of each row comes from the row before it along
///     axis n, zeros for the first: token shift.
/// - Returns: a tensor [..., n, out] for each projection.
public func normLinear(_ x: Tensor, norm: Norm, shiftTokens: Bool = false, _ projections: [Projection]) -> [Tensor] {
    NormLinear(x, norm, shiftTokens, projections).record()
}

/// One projection; see the form with several.
public func normLinear(_ x: Tensor, norm: Norm, weight: Tensor, bias: Tensor? = nil) -> Tensor {
    normLinear(x, norm: norm, [Projection(weight: weight, bias: bias)])[0]
}

private struct NormLinear: Sendable {
    let x: Tensor
    let norm: Norm
    let projections: [Projection]
    let rows: Int, d: Int
    /// Rows of one sequence; 0 without token shift.
    let sequence: Int
    /// Per row: the mean (layer norm) and the factor that backward needs.
    let statistics: Tensor

    init(_ x: Tensor, _ norm: Norm, _ shiftTokens: Bool, _ projections: [Projection]) {
        let d = x.shape.last ?? 0
        for p in projections {
            require(
                p.weight.rank == 2 && p.weight.shape[1] == d && (p.bias == nil || p.bias!.shape == [p.weight.shape[0]]),
                "normLinear: x \(x.shape), weight \(p.weight.shape), bias \(p.bias?.shape ?? []): expected [out, \(d)]")
        }
        require(!shiftTokens || x.rank >= 2, "normLinear: token shift of x \(x.shape) needs an axis of tokens")
        self.x = x.contiguous()
        self.norm = norm.contiguous()
        self.projections = projections.map {
            Projection(weight: $0.weight.contiguous(), bias: $0.bias?.contiguous())
        }
        self.d = d
        rows = x.count / max(d, 1)
        sequence = shiftTokens ? x.shape[x.rank - 2] : 0
        statistics = Tensor(uninitialized: [2, rows])
    }

    func record() -> [Tensor] {
        let outputs = projections.map {
            Tensor(uninitialized: Array(x.shape.dropLast()) + [$0.weight.shape[0]])
        }
        let targets = outputs.map(\.mutablePointer)
        if rows < 16 * Threads.count {
            let normalized = Tensor(uninitialized: [rows, d])
            normalize(0..<rows, into: normalized.mutablePointer)
            project(0..<rows, normalized.pointer, targets, inParallel: true)
        } else {
            parallelRanges(rows, grain: panelRows(rows)) { range in
                let panel = Tensor(uninitialized: [range.count, d])
                normalize(range, into: panel.mutablePointer)
                project(range, panel.pointer, targets, inParallel: false)
            }
        }
        let inputs = [x] + norm.parameters + projections.flatMap { [$0.weight] + ($0.bias.map { [$0] } ?? []) }
        return Tensor.record("normLinear", outputs: outputs, inputs: inputs) { gradients, slots in
            backward(gradients.map { $0?.contiguous() }, slots)
        }
    }

    // MARK: Forward

    private func project(
        _ range: Range<Int>, _ panel: UnsafePointer<Float>, _ targets: [UnsafeMutablePointer<Float>], inParallel: Bool
    ) {
        for (p, target) in zip(projections, targets) {
            let width = p.weight.shape[0]
            let place = target + range.lowerBound * width
            let (a, b) = (BLAS.Operand(panel, stride: d), BLAS.Operand(p.weight.pointer, stride: d, transposed: true))
            if inParallel {
                BLAS.multiplyInParallel(range.count, width, d, a, b, place, stride: width)
            } else {
                BLAS.multiply(range.count, width, d, a, b, place, stride: width)
            }
            if let bias = p.bias { az_add_bias(range.count, width, bias.pointer, place, width) }
        }
    }

    /// Normalises (and shifts) rows into a panel.
    private func normalize(_ range: Range<Int>, into panel: UnsafeMutablePointer<Float>) {
        guard sequence > 0 else { return applyNorm(range, into: panel) }
        let half = (d + 1) / 2
        let hasPrevious = range.lowerBound % sequence != 0
        let first = range.lowerBound - (hasPrevious ? 1 : 0)
        let plain = Tensor(uninitialized: [range.upperBound - first, d])
        applyNorm(first..<range.upperBound, into: plain.mutablePointer)
        let source = plain.pointer
        az_copy_2d(
            range.count, d - half, source + (range.lowerBound - first) * d + half, d, 1, panel + half, d, 1)
        for row in range {
            let target = panel + (row - range.lowerBound) * d
            if row % sequence == 0 {
                az_fill(half, 0, target)
            } else {
                az_scale(half, 1, source + (row - 1 - first) * d, target)
            }
        }
    }

    private func applyNorm(_ range: Range<Int>, into panel: UnsafeMutablePointer<Float>) {
        let source = x.pointer + range.lowerBound * d
        let mean = statistics.mutablePointer + range.lowerBound
        let factor = mean + rows
        // A panel with token shift computes the statistics of the row before it again; both threads write the same.
        switch norm {
        case .layer(let weight, let bias, let epsilon):
            az_layer_norm_forward(range.count, d, epsilon, source, weight.pointer, bias.pointer, panel, mean, factor)
        case .scale(let gain, let epsilon):
            az_l2_norm_forward(range.count, d, scaleOfNorm, epsilon, gain.item, source, nil, panel, factor)
        case .rootMeanSquare(let weight, let epsilon):
            az_rms_norm_forward(range.count, d, epsilon, source, weight.pointer, panel, factor)
        }
    }

    private var scaleOfNorm: Float { 1 / Float(d).squareRoot() }

    // MARK: Backward

    private func backward(_ gradients: [Tensor?], _ slots: [InputGradient]) {
        weightGradients(gradients, Array(slots.dropFirst(1 + norm.parameters.count)))
        if slots[0...norm.parameters.count].contains(where: \.isNeeded) {
            inputGradient(gradients, Array(slots[0...norm.parameters.count]))
        }
    }

    private func weightGradients(_ gradients: [Tensor?], _ slots: [InputGradient]) {
        let normalized = Tensor(uninitialized: [rows, d])
        let panel = normalized.mutablePointer
        parallelRanges(rows, grain: panelRows(rows)) { normalize($0, into: panel + $0.lowerBound * d) }
        var next = 0
        for (p, gradient) in zip(projections, gradients) {
            let width = p.weight.shape[0]
            if let gradient {
                slots[next].accumulate { destination, beta in
                    BLAS.multiplyInParallel(
                        width, d, rows, BLAS.Operand(gradient.pointer, stride: width, transposed: true),
                        BLAS.Operand(normalized.pointer, stride: d), beta: beta, destination, stride: d)
                }
                if p.bias != nil { addColumnSums(rows, width, gradient.pointer, to: slots[next + 1]) }
            }
            next += p.bias == nil ? 1 : 2
        }
    }

    /// The gradient of the (shifted) normalised rows: Σ over projections of dY W.
    private func normalizedGradient(_ gradients: [Tensor?]) -> Tensor {
        let result = Tensor(uninitialized: [rows, d])
        let target = result.mutablePointer
        parallelRanges(rows, grain: panelRows(rows)) { range in
            var beta: Float = 0
            for (p, gradient) in zip(projections, gradients) {
                guard let gradient else { continue }
                let width = p.weight.shape[0]
                BLAS.multiply(
                    range.count, d, width, BLAS.Operand(gradient.pointer + range.lowerBound * width, stride: width),
                    BLAS.Operand(p.weight.pointer, stride: d), beta: beta, target + range.lowerBound * d, stride: d)
                beta = 1
            }
        }
        return result
    }

    private func inputGradient(_ gradients: [Tensor?], _ slots: [InputGradient]) {
        let shifted = normalizedGradient(gradients)
        let panel = panelRows(rows)
        let pieces = max(1, (rows + panel - 1) / panel)
        // Partial sums for each panel, combined in order: the same bits for any timing of the threads.
        let partial = Tensor.zeros([2, pieces, d])
        let sums = partial.mutablePointer
        func addPanels(to destination: UnsafeMutablePointer<Float>, _ beta: Float) {
            parallelRanges(rows, grain: panel) { range in
                let piece = range.lowerBound / panel
                let dy = Tensor(uninitialized: [range.count, d])
                let dx = Tensor(uninitialized: [range.count, d])
                unshift(range, shifted.pointer, into: dy.mutablePointer)
                let place = destination + range.lowerBound * d
                let target = beta == 0 ? place : dx.mutablePointer
                normBackward(range, dy.pointer, target, sums + piece * d, sums + (pieces + piece) * d)
                if beta != 0 { az_scale_add(range.count * d, 1, dx.pointer, beta, place) }
            }
        }
        if slots[0].isNeeded {
            slots[0].accumulate(addPanels)
        } else {
            // The norm's parameters alone want gradients.
            let unused = Tensor(uninitialized: [rows, d])
            withExtendedLifetime(unused) { addPanels(to: unused.mutablePointer, 0) }
        }
        for (index, parameter) in norm.parameters.enumerated() {
            let width = parameter.count
            slots[1 + index].accumulate { destination, beta in
                if beta == 0 { az_fill(width, 0, destination) }
                az_sum_rows(pieces, width, sums + index * pieces * d, d, destination)
            }
        }
    }

    /// Undoes token shift on a gradient: the first half of row r comes from row r + 1 of the same sequence.
    private func unshift(_ range: Range<Int>, _ source: UnsafePointer<Float>, into dy: UnsafeMutablePointer<Float>) {
        az_scale(range.count * d, 1, source + range.lowerBound * d, dy)
        guard sequence > 0 else { return }
        let half = (d + 1) / 2
        for row in range {
            let target = dy + (row - range.lowerBound) * d
            if (row + 1) % sequence == 0 {
                az_fill(half, 0, target)
            } else {
                az_scale(half, 1, source + (row + 1) * d, target)
            }
        }
    }

    private func normBackward(
        _ range: Range<Int>, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
        _ first: UnsafeMutablePointer<Float>, _ second: UnsafeMutablePointer<Float>
    ) {
        let source = x.pointer + range.lowerBound * d
        let mean = statistics.pointer + range.lowerBound
        let factor = mean + rows
        switch norm {
        case .layer(let weight, _, _):
            az_layer_norm_backward(range.count, d, source, weight.pointer, mean, factor, dy, dx, first, second)
        case .scale(let gain, _):
            az_l2_norm_backward(range.count, d, scaleOfNorm, gain.item, source, nil, factor, dy, dx, first, nil)
        case .rootMeanSquare(let weight, _):
            az_rms_norm_backward(range.count, d, source, weight.pointer, factor, dy, dx, first)
        }
    }
}
