import CKernels

/// f(x Wᵀ + b) in one operation: rows are taken in panels, and bias and activation are applied while the panel is in
/// the L2 cache.
///
/// x: [..., in]; weight: [out, in]; bias: [out]. Returns [..., out].
public func linear(_ x: Tensor, weight: Tensor, bias: Tensor? = nil, activation: Activation = .identity) -> Tensor {
    linear(x, weight: .float(weight), bias: bias, activation: activation)
}

/// f(x Wᵀ + b) with a W that may be rounded.
public func linear(
    _ x: Tensor, weight: WeightMatrix, bias: Tensor? = nil, activation: Activation = .identity
) -> Tensor {
    if let y = FewRows.linear(x, weight, bias: bias, activation: activation, residual: nil) { return y }
    let epilogue: Epilogue = activation == .identity ? .none : .activation(activation)
    return FusedLinear("linear", x, weight, bias: bias, epilogue: epilogue).record()
}

/// x Wᵀ + b + residual, the product accumulating onto the residual.
///
/// x: [..., in]; weight: [out, in]; bias: [out]; residual: [..., out]. Returns [..., out].
public func linear(_ x: Tensor, weight: Tensor, bias: Tensor? = nil, residual: Tensor) -> Tensor {
    linear(x, weight: .float(weight), bias: bias, residual: residual)
}

/// x Wᵀ + b + residual with a W that may be rounded.
public func linear(_ x: Tensor, weight: WeightMatrix, bias: Tensor? = nil, residual: Tensor) -> Tensor {
    FewRows.linear(x, weight, bias: bias, activation: .identity, residual: residual)
        ?? FusedLinear("linear", x, weight, bias: bias, epilogue: .none, residual: residual).record()
}

/// A gated linear unit (Shazeer, 2002.05202): with [a, g] = x Wᵀ + b, a ⊙ f(g).
///
/// x: [..., in]; weight: [2 · out, in], the rows of a first; bias: [2 · out]. Returns [..., out].
public func gatedLinear(_ x: Tensor, weight: Tensor, bias: Tensor? = nil, gate: Activation) -> Tensor {
    require(weight.rank == 2 && weight.shape[0] % 2 == 0, "gatedLinear: weight \(weight.shape) has no two halves")
    return FusedLinear("gatedLinear", x, .float(weight), bias: bias, epilogue: .gate(gate)).record()
}

/// An operation on a panel of z = x Wᵀ + b while it is in the cache.
enum Epilogue {
    case none
    case activation(Activation)
    case gate(Activation)

    var isNone: Bool { if case .none = self { true } else { false } }

    /// y from `rows` rows of z. y may be z for a plain activation.
    func forward(rows: Int, width: Int, _ z: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
        switch self {
        case .none: break
        case .activation(let function): function.kernels?.forward(rows * width, z, y)
        case .gate(let function):
            let half = width / 2
            az_gate_forward(rows, half, function.kernels?.forward, z, z + half, width, y, half)
        }
    }

    /// dz from z, y and dy.
    func backward(
        rows: Int, width: Int, z: UnsafePointer<Float>, y: UnsafePointer<Float>, dy: UnsafePointer<Float>,
        into dz: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .none: break
        case .activation(let function): function.kernels?.backward(rows * width, z, y, dy, dz)
        case .gate(let function):
            let half = width / 2
            let scratch = Tensor(uninitialized: [2, half])
            az_gate_backward(
                rows, half, function.kernels?.forward, function.kernels?.backward, z, z + half, width, dy, half, nil, 0,
                dz, dz + half, width, scratch.mutablePointer)
        }
    }
}

extension Activation {
    func apply(_ n: Int, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
        if let kernels { kernels.forward(n, x, y) } else { az_scale(n, 1, x, y) }
    }
}

/// Rows a thread takes at a time in fused operations: as many panels for each thread, each of at most 512 rows.
func panelRows(_ rows: Int) -> Int {
    let threads = Threads.count
    let rounds = max(1, (rows + threads * 512 - 1) / (threads * 512))
    return max(16, (rows + threads * rounds - 1) / (threads * rounds))
}

/// The gradient of a bias: sums of columns of dense [rows, width] panels, added in a fixed order.
func addColumnSums(_ rows: Int, _ width: Int, _ source: UnsafePointer<Float>, to slot: InputGradient) {
    guard slot.isNeeded else { return }
    let panel = panelRows(rows)
    let pieces = max(1, (rows + panel - 1) / panel)
    let partial = Tensor.zeros([pieces, width])
    let target = partial.mutablePointer
    parallelFor(pieces) { piece in
        let first = piece * panel
        az_sum_rows(min(panel, rows - first), width, source + first * width, width, target + piece * width)
    }
    slot.accumulate { destination, beta in
        if beta == 0 { az_fill(width, 0, destination) }
        az_sum_rows(pieces, width, target, width, destination)
    }
}

private struct FusedLinear: Sendable {
    let name: String
    let x: Tensor, weight: WeightMatrix, bias: Tensor?, residual: Tensor?
    let epilogue: Epilogue
    let rows: Int, inputs: Int, width: Int, outputs: Int

    init(
        _ name: String, _ x: Tensor, _ weight: WeightMatrix, bias: Tensor?, epilogue: Epilogue, residual: Tensor? = nil
    ) {
        require(
            weight.shape.count == 2 && x.rank >= 1 && x.shape.last == weight.shape[1],
            "\(name): x \(x.shape) and weight \(weight.shape): expected weight [out, \(x.shape.last ?? 0)]")
        (rows, inputs, width) = (x.count / max(1, weight.shape[1]), weight.shape[1], weight.shape[0])
        if case .gate = epilogue { outputs = width / 2 } else { outputs = width }
        require(bias == nil || bias!.shape == [width], "\(name): bias \(bias?.shape ?? []) and weight \(weight.shape)")
        require(
            residual == nil || residual!.shape == Array(x.shape.dropLast()) + [width],
            "\(name): residual \(residual?.shape ?? []) for an output \(Array(x.shape.dropLast()) + [width])")
        self.name = name
        self.x = x.contiguous()
        self.weight = weight.checked(name)
        self.bias = bias?.contiguous()
        self.residual = residual?.contiguous()
        self.epilogue = epilogue
    }

    func record() -> Tensor {
        let listed = [x] + weight.inputs + (bias.map { [$0] } ?? []) + (residual.map { [$0] } ?? [])
        let wanted = Tensor.records(listed)
        // Backward needs z where the epilogue is not the identity; otherwise it lives in y.
        let inPlace: Bool
        switch epilogue {
        case .none: inPlace = true
        case .activation: inPlace = !wanted
        case .gate: inPlace = false
        }
        let y = Tensor(uninitialized: Array(x.shape.dropLast()) + [outputs])
        let z = inPlace ? y : Tensor(uninitialized: [rows, width])
        forward(z.mutablePointer, y.mutablePointer)
        guard wanted else { return y }
        let kept = epilogue.isNone ? nil : z
        return .record(name, y, inputs: listed) { gradient, slots in
            backward(gradient.contiguous(), z: kept, y: y, slots)
        }
    }

    private func forward(_ z: UnsafeMutablePointer<Float>, _ y: UnsafeMutablePointer<Float>) {
        let right = weight.transposed
        let (px, pr) = (x.pointer, residual?.pointer)
        func panel(_ range: Range<Int>, _ multiply: (Int, BLAS.Operand, UnsafeMutablePointer<Float>, Float) -> Void) {
            let (first, count) = (range.lowerBound, range.count)
            let target = z + first * width
            if let pr { az_scale(count * width, 1, pr + first * width, target) }
            multiply(count, BLAS.Operand(px + first * inputs, stride: inputs), target, pr == nil ? 0 : 1)
            if let bias { az_add_bias(count, width, bias.pointer, target, width) }
            epilogue.forward(rows: count, width: width, target, into: y + first * outputs)
        }
        if rows < 16 * Threads.count {
            panel(0..<rows) {
                BLAS.multiplyInParallel($0, width, inputs, $1, right, beta: $3, $2, stride: width)
            }
        } else {
            parallelRanges(rows, grain: panelRows(rows)) {
                panel($0) { BLAS.multiply($0, width, inputs, $1, right, beta: $3, $2, stride: width) }
            }
        }
    }

    private func backward(_ dy: Tensor, z: Tensor?, y: Tensor, _ slots: [InputGradient]) {
        let dz = z.map { gradientOfProduct($0, y, dy) } ?? dy
        slots[0].accumulate { destination, beta in
            BLAS.multiplyInParallel(
                rows, inputs, width, BLAS.Operand(dz.pointer, stride: width),
                BLAS.Operand(weight.tensor.pointer, stride: inputs),
                beta: beta, destination, stride: inputs)
        }
        slots[1].accumulate { destination, beta in
            BLAS.multiplyInParallel(
                width, inputs, rows, BLAS.Operand(dz.pointer, stride: width, transposed: true),
                BLAS.Operand(x.pointer, stride: inputs), beta: beta, destination, stride: inputs)
        }
        if bias != nil { addColumnSums(rows, width, dz.pointer, to: slots[2]) }
        if residual != nil { slots[slots.count - 1].add(dy.reshaped(residual!.shape)) }
    }

    private func gradientOfProduct(_ z: Tensor, _ y: Tensor, _ dy: Tensor) -> Tensor {
        let dz = Tensor(uninitialized: [rows, width])
        let (pz, py, pdy, pdz) = (z.pointer, y.pointer, dy.pointer, dz.mutablePointer)
        parallelRanges(rows, grain: panelRows(rows)) {
            let (first, count) = ($0.lowerBound, $0.count)
            epilogue.backward(
                rows: count, width: width, z: pz + first * width, y: py + first * outputs, dy: pdy + first * outputs,
                into: pdz + first * width)
        }
        return dz
    }
}
