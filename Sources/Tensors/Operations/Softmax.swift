import CKernels

typealias RowKernel = @convention(c) (Int, Int, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?) -> Void
typealias RowGradientKernel =
    @convention(c) (
        Int, Int, UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?
    ) -> Void

/// exp(x) / Σ exp(x) over an axis, computed from x − max.
public func softmax(_ x: Tensor, axis: Int = -1) -> Tensor {
    alongAxis("softmax", x, axis: axis, forward: az_softmax_forward, backward: az_softmax_backward)
}

/// x − log Σ exp(x) over an axis.
public func logSoftmax(_ x: Tensor, axis: Int = -1) -> Tensor {
    alongAxis("logSoftmax", x, axis: axis, forward: az_log_softmax_forward, backward: az_log_softmax_backward)
}

/// Applies a kernel over rows to any axis, whose gradient needs the result alone.
private func alongAxis(
    _ name: String, _ input: Tensor, axis: Int, forward: @escaping RowKernel,
    backward: @escaping RowGradientKernel
) -> Tensor {
    let axis = Shape.axis(axis, rank: input.rank, name)
    guard axis == input.rank - 1 else {
        return alongAxis(name, input.transposed(axis, -1), axis: -1, forward: forward, backward: backward)
            .transposed(axis, -1)
    }
    let x = input.contiguous()
    let n = x.shape[axis]
    require(n > 0, "\(name): axis \(axis) of shape \(x.shape) is empty")
    let rows = x.count / n
    let y = Tensor(uninitialized: x.shape)
    let (source, target) = (x.pointer, y.mutablePointer)
    let grain = max(1, elementGrain / n)
    parallelRanges(rows, grain: grain) { forward($0.count, n, source + $0.lowerBound * n, target + $0.lowerBound * n) }
    return .record(
        name, y,
        (
            x,
            { gradient in
                let dy = gradient.contiguous()
                let dx = Tensor(uninitialized: y.shape)
                let (py, pdy, pdx) = (y.pointer, dy.pointer, dx.mutablePointer)
                parallelRanges(rows, grain: grain) {
                    let i = $0.lowerBound * n
                    backward($0.count, n, py + i, pdy + i, pdx + i)
                }
                return dx
            }
        ))
}
