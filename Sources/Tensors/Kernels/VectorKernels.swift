import CKernels

/// The package's vector loops over float32 memory, for operations of a client's own. Swift vectorizes neither exp nor sums;
/// these do, with the instruction set of the processor at hand.
///
/// Each call runs on the thread that makes it, allocates nothing and keeps nothing: split the work with `RowBlocks` or
/// `parallelRanges`. Pointers must be valid for `count` floats. Results may be written over an argument where that is said.
/// NaN and infinity follow IEEE, as in NumPy.
public enum VectorKernels {
    // MARK: Element by element

    /// y = f(x). y may be x.
    public static func apply(
        _ function: VectorFunction, to x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int
    ) { function.kernels.forward(count, x, y) }

    /// dx = dy f′(x), given y = f(x). dx may be x or dy.
    public static func gradient(
        of function: VectorFunction, x: UnsafePointer<Float>, y: UnsafePointer<Float>, dy: UnsafePointer<Float>,
        into dx: UnsafeMutablePointer<Float>, count: Int
    ) { function.kernels.backward(count, x, y, dy, dx) }

    /// y = value.
    public static func fill(_ y: UnsafeMutablePointer<Float>, with value: Float, count: Int) {
        az_fill(count, value, y)
    }

    /// y = x + value. y may be x.
    public static func add(
        _ value: Float, to x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int
    ) { az_add_scalar(count, value, x, y) }

    /// y = factor x. y may be x.
    public static func scale(
        _ x: UnsafePointer<Float>, by factor: Float, into y: UnsafeMutablePointer<Float>, count: Int
    ) { az_scale(count, factor, x, y) }

    /// y = factor x + beta y; with beta 0, y is not read. This is how a slot's gradient is written.
    public static func addScaled(
        _ x: UnsafePointer<Float>, by factor: Float, to y: UnsafeMutablePointer<Float>, beta: Float, count: Int
    ) { az_scale_add(count, factor, x, beta, y) }

    /// y = a + b. y may be either.
    public static func sum(
        of a: UnsafePointer<Float>, and b: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int
    ) { az_add(1, count, a, 0, 1, b, 0, 1, y) }

    /// y = a ⊙ b. y may be either.
    public static func product(
        of a: UnsafePointer<Float>, and b: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int
    ) { az_multiply(1, count, a, 0, 1, b, 0, 1, y) }

    // MARK: Sums

    /// Σ x, pairwise or better.
    public static func sum(_ x: UnsafePointer<Float>, count: Int) -> Float {
        var sum: Float = 0
        az_sum(1, count, 1, x, &sum)
        return sum
    }

    /// Σ x², in float64.
    public static func sumOfSquares(_ x: UnsafePointer<Float>, count: Int) -> Double { az_sum_squares(count, x) }

    /// Σ a b.
    public static func sumOfProducts(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int
    ) -> Float {
        var sum: Float = 0
        az_row_dots(1, count, a, count, b, count, &sum)
        return sum
    }

    /// The largest element; NaN if any is. The count is at least 1.
    public static func maximum(_ x: UnsafePointer<Float>, count: Int) -> Float {
        var largest: Float = 0
        az_max(1, count, 1, x, &largest, nil)
        return largest
    }
}
