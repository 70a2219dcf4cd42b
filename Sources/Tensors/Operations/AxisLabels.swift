// The operations on axes with their numbers labeled.

extension Tensor {
    /// The elements start, start + step, … before `end` of an axis; see `sliced(_:from:to:by:)`.
    public func sliced(axis: Int, from start: Int = 0, to end: Int? = nil, by step: Int = 1) -> Tensor {
        sliced(axis, from: start, to: end, by: step)
    }

    /// One position of an axis, which is dropped.
    public func at(_ index: Int, axis: Int) -> Tensor { at(axis, index) }

    /// Axes in another order: axis i of the result is axis `axes[i]` of this tensor.
    public func permuted(axes: [Int]) -> Tensor { permuted(axes) }

    /// Two axes exchanged.
    public func transposed(axes first: Int, _ second: Int) -> Tensor { transposed(first, second) }

    /// Without an axis of length 1.
    public func squeezed(axis: Int) -> Tensor { squeezed(axis) }

    /// With a new axis of length 1 before `axis` (−1: at the end).
    public func unsqueezed(axis: Int) -> Tensor { unsqueezed(axis) }

    /// The length of an axis; negative axes count from the back.
    public func length(axis: Int) -> Int { length(axis) }

    /// The largest `k` elements of an axis, in descending order, which takes the last place; see `topK(_:)`.
    public func topK(_ k: Int, axis: Int) -> (values: Tensor, indices: TokenTensor) {
        let axis = Shape.axis(axis, rank: rank, "topK")
        return permuted((0..<rank).filter { $0 != axis } + [axis]).topK(k)
    }
}
