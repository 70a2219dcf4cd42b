import CKernels

// Functions of two arguments, with NumPy's broadcasting: axes are aligned at the end, and an axis of length 1 (or a
// missing one) is repeated.

typealias BinaryKernel =
    @convention(c) (
        Int, Int, UnsafePointer<Float>?, Int, Int, UnsafePointer<Float>?, Int, Int, UnsafeMutablePointer<Float>?
    ) -> Void

/// The result of a broadcasting kernel, without gradient.
func broadcasting(_ name: String, _ a: Tensor, _ b: Tensor, kernel: BinaryKernel) -> Tensor {
    let shape = Shape.broadcast(a.shape, b.shape, name)
    let y = Tensor(uninitialized: shape)
    if y.count == 0 { return y }
    let (left, right) = (kernelReady(a, shape), kernelReady(b, shape))
    let (merged, strides) = Shape.collapse(shape, [left.strides, right.strides, y.strides])
    let (pa, pb, py) = (left.storage.pointer + left.offset, right.storage.pointer + right.offset, y.mutablePointer)
    if merged.count < 2 {
        let (sa, sb) = (strides[0].last ?? 0, strides[1].last ?? 0)
        parallelRanges(merged.last ?? 1, grain: elementGrain) {
            let i = $0.lowerBound
            kernel(1, $0.count, pa + i * sa, 0, sa, pb + i * sb, 0, sb, py + i)
        }
        return y
    }
    let (rows, cols) = (merged[merged.count - 2], merged[merged.count - 1])
    let steps = strides.map { ($0[merged.count - 2], $0[merged.count - 1]) }
    Shape.walk(merged.dropLast(2), strides.map { $0.dropLast(2) }) { at in
        parallelRanges(rows, grain: max(1, elementGrain / cols)) {
            let i = $0.lowerBound
            kernel(
                $0.count, cols, pa + at[0] + i * steps[0].0, steps[0].0, steps[0].1, pb + at[1] + i * steps[1].0,
                steps[1].0, steps[1].1, py + at[2] + i * cols)
        }
    }
    return y
}

/// An operand expanded to `shape`, copied where the innermost axis longer than 1 has another stride than the kernels
/// take: 0 or 1.
private func kernelReady(_ operand: Tensor, _ shape: [Int]) -> Tensor {
    let view = operand.detached().expanded(to: shape)
    guard let axis = shape.lastIndex(where: { $0 != 1 }), view.strides[axis] != 0, view.strides[axis] != 1 else {
        return view
    }
    return operand.detached().contiguous().expanded(to: shape)
}

extension Tensor {
    /// The sum over the axes that broadcasting from `shape` had repeated.
    func summed(to shape: [Int]) -> Tensor {
        if self.shape == shape { return self }
        let extra = rank - shape.count
        let axes = (0..<rank).filter { $0 < extra || (shape[$0 - extra] == 1 && self.shape[$0] != 1) }
        return sum(axes: axes, keepAxes: true).reshaped(shape)
    }

    // MARK: Operators

    /// Adds two tensors; shapes are broadcast.
    public static func + (a: Tensor, b: Tensor) -> Tensor {
        .record(
            "+", broadcasting("+", a, b, kernel: az_add), (a, { $0.summed(to: a.shape) }),
            (b, { $0.summed(to: b.shape) }))
    }

    /// Subtracts a tensor from another; shapes are broadcast.
    public static func - (a: Tensor, b: Tensor) -> Tensor {
        .record(
            "-", broadcasting("-", a, b, kernel: az_subtract), (a, { $0.summed(to: a.shape) }),
            (b, { (-$0).summed(to: b.shape) }))
    }

    /// Multiplies two tensors element by element; shapes are broadcast.
    public static func * (a: Tensor, b: Tensor) -> Tensor {
        let (x, y) = (a.detached(), b.detached())
        return .record(
            "*", broadcasting("*", a, b, kernel: az_multiply), (a, { ($0 * y).summed(to: x.shape) }),
            (b, { ($0 * x).summed(to: y.shape) }))
    }

    /// Divides two tensors element by element; shapes are broadcast.
    public static func / (a: Tensor, b: Tensor) -> Tensor {
        let (x, y) = (a.detached(), b.detached())
        return .record(
            "/", broadcasting("/", a, b, kernel: az_divide), (a, { ($0 / y).summed(to: x.shape) }),
            (b, { (-($0 * x) / (y * y)).summed(to: y.shape) }))
    }

    /// Negates each element.
    public static prefix func - (a: Tensor) -> Tensor { a * -1 }

    /// Adds a number to each element.
    public static func + (a: Tensor, b: Float) -> Tensor { a.mapped("+", { az_add_scalar($0, b, $1, $2) }, { $0 }) }
    /// Subtracts a number from each element.
    public static func - (a: Tensor, b: Float) -> Tensor { a + (-b) }
    /// Multiplies each element by a number.
    public static func * (a: Tensor, b: Float) -> Tensor { a.mapped("*", { az_scale($0, b, $1, $2) }, { $0 * b }) }
    /// Divides each element by a number.
    public static func / (a: Tensor, b: Float) -> Tensor { a / Tensor(b) }
    /// Adds each element to a number.
    public static func + (a: Float, b: Tensor) -> Tensor { b + a }
    /// Subtracts each element from a number.
    public static func - (a: Float, b: Tensor) -> Tensor { -b + a }
    /// Multiplies a number by each element.
    public static func * (a: Float, b: Tensor) -> Tensor { b * a }
    /// Divides a number by each element.
    public static func / (a: Float, b: Tensor) -> Tensor { Tensor(a) / b }

    private func mapped(
        _ name: String, _ kernel: (Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void,
        _ pullback: @escaping @Sendable (Tensor) -> Tensor
    ) -> Tensor {
        let x = contiguous()
        let y = Tensor(uninitialized: shape)
        let (source, target) = (x.pointer, y.mutablePointer)
        parallelRanges(count, grain: elementGrain) {
            kernel($0.count, source + $0.lowerBound, target + $0.lowerBound)
        }
        return .record(name, y, (x, pullback))
    }
}
