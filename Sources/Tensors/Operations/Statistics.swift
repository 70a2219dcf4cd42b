extension Tensor {
    /// The smallest element over some axes (all where nil); NaN if any is. The gradient goes to the first of equals.
    public func minimum(axes: [Int]? = nil, keepAxes: Bool = false) -> Tensor {
        -(-self).maximum(axes: axes, keepAxes: keepAxes)
    }

    /// Finds the index of the smallest element of an axis (the first of equals; NaN counts as smaller than any number).
    /// Returns the shape without the axis.
    public func argmin(axis: Int = -1) -> TokenTensor { withoutGradients { (-self).argmax(axis: axis) } }

    /// The variance over some axes (all where nil), as `torch.var`: the sum of squared differences from the mean over
    /// max(0, n − correction).
    /// - Parameter correction: 1 for the unbiased estimate, 0 for the variance of the elements themselves.
    public func variance(axes: [Int]? = nil, keepAxes: Bool = false, correction: Int = 1) -> Tensor {
        let difference = self - mean(axes: axes, keepAxes: true)
        let squares = (difference * difference).sum(axes: axes, keepAxes: keepAxes)
        let n = count / max(squares.count, 1)
        return squares / Float(Swift.max(0, n - correction))
    }

    /// The standard deviation over some axes (all where nil), as `torch.std`; its gradient is 0 where it is 0.
    /// - Parameter correction: 1 for the root of the unbiased variance, 0 for that of the elements themselves.
    public func standardDeviation(axes: [Int]? = nil, keepAxes: Bool = false, correction: Int = 1) -> Tensor {
        let variance = variance(axes: axes, keepAxes: keepAxes, correction: correction)
        let isZero = variance.detached() .== 0
        return select(isZero, 0, sqrt(select(isZero, 1, variance)))
    }

    /// Tells whether two tensors have one shape and |a − b| ≤ absolute + relative · |b| everywhere, as `numpy.allclose`.
    /// Infinities are close to themselves alone.
    /// - Parameter equalNaN: whether NaN is close to NaN.
    public func isClose(
        to other: Tensor, relative: Float = 1e-5, absolute: Float = 1e-8, equalNaN: Bool = false
    ) -> Bool {
        guard shape == other.shape else { return false }
        return zip(values, other.values).allSatisfy { a, b in
            a == b || (equalNaN && a.isNaN && b.isNaN)
                || (a.isFinite && b.isFinite && Swift.abs(a - b) <= absolute + relative * Swift.abs(b))
        }
    }
}
