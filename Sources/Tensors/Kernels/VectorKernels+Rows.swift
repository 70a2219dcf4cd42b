import CKernels

// Loops over the rows of dense matrices [rows, width].

extension VectorKernels {
    // MARK: Sums and factors of rows

    /// sums[r] = Σ a[r, :] b[r, :].
    public static func rowProducts(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into sums: UnsafeMutablePointer<Float>, rows: Int,
        width: Int
    ) { az_row_dots(rows, width, a, width, b, width, sums) }

    /// x[r, :] = factors[r] x[r, :].
    public static func scaleRows(
        _ x: UnsafeMutablePointer<Float>, by factors: UnsafePointer<Float>, rows: Int, width: Int
    ) { az_scale_rows(rows, width, factors, x, width) }

    /// y[r, :] = factors ⊙ x[r, :]. y may be x.
    public static func scaleColumns(
        _ x: UnsafePointer<Float>, by factors: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, rows: Int,
        width: Int
    ) { az_scale_columns(rows, width, factors, x, width, y, width) }

    /// y[r, :] += bias.
    public static func addBias(
        _ bias: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, rows: Int, width: Int
    ) { az_add_bias(rows, width, bias, y, width) }

    /// sums += Σ over r of x[r, :]: the gradient of a bias.
    public static func addRows(
        of x: UnsafePointer<Float>, to sums: UnsafeMutablePointer<Float>, rows: Int, width: Int
    ) { az_sum_rows(rows, width, x, width, sums) }

    // MARK: Gates

    /// y = a ⊙ f(g). y is neither a nor g.
    public static func gate(
        _ a: UnsafePointer<Float>, by g: UnsafePointer<Float>, _ function: VectorFunction,
        into y: UnsafeMutablePointer<Float>, rows: Int, width: Int
    ) { az_gate_forward(rows, width, function.kernels.forward, a, g, width, y, width) }

    /// da = dy f(g) and dg = dy a f′(g). da may be a, and dg may be g.
    /// - Parameter scratch: memory for [2, width].
    public static func gateGradient(
        _ a: UnsafePointer<Float>, by g: UnsafePointer<Float>, _ function: VectorFunction, dy: UnsafePointer<Float>,
        into da: UnsafeMutablePointer<Float>, _ dg: UnsafeMutablePointer<Float>, rows: Int, width: Int,
        scratch: UnsafeMutablePointer<Float>
    ) {
        let (forward, backward) = function.kernels
        az_gate_backward(rows, width, forward, backward, a, g, width, dy, width, nil, 0, da, dg, width, scratch)
    }

    // MARK: Norms and softmax

    /// y = x (mean x² + ε)^−½ weight by row (1910.07467). y may be x.
    /// - Parameters:
    ///   - weight: [width], or nil for ones.
    ///   - factors: gets (mean x² + ε)^−½ of each row, which the gradient needs.
    public static func rootMeanSquareNorm(
        _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>?, epsilon: Float, into y: UnsafeMutablePointer<Float>,
        factors: UnsafeMutablePointer<Float>, rows: Int, width: Int
    ) { az_rms_norm_forward(rows, width, epsilon, x, weight, y, factors) }

    /// dx from dy, overwritten; the gradient of the weight is added to dweight, [width], where it is given. dx may be dy.
    public static func rootMeanSquareNormGradient(
        _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>?, factors: UnsafePointer<Float>,
        dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, addingTo dweight: UnsafeMutablePointer<Float>?,
        rows: Int, width: Int
    ) { az_rms_norm_backward(rows, width, x, weight, factors, dy, dx, dweight) }

    /// y = (x − mean) (variance + ε)^−½ weight + bias by row (1607.06450). y may be x.
    /// - Parameters:
    ///   - weight, bias: [width], or nil for ones and zeros.
    ///   - means, factors: get the mean and (variance + ε)^−½ of each row, which the gradient needs.
    public static func layerNorm(
        _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>?, bias: UnsafePointer<Float>?, epsilon: Float,
        into y: UnsafeMutablePointer<Float>, means: UnsafeMutablePointer<Float>, factors: UnsafeMutablePointer<Float>,
        rows: Int, width: Int
    ) { az_layer_norm_forward(rows, width, epsilon, x, weight, bias, y, means, factors) }

    /// dx from dy, overwritten; the gradients of weight and bias are added to dweight and dbias, [width], where they are
    /// given. dx may be dy.
    public static func layerNormGradient(
        _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>?, means: UnsafePointer<Float>,
        factors: UnsafePointer<Float>, dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>,
        addingTo dweight: UnsafeMutablePointer<Float>?, _ dbias: UnsafeMutablePointer<Float>?, rows: Int, width: Int
    ) { az_layer_norm_backward(rows, width, x, weight, means, factors, dy, dx, dweight, dbias) }

    /// y = softmax(x) by row. y may be x.
    public static func softmax(
        _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, rows: Int, width: Int
    ) { az_softmax_forward(rows, width, x, y) }

    /// dx = y (dy − Σ y dy) by row, given y = softmax(x). dx may be dy.
    public static func softmaxGradient(
        y: UnsafePointer<Float>, dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, rows: Int, width: Int
    ) { az_softmax_backward(rows, width, y, dy, dx) }
}
