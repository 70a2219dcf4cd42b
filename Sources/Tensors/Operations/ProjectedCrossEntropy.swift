import CKernels

// Cross-entropy of logits that are never stored as a whole. With x̂ = norm(x), n rows whose target counts:
//
//     z = x̂ Wᵀ + b                        loss = Σ (log Σ exp z − z[target]) / n
//     dz = (softmax(z) − onehot(target)) / n
//     dx̂ = dz W                           dW = dzᵀ x̂          db = Σ rows of dz
//
// The loss's own gradient is a factor that only the backward pass knows. So the gradients are made while a panel of z is
// at hand, and multiplied by it then: three products, as with stored logits.

/// The mean of −log softmax(norm(x) Wᵀ + b)[target] over all targets that are not `ignoreIndex`; NaN where all are (and a
/// gradient of 0). Equal to `crossEntropy` of `normLinear`, at a memory that does not grow with rows × classes.
///
/// Rows whose target does not count cost nothing.
/// - Parameters:
///   - x: [..., d].
///   - norm: what the rows pass before the projection; nil for nothing.
///   - projection: weight [classes, d].
///   - targets: [...].
/// - Returns: a scalar.
public func crossEntropy(
    _ x: Tensor, norm: Norm? = nil, projection: Projection, targets: TokenTensor, ignoreIndex: Int32? = nil
) -> Tensor {
    requireRows(x, targets)
    let places = targets.values.indices.filter { targets.values[$0] != ignoreIndex }
    var (rows, counted) = (x, targets)
    if places.count < targets.count {
        counted = TokenTensor(places.map { targets.values[$0] })
        rows = x.contiguous().reshaped([targets.count, x.length(-1)]).taking(TokenTensor(places.map { Int32($0) }))
    }
    let panels = LogitPanels(rows, norm: norm, projection: projection, "crossEntropy")
    requireClasses(counted, panels.classes, ignoreIndex: nil)
    var pass = CrossEntropyPass(panels, counted, ignoreIndex: nil)
    pass.prepareGradients(of: panels.inputs)
    pass.run()
    let made = pass.gradients
    return .record("crossEntropy", meanLoss(pass.losses, counted: counted.count), inputs: panels.inputs) {
        gradient, slots in
        for (slot, own) in zip(slots, made) { if let own { slot.add(owned: own, times: gradient.item) } }
    }
}

/// Computes the loss of each row, −log of the target's probability, whose mean is `crossEntropy`, and its likeliest
/// class (the first of equals; NaN counts as larger than any number). No gradient flows.
///
/// - Parameters:
///   - x: [..., d].
///   - projection: weight [classes, d].
///   - targets: [...].
/// - Returns: losses [...], 0 where the target is `ignoreIndex`; classes [...].
public func classLosses(
    _ x: Tensor, norm: Norm? = nil, projection: Projection, targets: TokenTensor, ignoreIndex: Int32? = nil
) -> (losses: Tensor, likeliest: TokenTensor) {
    requireRows(x, targets)
    let panels = LogitPanels(x, norm: norm, projection: projection, "crossEntropy")
    requireClasses(targets, panels.classes, ignoreIndex: ignoreIndex)
    var pass = CrossEntropyPass(panels, targets, ignoreIndex: ignoreIndex)
    let likeliest = [Int32](unsafeUninitializedCapacity: targets.count) { buffer, count in
        pass.likeliest = buffer.baseAddress
        pass.run()
        count = targets.count
    }
    return (pass.losses.reshaped(targets.shape), TokenTensor(likeliest, shape: targets.shape))
}

private func requireRows(_ x: Tensor, _ targets: TokenTensor) {
    require(
        x.rank >= 1 && Array(x.shape.dropLast()) == targets.shape,
        "crossEntropy: x \(x.shape) and targets \(targets.shape)")
}

/// One walk over all rows, a panel of logits after another, which the threads share: its rows for the logits and the
/// gradient of x, its columns for the gradient of the projection.
private struct CrossEntropyPass {
    let panels: LogitPanels
    let targets: [Int32]
    let ignoreIndex: Int32
    let losses: Tensor
    /// The destination of each row's likeliest class.
    var likeliest: UnsafeMutablePointer<Int32>?
    private var rowsGradient: Tensor?, weightGradient: Tensor?, biasGradient: Tensor?
    /// Gradients of the norm's parameters, one for each piece of a panel, which add up in a fixed order: [2, pieces,
    /// d].
    private var normSums: Tensor?

    init(_ panels: LogitPanels, _ targets: TokenTensor, ignoreIndex: Int32?) {
        (self.panels, self.targets) = (panels, targets.values)
        self.ignoreIndex = ignoreIndex ?? Int32.min
        losses = Tensor(uninitialized: [panels.rows])
    }

    /// Makes room for the gradients of those of `panels.inputs` that want one.
    mutating func prepareGradients(of inputs: [Tensor]) {
        let (wanted, last) = (inputs.map { Tensor.records([$0]) }, panels.projectionIndex)
        guard wanted.contains(true) else { return }
        if wanted[..<last].contains(true) {
            rowsGradient = Tensor(uninitialized: panels.x.shape)
            normSums = .zeros([2, panels.pieces, panels.d])
        }
        if wanted[last] { weightGradient = Tensor(uninitialized: inputs[last].shape) }
        if wanted.count > last + 1, wanted[last + 1] { biasGradient = .zeros(inputs[last + 1].shape) }
        if panels.rows == 0, let weightGradient { az_fill(weightGradient.count, 0, weightGradient.mutablePointer) }
    }

    /// Those of `panels.inputs`, nil where none is wanted, of a loss whose own gradient is 1.
    var gradients: [Tensor?] {
        let ofNorm = (panels.norm?.norm.parameters ?? []).enumerated().map { index, parameter -> Tensor? in
            normSums?.at(0, index).sliced(1, to: parameter.count).sum(axes: [0])
        }
        return [rowsGradient] + ofNorm + [weightGradient] + (panels.projection.bias == nil ? [] : [biasGradient])
    }

    private var makesGradients: Bool { rowsGradient != nil || weightGradient != nil || biasGradient != nil }

    func run() {
        let logits = Tensor(uninitialized: [panels.panel, panels.classes])
        let normalized = Tensor(uninitialized: [panels.norm == nil ? 0 : panels.panel, panels.d])
        for first in stride(from: 0, to: panels.rows, by: panels.panel) {
            let rows = first..<min(first + panels.panel, panels.rows)
            panels.split(rows) { part, splitsProducts in
                let z = logits.mutablePointer + (part.lowerBound - first) * panels.classes
                let x = panels.normalize(
                    part, into: normalized.mutablePointer + (part.lowerBound - first) * panels.d)
                panels.project(part.count, x, into: z, splitsProducts: splitsProducts)
                classify(part, z)
                if rowsGradient != nil {
                    addRows(part, z, piece: (part.lowerBound - first) / panels.grain, splitsProducts)
                }
            }
            if makesGradients { addProjection(rows, logits.pointer, panels.normalizedRows(rows, normalized.pointer)) }
        }
    }

    /// The losses of some rows; turns their logits into softmax(z) − onehot(target) where gradients are made.
    private func classify(_ rows: Range<Int>, _ z: UnsafeMutablePointer<Float>) {
        let (first, loss) = (rows.lowerBound, losses.mutablePointer + rows.lowerBound)
        if let likeliest {
            // The maxima go where the losses will stand.
            az_max(rows.count, panels.classes, 1, z, loss, likeliest + first)
        }
        targets.withUnsafeBufferPointer {
            az_cross_entropy(
                rows.count, panels.classes, ignoreIndex, z, $0.baseAddress! + first, loss, makesGradients ? z : nil)
        }
    }

    /// The factor of the mean.
    private var factor: Float { 1 / Float(max(panels.rows, 1)) }

    private func addRows(_ rows: Range<Int>, _ dz: UnsafePointer<Float>, piece: Int, _ splitsProducts: Bool) {
        let target = rowsGradient!.mutablePointer + rows.lowerBound * panels.d
        guard let norm = panels.norm else {
            return panels.unproject(rows.count, dz, factor, into: target, splitsProducts: splitsProducts)
        }
        let dy = Tensor(uninitialized: [rows.count, panels.d])
        panels.unproject(rows.count, dz, factor, into: dy.mutablePointer, splitsProducts: splitsProducts)
        let sums = normSums!.mutablePointer + piece * panels.d
        norm.backward(rows, of: dy.pointer, into: target, sums: (sums, sums + panels.pieces * panels.d))
    }

    /// dW and db of a panel's rows.
    private func addProjection(_ rows: Range<Int>, _ dz: UnsafePointer<Float>, _ x: UnsafePointer<Float>) {
        let (classes, d) = (panels.classes, panels.d)
        if let weightGradient {
            BLAS.multiplyInParallel(
                classes, d, rows.count, alpha: factor, BLAS.Operand(dz, stride: classes, transposed: true),
                BLAS.Operand(x, stride: d), beta: rows.lowerBound == 0 ? 0 : 1, weightGradient.mutablePointer, stride: d
            )
        }
        guard let target = biasGradient?.mutablePointer else { return }
        // Long runs of each row: narrow columns would be read at the speed of single cache lines.
        parallelRanges(classes, grain: max(64, (classes + Threads.count - 1) / Threads.count)) { columns in
            az_sum_rows(rows.count, columns.count, dz + columns.lowerBound, classes, target + columns.lowerBound)
        }
        if rows.upperBound == panels.rows { az_scale(classes, factor, target, target) }
    }
}
