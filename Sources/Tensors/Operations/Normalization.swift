import CKernels

// Norms over the last axis. Rows are taken in ranges whose size depends on the shape alone, and the ranges' shares of the
// parameters' gradients are summed in order: the result does not depend on the number of threads.

/// (x − mean) / √(variance + epsilon) · weight + bias over the last axis, with the biased variance (Ba et al., 1607.06450).
///
/// x: [..., d]; weight, bias: [d] or nil. Returns [..., d].
public func layerNorm(_ x: Tensor, weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Float = 1e-5) -> Tensor {
    let rows = Rows(x, "layerNorm", weight, bias)
    let d = rows.d
    let (dense, w, b) = (x.contiguous(), weight?.contiguous().detached(), bias?.contiguous().detached())
    let y = Tensor(uninitialized: x.shape)
    let (mean, scale) = (Tensor(uninitialized: [rows.count]), Tensor(uninitialized: [rows.count]))
    rows.parallel { i, n, _ in
        az_layer_norm_forward(
            n, d, epsilon, dense.pointer + i * d, w?.pointer, b?.pointer, y.mutablePointer + i * d,
            mean.mutablePointer + i, scale.mutablePointer + i)
    }
    let inputs = [dense] + [weight, bias].compactMap { $0 }
    return .record("layerNorm", y, inputs: inputs) { gradient, slots in
        let dy = gradient.contiguous()
        let dx = Tensor(uninitialized: dense.shape)
        let dw = w.map { _ in Shares(rows, width: d) }
        let db = b.map { _ in Shares(rows, width: d) }
        rows.parallel { i, n, range in
            az_layer_norm_backward(
                n, d, dense.pointer + i * d, w?.pointer, mean.pointer + i, scale.pointer + i, dy.pointer + i * d,
                dx.mutablePointer + i * d, dw?.pointer(range), db?.pointer(range))
        }
        slots[0].add(dx)
        for (slot, share) in zip(slots.dropFirst(), [dw, db].compactMap { $0 }) { share.add(to: slot) }
    }
}

/// x / √(mean x² + epsilon) · weight over the last axis (Zhang and Sennrich, 1910.07467). The default epsilon is PyTorch's.
///
/// x: [..., d]; weight: [d] or nil. Returns [..., d].
public func rmsNorm(_ x: Tensor, weight: Tensor? = nil, epsilon: Float = .ulpOfOne) -> Tensor {
    let rows = Rows(x, "rmsNorm", weight)
    let d = rows.d
    let (dense, w) = (x.contiguous(), weight?.contiguous().detached())
    let (y, scale) = (Tensor(uninitialized: x.shape), Tensor(uninitialized: [rows.count]))
    rows.parallel { i, n, _ in
        az_rms_norm_forward(
            n, d, epsilon, dense.pointer + i * d, w?.pointer, y.mutablePointer + i * d, scale.mutablePointer + i)
    }
    return .record("rmsNorm", y, inputs: [dense] + [weight].compactMap { $0 }) { gradient, slots in
        let dy = gradient.contiguous()
        let dx = Tensor(uninitialized: dense.shape)
        let dw = w.map { _ in Shares(rows, width: d) }
        rows.parallel { i, n, range in
            az_rms_norm_backward(
                n, d, dense.pointer + i * d, w?.pointer, scale.pointer + i, dy.pointer + i * d,
                dx.mutablePointer + i * d, dw?.pointer(range))
        }
        slots[0].add(dx)
        dw?.add(to: slots[1])
    }
}

/// x / max(|x| · d^−½, epsilon) · gain over the last axis: ScaleNorm (Nguyen and Salazar, 1910.05895) as flash-pytorch has it.
///
/// x: [..., d]; gain: one element, shape [1]. Returns [..., d].
public func scaleNorm(_ x: Tensor, gain: Tensor, epsilon: Float = 1e-5) -> Tensor {
    require(gain.count == 1, "scaleNorm: x of shape \(x.shape), gain of shape \(gain.shape); expected one element")
    let rows = Rows(x, "scaleNorm")
    return lengthNorm("scaleNorm", x, rows, scale: 1 / Float(rows.d).squareRoot(), epsilon: epsilon, gain: gain)
}

extension Tensor {
    /// x / max(|x|, epsilon) over an axis, as `torch.nn.functional.normalize`.
    public func l2Normalized(axis: Int = -1, epsilon: Float = 1e-12) -> Tensor {
        let axis = Shape.axis(axis, rank: rank, "l2Normalized")
        guard axis == rank - 1 else {
            return transposed(axis, -1).l2Normalized(axis: -1, epsilon: epsilon).transposed(axis, -1)
        }
        return lengthNorm("l2Normalized", self, Rows(self, "l2Normalized"), scale: 1, epsilon: epsilon, gain: nil)
    }
}

/// x / max(|x| · scale, epsilon) · gain.
private func lengthNorm(
    _ name: String, _ x: Tensor, _ rows: Rows, scale: Float, epsilon: Float, gain: Tensor?
) -> Tensor {
    let d = rows.d
    let (dense, g) = (x.contiguous(), gain?.item ?? 1)
    let (y, statistics) = (Tensor(uninitialized: x.shape), Tensor(uninitialized: [rows.count]))
    rows.parallel { i, n, _ in
        az_l2_norm_forward(
            n, d, scale, epsilon, g, dense.pointer + i * d, nil, y.mutablePointer + i * d, statistics.mutablePointer + i
        )
    }
    let gainShape = gain?.shape
    return .record(name, y, inputs: [dense] + [gain].compactMap { $0 }) { gradient, slots in
        let dy = gradient.contiguous()
        let dx = Tensor(uninitialized: dense.shape)
        let dg = gainShape.map { _ in Shares(rows, width: 1) }
        rows.parallel { i, n, range in
            az_l2_norm_backward(
                n, d, scale, g, dense.pointer + i * d, nil, statistics.pointer + i, dy.pointer + i * d,
                dx.mutablePointer + i * d, dg?.pointer(range), nil)
        }
        slots[0].add(dx)
        dg?.add(to: slots[1], shape: gainShape)
    }
}

/// A tensor seen as rows of its last axis, and their division into ranges.
private struct Rows: Sendable {
    let count: Int
    let d: Int
    let grain: Int
    var ranges: Int { (count + grain - 1) / grain }

    init(_ x: Tensor, _ operation: String, _ parameters: Tensor?...) {
        require(x.rank > 0 && x.shape.last! > 0, "\(operation): shape \(x.shape) has no last axis to normalize over")
        d = x.shape.last!
        count = x.count / d
        grain = max(1, elementGrain / d)
        for case let parameter? in parameters {
            require(
                parameter.shape == [d],
                "\(operation): x of shape \(x.shape) with a parameter of shape \(parameter.shape); expected [\(d)]")
        }
    }

    /// Calls `body` with the first row, the number of rows and the index of each range.
    func parallel(_ body: (Int, Int, Int) -> Void) {
        parallelRanges(count, grain: grain) { body($0.lowerBound, $0.count, $0.lowerBound / grain) }
    }
}

/// The gradient of a parameter, a row for each range of rows, so that threads write to places of their own.
private struct Shares {
    private let parts: Tensor

    init(_ rows: Rows, width: Int) { parts = .zeros([rows.ranges, width]) }

    func pointer(_ range: Int) -> UnsafeMutablePointer<Float> { parts.mutablePointer + range * parts.shape[1] }

    func add(to slot: InputGradient, shape: [Int]? = nil) {
        guard slot.isNeeded else { return }
        let total = parts.sum(axes: [0])
        slot.add(total.reshaped(shape ?? total.shape))
    }
}
