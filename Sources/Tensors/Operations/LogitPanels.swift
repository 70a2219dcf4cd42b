import CKernels

/// Logits norm(x) Wᵀ + b, a panel of rows at a time, and what their gradient gives back.
struct LogitPanels: Sendable {
    let x: Tensor
    /// nil where the rows are projected as they are.
    let norm: NormPanels?
    let projection: Projection
    let rows: Int, d: Int, classes: Int
    /// Rows of a panel at most, and of a thread's part of it.
    let panel: Int, grain: Int

    init(_ x: Tensor, norm: Norm?, projection: Projection, _ operation: String) {
        let dense = x.contiguous()
        self.x = dense
        self.norm = norm.map { NormPanels(dense, $0, operation) }
        self.projection = projection.checked("\(operation): x \(x.shape)", inputs: x.length(-1))
        d = x.length(-1)
        classes = projection.matrix.shape[0]
        rows = Shape.count(Array(x.shape.dropLast()))
        let most = max(Self.panelSize / max(classes, 1), 32 * Threads.count)
        let count = max(1, (rows + most - 1) / most)
        panel = max(1, (rows + count - 1) / count)
        grain = panelRows(panel)
    }

    /// Logits of a panel, 67 MB of them: some 800 rows of 20,000 classes, so that the products run at full speed and the
    /// gradient of the weight, which each panel reads and writes, is a small part of the memory traffic.
    private static let panelSize = 16 << 20

    /// The tensors that a gradient may flow to: x, the norm's parameters, the projection's.
    var inputs: [Tensor] { [x] + (norm?.norm.parameters ?? []) + projection.parameters }

    /// The place of the projection's parameters among the inputs.
    var projectionIndex: Int { inputs.count - projection.parameters.count }

    // MARK: How threads share a panel

    /// Calls `body` with parts of a panel's rows, on several threads where each gets enough of them. Else all rows come at
    /// once, and the products are to be split.
    func split(_ rows: Range<Int>, _ body: (_ part: Range<Int>, _ splitsProducts: Bool) -> Void) {
        guard rows.count >= 16 * Threads.count else { return body(rows, true) }
        parallelRanges(rows.count, grain: grain) {
            body(rows.lowerBound + $0.lowerBound..<rows.lowerBound + $0.upperBound, false)
        }
    }

    /// The most parts of a panel.
    var pieces: Int { (panel + grain - 1) / grain }

    // MARK: Forward

    /// Rows as they are projected, in `panel` unless they can be read where they lie.
    func normalize(_ rows: Range<Int>, into panel: UnsafeMutablePointer<Float>) -> UnsafePointer<Float> {
        norm?.normalize(rows, into: panel)
        return normalizedRows(rows, panel)
    }

    /// Returns the address of rows that `normalize` has written to `panel`.
    func normalizedRows(_ rows: Range<Int>, _ panel: UnsafePointer<Float>) -> UnsafePointer<Float> {
        norm == nil ? x.pointer + rows.lowerBound * d : panel
    }

    /// z = x̂ Wᵀ + b of `count` rows.
    func project(
        _ count: Int, _ normalized: UnsafePointer<Float>, into z: UnsafeMutablePointer<Float>, splitsProducts: Bool
    ) {
        let (a, b) = (BLAS.Operand(normalized, stride: d), projection.matrix.transposed)
        if splitsProducts {
            BLAS.multiplyInParallel(count, classes, d, a, b, z, stride: classes)
        } else {
            BLAS.multiply(count, classes, d, a, b, z, stride: classes)
        }
        if let bias = projection.bias { az_add_bias(count, classes, bias.pointer, z, classes) }
    }

    // MARK: Backward

    /// dx̂ = factor · dz W of `count` rows.
    func unproject(
        _ count: Int, _ dz: UnsafePointer<Float>, _ factor: Float, into target: UnsafeMutablePointer<Float>,
        splitsProducts: Bool
    ) {
        let (a, b) = (BLAS.Operand(dz, stride: classes), BLAS.Operand(projection.weight.pointer, stride: d))
        if splitsProducts {
            BLAS.multiplyInParallel(count, d, classes, alpha: factor, a, b, target, stride: d)
        } else {
            BLAS.multiply(count, d, classes, alpha: factor, a, b, target, stride: d)
        }
    }
}
