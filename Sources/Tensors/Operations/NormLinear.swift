import CKernels

/// A projection of a normalized input: weight [out, in], bias [out].
public struct Projection: Sendable {
    /// The weight: floats, or rounded for inference.
    public let matrix: WeightMatrix
    /// [out]; nil without a bias.
    public let bias: Tensor?

    /// Creates a projection. weight: [out, in]; bias: [out]
    public init(weight: Tensor, bias: Tensor? = nil) { self.init(weight: .float(weight), bias: bias) }

    /// Creates a projection whose weight may be rounded. weight: [out, in]; bias: [out]
    public init(weight: WeightMatrix, bias: Tensor? = nil) {
        matrix = weight
        self.bias = bias
    }

    /// The weight where it is of floats.
    public var weight: Tensor { matrix.tensor }

    var parameters: [Tensor] { matrix.inputs + (bias.map { [$0] } ?? []) }

    /// The same projection, dense, its shapes checked for rows of the given length. `input` starts the message.
    func checked(_ input: @autoclosure () -> String, inputs: Int) -> Projection {
        require(
            matrix.shape.count == 2 && matrix.shape[1] == inputs && (bias == nil || bias!.shape == [matrix.shape[0]]),
            "\(input()), weight \(matrix.shape), bias \(bias?.shape ?? []): expected [out, \(inputs)]")
        return Projection(weight: matrix.checked(input()), bias: bias?.contiguous())
    }
}

/// Several projections of one normalized input in one operation: a panel of rows is normalized and, while in the L2
/// cache, multiplied by every weight. The normalized rows are never stored; backward computes them again.
///
/// - Parameters:
///   - x: [..., n, d].
///   - delayedColumns: how many of each normalized row's first columns come from the row before it along axis n, zeros for
///     the first.
/// - Returns: a tensor [..., n, out] for each projection.
public func normLinear(_ x: Tensor, norm: Norm, delayedColumns: Int = 0, _ projections: [Projection]) -> [Tensor] {
    if delayedColumns == 0, let outputs = FewRows.normLinear(x, norm, projections) { return outputs }
    return NormLinear(x, norm, delayedColumns: delayedColumns, projections).record()
}

/// One projection; see the form with several.
public func normLinear(_ x: Tensor, norm: Norm, weight: Tensor, bias: Tensor? = nil) -> Tensor {
    normLinear(x, norm: norm, weight: .float(weight), bias: bias)
}

/// One projection whose weight may be rounded.
public func normLinear(_ x: Tensor, norm: Norm, weight: WeightMatrix, bias: Tensor? = nil) -> Tensor {
    normLinear(x, norm: norm, [Projection(weight: weight, bias: bias)])[0]
}

private struct NormLinear: Sendable {
    let panels: NormPanels
    let projections: [Projection]
    let rows: Int, d: Int

    init(_ x: Tensor, _ norm: Norm, delayedColumns: Int, _ projections: [Projection]) {
        panels = NormPanels(x, norm, delayedColumns: delayedColumns, "normLinear")
        (rows, d) = (panels.rows, panels.d)
        self.projections = projections.map { $0.checked("normLinear: x \(x.shape)", inputs: x.shape.last ?? 0) }
    }

    func record() -> [Tensor] {
        let outputs = projections.map {
            Tensor(uninitialized: Array(panels.x.shape.dropLast()) + [$0.matrix.shape[0]])
        }
        let targets = outputs.map(\.mutablePointer)
        if rows < 16 * Threads.count {
            projectFewRows(targets)
        } else {
            parallelRanges(rows, grain: panelRows(rows)) { range in
                let panel = Tensor(uninitialized: [range.count, d])
                panels.normalize(range, into: panel.mutablePointer)
                for (index, target) in targets.enumerated() {
                    let width = projections[index].matrix.shape[0]
                    project(range.count, panel.pointer, projections[index], into: target + range.lowerBound * width)
                }
            }
        }
        let inputs = panels.inputs + projections.flatMap(\.parameters)
        guard Tensor.records(inputs) else { return outputs }
        return Tensor.record("normLinear", outputs: outputs, inputs: inputs) { gradients, slots in
            backward(gradients.map { $0?.contiguous() }, slots)
        }
    }

    /// Few rows: threads share the columns of all projections.
    private func projectFewRows(_ targets: [UnsafeMutablePointer<Float>]) {
        let normalized = Tensor(uninitialized: [rows, d])
        panels.normalize(0..<rows, into: normalized.mutablePointer)
        let products = zip(projections, targets).map { FewRows.Product(rows: rows, inputs: d, $0, into: $1) }
        withExtendedLifetime(normalized) { FewRows.run(products, normalized.pointer) }
    }

    /// A projection of `count` normalized rows. target: the first of these rows.
    private func project(
        _ count: Int, _ panel: UnsafePointer<Float>, _ projection: Projection, into target: UnsafeMutablePointer<Float>
    ) {
        let (weight, bias) = (projection.matrix, projection.bias)
        let width = weight.shape[0]
        BLAS.multiply(
            count, width, d, BLAS.Operand(panel, stride: d), weight.transposed, target, stride: width)
        if let bias { az_add_bias(count, width, bias.pointer, target, width) }
    }

    // MARK: Backward

    private func backward(_ gradients: [Tensor?], _ slots: [InputGradient]) {
        let inputs = panels.inputs.count
        weightGradients(gradients, Array(slots.dropFirst(inputs)))
        inputGradient(gradients, Array(slots.prefix(inputs)))
    }

    private func weightGradients(_ gradients: [Tensor?], _ slots: [InputGradient]) {
        guard slots.contains(where: \.isNeeded) else { return }
        let normalized = panels.normalized()
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
            next += p.parameters.count
        }
    }

    private func inputGradient(_ gradients: [Tensor?], _ slots: [InputGradient]) {
        guard slots.contains(where: \.isNeeded) else { return }
        guard panels.sequence > 0 else {
            return panels.inputGradient(slots) { normalizedGradient($0, gradients, $1) }
        }
        // A row's gradient comes from the row after it as well, which may be in another panel.
        let delayed = Tensor(uninitialized: [rows, d])
        let target = delayed.mutablePointer
        parallelRanges(rows, grain: panelRows(rows)) { normalizedGradient($0, gradients, target + $0.lowerBound * d) }
        panels.inputGradient(slots) { undelay($0, delayed.pointer, into: $1) }
    }

    /// The gradient of normalized rows, their first columns delayed: Σ over projections of dY W.
    private func normalizedGradient(
        _ range: Range<Int>, _ gradients: [Tensor?], _ target: UnsafeMutablePointer<Float>
    ) {
        var beta: Float = 0
        for (p, gradient) in zip(projections, gradients) {
            guard let gradient else { continue }
            let width = p.weight.shape[0]
            BLAS.multiply(
                range.count, d, width, BLAS.Operand(gradient.pointer + range.lowerBound * width, stride: width),
                BLAS.Operand(p.weight.pointer, stride: d), beta: beta, target, stride: d)
            beta = 1
        }
    }

    /// Undoes the delay on a gradient: the first columns of row r come from row r + 1 of the same sequence.
    private func undelay(_ range: Range<Int>, _ source: UnsafePointer<Float>, into dy: UnsafeMutablePointer<Float>) {
        az_scale(range.count * d, 1, source + range.lowerBound * d, dy)
        let (sequence, columns) = (panels.sequence, panels.delayedColumns)
        for row in range {
            let target = dy + (row - range.lowerBound) * d
            if (row + 1) % sequence == 0 {
                az_fill(columns, 0, target)
            } else {
                az_scale(columns, 1, source + (row + 1) * d, target)
            }
        }
    }
}
