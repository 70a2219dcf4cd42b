import CKernels

/// The feed-forward block of a transformer in one operation: down(dropout(f(up(norm(x))))) + residual.
///
/// f is the activation, or with a gate a ⊙ activation(g), where a and g are the halves of up's output, a first (a gated
/// linear unit, Shazeer, 2002.05202; GEGLU with `.gelu`). Rows are taken in panels: a panel passes from the norm to the
/// last product before the next one starts. Backward keeps up's output alone (and x, without a copy); normalized rows
/// and f are computed again. Where no gradient is wanted, only panels of up's output exist.
///
/// - Parameters:
///   - x: [..., d].
///   - norm: nil: x is taken as it is.
///   - up: weight [inner, d], or [2 · inner, d] with a gate.
///   - dropout: the probability with which an element of f's output is 0. Element (row, column) of [rows, inner] is
///     element row · inner + column of the key's stream, as in `dropout(_:probability:key:)`. Without a key: none.
///   - down: weight [out, inner].
///   - residual: what is added to the result.
/// - Returns: [..., out].
public func feedForward(
    _ x: Tensor, norm: Norm? = nil, up: Projection, activation: Activation, isGated: Bool = false,
    dropout: Double = 0, key: RandomKey? = nil, down: Projection, residual: FeedForwardResidual
) -> Tensor {
    if dropout == 0,
        let y = FewRows.feedForward(
            x, norm: norm, up: up, activation: activation, isGated: isGated, down: down, residual: residual)
    {
        return y
    }
    return FeedForward(
        x, norm: norm, up: up, activation: activation, isGated: isGated, dropout: dropout, key: key, down: down,
        residual: residual
    ).record()
}

/// The residual that is added to the output of a feed-forward block.
public enum FeedForwardResidual: Sendable {
    case none
    /// [..., out]
    case tensor(Tensor)
    /// The input of up, norm(x), as post-norm transformers add it: out = d.
    case input

    /// [..., out], where there is one.
    var tensor: Tensor? { if case .tensor(let tensor) = self { tensor } else { nil } }
    var isInput: Bool { if case .input = self { true } else { false } }
}

/// The same with a residual of [..., out], or none.
public func feedForward(
    _ x: Tensor, norm: Norm? = nil, up: Projection, activation: Activation, isGated: Bool = false,
    dropout: Double = 0, key: RandomKey? = nil, down: Projection, residual: Tensor? = nil
) -> Tensor {
    feedForward(
        x, norm: norm, up: up, activation: activation, isGated: isGated, dropout: dropout, key: key, down: down,
        residual: residual.map(FeedForwardResidual.tensor) ?? FeedForwardResidual.none)
}

struct FeedForward: Sendable {
    let x: Tensor
    let panels: NormPanels?
    let up: Projection, down: Projection
    let activation: Activation
    let isGated: Bool
    let probability: Float
    let key: RandomKey?
    private var residual: Tensor?
    let residualIsInput: Bool
    let rows: Int, d: Int, inner: Int, out: Int
    /// The length of a row of up's output: inner, or 2 · inner.
    let width: Int

    init(
        _ x: Tensor, norm: Norm?, up: Projection, activation: Activation, isGated: Bool, dropout: Double,
        key: RandomKey?, down: Projection, residual: FeedForwardResidual
    ) {
        require(x.rank >= 1, "feedForward: x \(x.shape) has no last axis")
        d = x.shape[x.rank - 1]
        self.up = up.checked("feedForward: x \(x.shape)", inputs: d)
        width = up.matrix.shape[0]
        require(!isGated || width % 2 == 0, "feedForward: weight \(up.matrix.shape) of a gate has no two halves")
        inner = isGated ? width / 2 : width
        let outer = Array(x.shape.dropLast())
        self.down = down.checked("feedForward: down of \(outer + [inner])", inputs: inner)
        out = down.matrix.shape[0]
        let added = residual.tensor
        require(
            added == nil || added!.shape == outer + [out],
            "feedForward: residual \(added?.shape ?? []) for an output \(outer + [out])")
        residualIsInput = residual.isInput
        require(!residualIsInput || out == d, "feedForward: x \(x.shape) cannot be added to an output \(outer + [out])")
        require(dropout >= 0 && dropout <= 1, "feedForward: dropout \(dropout); expected 0 to 1")
        self.x = x.contiguous()
        panels = norm.map { NormPanels(x, $0, "feedForward") }
        self.activation = activation
        self.isGated = isGated
        probability = Float(dropout)
        self.key = dropout > 0 ? key : nil
        self.residual = added?.contiguous()
        rows = x.count / max(d, 1)
    }

    func record() -> Tensor {
        let normInputs = panels?.inputs ?? [x]
        let inputs = normInputs + up.parameters + down.parameters + (residual.map { [$0] } ?? [])
        let y = Tensor(uninitialized: Array(x.shape.dropLast()) + [out])
        let keepsAll = Tensor.records(inputs) || rows < 16 * Threads.count
        let z = keepsAll ? Tensor(uninitialized: [rows, width]) : nil
        if rows < 16 * Threads.count {
            forwardOfFewRows(z!.mutablePointer, y.mutablePointer)
        } else {
            parallelRanges(rows, grain: panelRows(rows)) { forward($0, z, y) }
        }
        guard Tensor.records(inputs) else { return y }
        // Backward does not need the residual: its memory may go.
        var kept = self
        kept.residual = nil
        return .record("feedForward", y, inputs: inputs) { [kept] gradient, slots in
            FeedForwardGradient(kept, z!, gradient.contiguous()).add(to: slots)
        }
    }

    // MARK: Panels of rows

    private func forward(_ range: Range<Int>, _ z: Tensor?, _ y: Tensor) {
        let (first, count) = (range.lowerBound, range.count)
        let scratch = z ?? Tensor(uninitialized: [count, width])
        let product = scratch.mutablePointer + (z == nil ? 0 : first * width)
        let target = y.mutablePointer + first * out
        let beta = startOutput(range, target)
        withInput(range) { input in
            BLAS.multiply(
                count, width, d, BLAS.Operand(input, stride: d),
                up.matrix.transposed, product, stride: width)
            if residualIsInput { az_scale(count * d, 1, input, target) }
        }
        if let bias = up.bias { az_add_bias(count, width, bias.pointer, product, width) }
        let hidden = Tensor(uninitialized: [count, inner])
        activate(count, product, hidden.mutablePointer)
        drop(range, hidden.mutablePointer)
        BLAS.multiply(
            count, out, inner, BLAS.Operand(hidden.pointer, stride: inner),
            down.matrix.transposed, beta: beta, target, stride: out)
        if let bias = down.bias { az_add_bias(count, out, bias.pointer, target, out) }
    }

    /// Gives `body` the rows that up multiplies, [count, d].
    func withInput(_ range: Range<Int>, _ body: (UnsafePointer<Float>) -> Void) {
        guard let panels else { return body(x.pointer + range.lowerBound * d) }
        let normalized = Tensor(uninitialized: [range.count, d])
        panels.normalize(range, into: normalized.mutablePointer)
        withExtendedLifetime(normalized) { body(normalized.pointer) }
    }

    /// f of rows of up's output.
    private func activate(_ count: Int, _ z: UnsafePointer<Float>, _ hidden: UnsafeMutablePointer<Float>) {
        if isGated {
            az_gate_forward(count, inner, activation.kernels?.forward, z, z + inner, width, hidden, inner)
        } else {
            activation.apply(count * inner, z, into: hidden)
        }
    }

    /// Dropout of rows of [rows, inner], in place; the same on their gradient.
    func drop(_ range: Range<Int>, _ hidden: UnsafeMutablePointer<Float>) {
        guard let key else { return }
        az_dropout(
            range.count * inner, probability, key.value, UInt64(range.lowerBound * inner), hidden, hidden)
    }

    /// The residual, for the product to be added to; returns the beta that does (that of the input, which is put there
    /// when it is made, included).
    private func startOutput(_ range: Range<Int>, _ target: UnsafeMutablePointer<Float>) -> Float {
        guard let residual else { return residualIsInput ? 1 : 0 }
        az_scale(range.count * out, 1, residual.pointer + range.lowerBound * out, target)
        return 1
    }

    // MARK: Few rows: threads share the columns

    private func forwardOfFewRows(_ z: UnsafeMutablePointer<Float>, _ y: UnsafeMutablePointer<Float>) {
        let hidden = Tensor(uninitialized: [rows, inner])
        let target = hidden.mutablePointer
        let first = FewRows.Product(rows: rows, inputs: d, up, into: z)
        withInput(0..<rows) { input in
            first.share(isGated: isGated) { columns in
                first.run(columns, input)
                if isGated { first.run(columns.lowerBound + inner..<columns.upperBound + inner, input) }
                FewRows.activate(columns, rows: rows, inner: inner, isGated: isGated, activation, z, into: target)
            }
            if residualIsInput { az_scale(rows * d, 1, input, y) }
        }
        drop(0..<rows, target)
        let second = FewRows.Product(rows: rows, inputs: inner, down, into: y)
        let before = residualIsInput ? UnsafePointer(y) : residual?.pointer
        second.share { second.run($0, target, addedTo: before) }
        withExtendedLifetime(hidden) {}
    }
}
