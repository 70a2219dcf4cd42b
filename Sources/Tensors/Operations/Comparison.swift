import CKernels

// Comparisons, choices by a condition, and the larger or smaller of two. All broadcast as NumPy does. A condition is a
// tensor of 1 (true) and 0 (false); it carries no gradient. NaN compares as IEEE says: only `.!=` is true of it.

extension Tensor {
    // MARK: Comparisons, written as the standard library writes those of SIMD vectors

    /// Returns 1 where elements are equal, else 0.
    public static func .== (a: Tensor, b: Tensor) -> Tensor { broadcasting(".==", a, b, kernel: az_equal) }
    /// Returns 1 where elements differ, else 0.
    public static func .!= (a: Tensor, b: Tensor) -> Tensor { 1 - broadcasting(".!=", a, b, kernel: az_equal) }
    /// Returns 1 where a is less than b, else 0.
    public static func .< (a: Tensor, b: Tensor) -> Tensor { broadcasting(".<", a, b, kernel: az_less) }
    /// Returns 1 where a is at most b, else 0.
    public static func .<= (a: Tensor, b: Tensor) -> Tensor { broadcasting(".<=", a, b, kernel: az_less_equal) }
    /// Returns 1 where a is greater than b, else 0.
    public static func .> (a: Tensor, b: Tensor) -> Tensor { broadcasting(".>", b, a, kernel: az_less) }
    /// Returns 1 where a is at least b, else 0.
    public static func .>= (a: Tensor, b: Tensor) -> Tensor { broadcasting(".>=", b, a, kernel: az_less_equal) }

    /// Returns 1 where an element is the number, else 0.
    public static func .== (a: Tensor, b: Float) -> Tensor { a .== Tensor(b) }
    /// Returns 1 where an element is not the number, else 0.
    public static func .!= (a: Tensor, b: Float) -> Tensor { a .!= Tensor(b) }
    /// Returns 1 where an element is less than the number, else 0.
    public static func .< (a: Tensor, b: Float) -> Tensor { a .< Tensor(b) }
    /// Returns 1 where an element is at most the number, else 0.
    public static func .<= (a: Tensor, b: Float) -> Tensor { a .<= Tensor(b) }
    /// Returns 1 where an element is greater than the number, else 0.
    public static func .> (a: Tensor, b: Float) -> Tensor { a .> Tensor(b) }
    /// Returns 1 where an element is at least the number, else 0.
    public static func .>= (a: Tensor, b: Float) -> Tensor { a .>= Tensor(b) }

    // MARK: Power

    /// aᵇ, elementwise; NaN where a < 0 and b is no integer, as in NumPy. Where the formula of a gradient gives 0 · ∞ it
    /// is 0, as in PyTorch: with respect to a where b = 0, to b where a = 0 and b ≥ 0.
    public func power(_ exponent: Tensor) -> Tensor {
        let (a, b) = (detached(), exponent.detached())
        let y = broadcasting("power", a, b, kernel: az_power)
        return .record(
            "power", y,
            (self, { select(b .== 0, 0, $0 * b * a.power(b - 1)).summed(to: a.shape) }),
            (exponent, { select((a .== 0) * (b .>= 0), 0, $0 * y * log(a)).summed(to: b.shape) }))
    }
}

/// `a` where `condition` is not 0, else `b`. No gradient flows to the side that was not taken, even where its value or
/// the gradient is NaN or infinite.
///
/// condition, a, b: shapes that broadcast together.
public func select(_ condition: Tensor, _ a: Tensor, _ b: Tensor) -> Tensor {
    let mask = condition.detached()
    let (left, right) = (a.shape, b.shape)
    return .record(
        "select", choice(mask, a, b),
        (a, { choice(mask, $0, Tensor(0)).summed(to: left) }), (b, { choice(mask, Tensor(0), $0).summed(to: right) }))
}

/// Returns the number where the condition is 1, else the element of b; shapes are broadcast.
public func select(_ condition: Tensor, _ a: Float, _ b: Tensor) -> Tensor { select(condition, Tensor(a), b) }
/// Returns the element of a where the condition is 1, else the number; shapes are broadcast.
public func select(_ condition: Tensor, _ a: Tensor, _ b: Float) -> Tensor { select(condition, a, Tensor(b)) }

/// The larger of two, elementwise; NaN if either is. Where both are equal each gets half of the gradient, as in PyTorch.
public func maximum(_ a: Tensor, _ b: Tensor) -> Tensor { extreme("maximum", a, b, kernel: az_maximum) { $0 .< $1 } }

/// The smaller of two, elementwise; NaN if either is. Where both are equal each gets half of the gradient.
public func minimum(_ a: Tensor, _ b: Tensor) -> Tensor { extreme("minimum", a, b, kernel: az_minimum) { $0 .> $1 } }

/// `loses(x, y)`: where x is not taken.
private func extreme(
    _ name: String, _ a: Tensor, _ b: Tensor, kernel: BinaryKernel,
    loses: @escaping @Sendable (Tensor, Tensor) -> Tensor
) -> Tensor {
    let (x, y) = (a.detached(), b.detached())
    @Sendable func share(_ gradient: Tensor, _ own: Tensor, _ other: Tensor) -> Tensor {
        select(loses(own, other), 0, select(own .== other, gradient * 0.5, gradient)).summed(to: own.shape)
    }
    return .record(name, broadcasting(name, a, b, kernel: kernel), (a, { share($0, x, y) }), (b, { share($0, y, x) }))
}

/// `select` without gradient.
private func choice(_ condition: Tensor, _ a: Tensor, _ b: Tensor) -> Tensor {
    let shape = Shape.broadcast(condition.shape, Shape.broadcast(a.shape, b.shape, "select"), "select")
    let y = Tensor(uninitialized: shape)
    let dense = [condition, a, b].map { $0.detached().expanded(to: shape).contiguous() }
    parallelRanges(y.count, grain: elementGrain) {
        let i = $0.lowerBound
        az_where($0.count, dense[0].pointer + i, dense[1].pointer + i, dense[2].pointer + i, y.mutablePointer + i)
    }
    return y
}
