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

    /// The same norm with dense parameters of the right shapes for rows of length d, as the kernels take them.
    func contiguous(_ d: Int, _ operation: String) -> Norm {
        let expected: [Int] = if case .scale = self { [1] } else { [d] }
        for shape in parameters.map(\.shape) {
            require(
                shape == expected, "\(operation): a norm's parameter \(shape) for rows of \(d); expected \(expected)")
        }
        switch self {
        case .layer(let weight, let bias, let epsilon):
            return .layer(weight: weight.contiguous(), bias: bias.contiguous(), epsilon: epsilon)
        case .scale(let gain, let epsilon): return .scale(gain: gain.contiguous(), epsilon: epsilon)
        case .rootMeanSquare(let weight, let epsilon):
            return .rootMeanSquare(weight: weight.contiguous(), epsilon: epsilon)
        }
    }

    /// Normalises dense rows of x, [rows, d]. mean, factor: of each row, for backward.
    func apply(
        _ x: UnsafePointer<Float>, rows: Int, d: Int, into y: UnsafeMutablePointer<Float>,
        mean: UnsafeMutablePointer<Float>, factor: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .layer(let weight, let bias, let epsilon):
            az_layer_norm_forward(rows, d, epsilon, x, weight.pointer, bias.pointer, y, mean, factor)
        case .scale(let gain, let epsilon):
            az_l2_norm_forward(rows, d, Self.lengthScale(d), epsilon, gain.item, x, nil, y, factor)
        case .rootMeanSquare(let weight, let epsilon):
            az_rms_norm_forward(rows, d, epsilon, x, weight.pointer, y, factor)
        }
    }

    /// The factor of lengths in scale normalization.
    fileprivate static func lengthScale(_ d: Int) -> Float { 1 / Float(d).squareRoot() }
}

/// The normalized rows of x, made panel by panel where a fused operation needs them, and their gradient.
struct NormPanels: Sendable {
    let x: Tensor
    let norm: Norm
    let rows: Int, d: Int
    /// Rows of one sequence; 0 where no columns are delayed.
    let sequence: Int
    /// The first columns of a normalized row that come from the row before it in its sequence, zeros for the first.
    let delayedColumns: Int
    /// Per row: the mean (layer norm) and the factor that backward needs.
    private let statistics: Tensor

    init(_ x: Tensor, _ norm: Norm, delayedColumns: Int = 0, _ operation: String) {
        d = x.shape.last ?? 0
        require(
            0...d ~= delayedColumns && (delayedColumns == 0 || x.rank >= 2),
            "\(operation): \(delayedColumns) delayed columns of x \(x.shape); expected at most \(d), and an axis of tokens"
        )
        self.x = x.contiguous()
        self.norm = norm.contiguous(d, operation)
        rows = x.count / max(d, 1)
        sequence = delayedColumns > 0 ? x.shape[x.rank - 2] : 0
        self.delayedColumns = delayedColumns
        statistics = Tensor(uninitialized: [2, rows])
    }

    /// The tensors that a gradient may flow to: x and the norm's parameters.
    var inputs: [Tensor] { [x] + norm.parameters }

    // MARK: Forward

    /// Normalises rows into a panel, their first columns delayed.
    func normalize(_ range: Range<Int>, into panel: UnsafeMutablePointer<Float>) {
        guard sequence > 0 else { return applyNorm(range, into: panel, statistics: storedStatistics(range)) }
        let columns = delayedColumns
        let plain = Tensor(uninitialized: [1 + range.count, d])
        let source = plain.mutablePointer + d
        applyNorm(range, into: source, statistics: storedStatistics(range))
        if range.lowerBound % sequence != 0 {
            // Another panel stores the statistics of the row before this one, perhaps at this moment.
            withUnsafeTemporaryAllocation(of: Float.self, capacity: 2) { unused in
                let start = unused.baseAddress!
                applyNorm(range.lowerBound - 1..<range.lowerBound, into: source - d, statistics: (start, start + 1))
            }
        }
        az_copy_2d(range.count, d - columns, source + columns, d, 1, panel + columns, d, 1)
        for row in range {
            let index = row - range.lowerBound
            if row % sequence == 0 {
                az_fill(columns, 0, panel + index * d)
            } else {
                az_scale(columns, 1, source + (index - 1) * d, panel + index * d)
            }
        }
    }

    /// The mean (of layer norm) and the factor that backward needs, one a row.
    private typealias RowStatistics = (mean: UnsafeMutablePointer<Float>, factor: UnsafeMutablePointer<Float>)

    private func storedStatistics(_ range: Range<Int>) -> RowStatistics {
        let mean = statistics.mutablePointer + range.lowerBound
        return (mean, mean + rows)
    }

    private func applyNorm(
        _ range: Range<Int>, into panel: UnsafeMutablePointer<Float>, statistics: RowStatistics
    ) {
        norm.apply(
            x.pointer + range.lowerBound * d, rows: range.count, d: d, into: panel, mean: statistics.mean,
            factor: statistics.factor)
    }

    /// All rows, [rows, d].
    func normalized() -> Tensor {
        let result = Tensor(uninitialized: [rows, d])
        let target = result.mutablePointer
        parallelRanges(rows, grain: panelRows(rows)) { normalize($0, into: target + $0.lowerBound * d) }
        return result
    }

    // MARK: Backward

    /// The gradients of `inputs`.
    ///
    /// - Parameter gradient: writes the gradient of some normalized rows, [count, d].
    func inputGradient(_ slots: [InputGradient], _ gradient: (Range<Int>, UnsafeMutablePointer<Float>) -> Void) {
        guard slots.contains(where: \.isNeeded) else { return }
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
                gradient(range, dy.mutablePointer)
                let place = destination + range.lowerBound * d
                let target = beta == 0 ? place : dx.mutablePointer
                backward(range, of: dy.pointer, into: target, sums: (sums + piece * d, sums + (pieces + piece) * d))
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

    /// The gradient dx of some rows from that of the normalized rows, dy: [count, d] each. Those of the norm's first and
    /// second parameter are added to `sums`, [d] each.
    func backward(
        _ range: Range<Int>, of dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>,
        sums: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>)
    ) {
        let (first, second) = sums
        let source = x.pointer + range.lowerBound * d
        let mean = statistics.pointer + range.lowerBound
        let factor = mean + rows
        switch norm {
        case .layer(let weight, _, _):
            az_layer_norm_backward(range.count, d, source, weight.pointer, mean, factor, dy, dx, first, second)
        case .scale(let gain, _):
            az_l2_norm_backward(range.count, d, Norm.lengthScale(d), gain.item, source, nil, factor, dy, dx, first, nil)
        case .rootMeanSquare(let weight, _):
            az_rms_norm_backward(range.count, d, source, weight.pointer, factor, dy, dx, first)
        }
    }
}
