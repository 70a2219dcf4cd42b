import COpenBLAS

// Initial values of weights, by PyTorch's definitions (torch.nn.init). A weight is [out, in] or, of a convolution,
// [out, in / groups, kernel].

/// The number of inputs an output depends on, and of outputs an input reaches.
///
/// shape: [out, in, receptive field…], at least two axes.
public func fans(of shape: [Int]) -> (input: Int, output: Int) {
    require(shape.count >= 2, "fans: shape \(shape); expected at least two axes")
    let field = Shape.count(Array(shape.dropFirst(2)))
    return (shape[1] * field, shape[0] * field)
}

/// Which of the two `fans` the Kaiming initializers keep the variance for.
public enum FanMode: Sendable {
    case input, output
}

extension Tensor {
    /// Uniform in ±gain · √(6 / (fan in + fan out)) (Glorot and Bengio 2010).
    public static func xavierUniform(_ shape: [Int], gain: Float = 1, key: RandomKey) -> Tensor {
        let (input, output) = fans(of: shape)
        let bound = gain * (6 / Float(input + output)).squareRoot()
        return uniform(shape, low: -bound, high: bound, key: key)
    }

    /// Normal with standard deviation gain · √(2 / (fan in + fan out)).
    public static func xavierNormal(_ shape: [Int], gain: Float = 1, key: RandomKey) -> Tensor {
        let (input, output) = fans(of: shape)
        return normal(shape, standardDeviation: gain * (2 / Float(input + output)).squareRoot(), key: key)
    }

    /// Uniform in ±√(3 · 2 / ((1 + slope²) · fan)) for a leaky relu with the given negative slope (He et al. 2015). With
    /// slope √5 the bound is 1/√fan: the default of PyTorch's linear and convolution layers.
    public static func kaimingUniform(
        _ shape: [Int], slope: Float = 0, mode: FanMode = .input, key: RandomKey
    ) -> Tensor {
        let bound = Float(3).squareRoot() * kaimingDeviation(shape, slope, mode)
        return uniform(shape, low: -bound, high: bound, key: key)
    }

    /// Normal with standard deviation √(2 / ((1 + slope²) · fan)).
    public static func kaimingNormal(
        _ shape: [Int], slope: Float = 0, mode: FanMode = .input, key: RandomKey
    ) -> Tensor {
        normal(shape, standardDeviation: kaimingDeviation(shape, slope, mode), key: key)
    }

    private static func kaimingDeviation(_ shape: [Int], _ slope: Float, _ mode: FanMode) -> Float {
        let (input, output) = fans(of: shape)
        return (2 / ((1 + slope * slope) * Float(mode == .input ? input : output))).squareRoot()
    }

    /// A random matrix with orthonormal rows (or columns, where there are more rows), uniformly distributed, times gain
    /// (Saxe et al. 2013): Q of the QR factorization of a normal matrix, with the signs of R's diagonal.
    ///
    /// shape: [rows, columns…]; the axes after the first count as one.
    public static func orthogonal(_ shape: [Int], gain: Float = 1, key: RandomKey) -> Tensor {
        require(shape.count >= 2, "orthogonal: shape \(shape); expected at least two axes")
        let rows = shape[0]
        let columns = Shape.count(Array(shape.dropFirst()))
        if Outline.isActive { return outline(shape) }
        if rows * columns == 0 { return zeros(shape) }
        // Read by columns, as LAPACK does, the dense [short, long] is a tall matrix; its Q is the answer's transpose
        // where the answer is wide.
        let (long, short) = (Swift.max(rows, columns), Swift.min(rows, columns))
        let q = normal([short, long], key: key)
        factorize(q, long, short)
        let result = rows <= columns ? q : q.transposed().contiguous()
        return (result * gain).reshaped(shape)
    }

    /// Overwrites a tall matrix (read by columns, [long, short]) with Q of its QR factorization.
    private static func factorize(_ matrix: Tensor, _ long: Int, _ short: Int) {
        let a = matrix.mutablePointer
        var diagonal = [Float](repeating: 0, count: short)
        BLAS.requireMemory()
        let status = az_qr(long, short, a, &diagonal)
        require(status == 0, "orthogonal: LAPACK refused the QR factorization of \(long) × \(short) with \(status)")
        for column in 0..<short where diagonal[column] < 0 {
            for row in 0..<long { a[column * long + row].negate() }
        }
    }
}
