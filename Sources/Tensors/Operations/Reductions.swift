import CKernels

extension Tensor {
    /// The sum over some axes (all where nil). `keepAxes` leaves them with length 1.
    public func sum(axes: [Int]? = nil, keepAxes: Bool = false) -> Tensor {
        let reduced = reducedAxes(axes, "sum")
        var result = contiguous().detached()
        // Neighboring axes are summed as one, from the back so that earlier positions stay valid.
        for run in Self.runs(reduced).reversed() {
            let (outer, n, inner) = result.blocks(run)
            let y = Tensor(uninitialized: result.shape.enumerated().map { run.contains($0.offset) ? 1 : $0.element })
            sumBlocks(result, outer: outer, n: n, inner: inner, into: y)
            result = y
        }
        let whole = shape
        let kept = result.shape
        return .record(
            "sum", keepAxes ? result : result.dropping(reduced),
            (self, { $0.reshaped(kept).expanded(to: whole) }))
    }

    /// The mean over some axes (all where nil).
    public func mean(axes: [Int]? = nil, keepAxes: Bool = false) -> Tensor {
        let n = reducedAxes(axes, "mean").reduce(1) { $0 * shape[$1] }
        return sum(axes: axes, keepAxes: keepAxes) * (1 / Float(n))
    }

    /// The largest element over some axes (all where nil); NaN if any is. The gradient goes to the first of equals.
    public func maximum(axes: [Int]? = nil, keepAxes: Bool = false) -> Tensor {
        let reduced = reducedAxes(axes, "maximum")
        let kept = shape.indices.filter { !reduced.contains($0) }
        // The reduced axes as one, at the end; `reshaped` copies where they were elsewhere.
        let rows = permuted(kept + reduced).reshaped(
            kept.map { shape[$0] } + [reduced.reduce(1) { $0 * shape[$1] }])
        let largest = rows.largest(along: kept.count, "maximum").values
        return keepAxes ? largest.reshaped(shape.indices.map { reduced.contains($0) ? 1 : shape[$0] }) : largest
    }

    /// The largest element of an axis, which is dropped, and where it was (the first of equals; NaN is the largest).
    func largest(along axis: Int, _ operation: String) -> (values: Tensor, indices: TokenTensor) {
        let (outer, n, inner) = blocks(axis...axis)
        require(n > 0 || outer * inner == 0, "\(operation): axis \(axis) of shape \(shape) is empty")
        let x = contiguous()
        let y = Tensor(uninitialized: Array(shape[..<axis] + shape[(axis + 1)...]))
        var places = [Int32](repeating: 0, count: y.count)
        places.withUnsafeMutableBufferPointer { places in
            if y.count == 0 { return }
            parallelRanges(outer, grain: max(1, elementGrain / (n * inner))) {
                let (from, to) = ($0.lowerBound * n * inner, $0.lowerBound * inner)
                az_max($0.count, n, inner, x.pointer + from, y.mutablePointer + to, places.baseAddress! + to)
            }
        }
        let indices = TokenTensor(places, shape: y.shape)
        let values = Tensor.record(operation, y, inputs: [x]) { gradient, slots in
            let dy = gradient.contiguous()
            slots[0].accumulate { destination, beta in
                if beta == 0 { az_fill(x.count, 0, destination) }
                for (i, place) in indices.values.enumerated() {
                    destination[(i / inner * n + Int(place)) * inner + i % inner] += dy.pointer[i]
                }
            }
        }
        return (values, indices)
    }

    /// The sum of an axis up to and including each element; with `reverse`, of each element and all after it.
    public func cumulativeSum(axis: Int = -1, reverse: Bool = false) -> Tensor {
        let axis = Shape.axis(axis, rank: rank, "cumulativeSum")
        let (outer, n, inner) = blocks(axis...axis)
        let x = contiguous()
        let y = Tensor(uninitialized: shape)
        parallelRanges(outer, grain: max(1, elementGrain / max(n * inner, 1))) {
            let i = $0.lowerBound * n * inner
            az_cumulative_sum($0.count, n, inner, reverse ? 1 : 0, x.pointer + i, y.mutablePointer + i)
        }
        return .record("cumulativeSum", y, (x, { $0.cumulativeSum(axis: axis, reverse: !reverse) }))
    }

    private func reducedAxes(_ axes: [Int]?, _ operation: String) -> [Int] {
        let all = (axes ?? Array(0..<rank)).map { Shape.axis($0, rank: rank, operation) }
        require(Set(all).count == all.count, "\(operation): axes \(axes ?? []) name an axis twice")
        return all.sorted()
    }

    private func dropping(_ axes: [Int]) -> Tensor {
        reshaped(shape.indices.filter { !axes.contains($0) }.map { shape[$0] })
    }

    /// The lengths before, in and after a run of neighboring axes.
    func blocks(_ run: ClosedRange<Int>) -> (outer: Int, n: Int, inner: Int) {
        (
            Shape.count(Array(shape[..<run.lowerBound])), Shape.count(Array(shape[run])),
            Shape.count(Array(shape[(run.upperBound + 1)...]))
        )
    }

    private static func runs(_ axes: [Int]) -> [ClosedRange<Int>] {
        var runs: [ClosedRange<Int>] = []
        for axis in axes {
            if let last = runs.last, last.upperBound + 1 == axis {
                runs[runs.count - 1] = last.lowerBound...axis
            } else {
                runs.append(axis...axis)
            }
        }
        return runs
    }
}

/// The sum over the middle axis of dense [outer, n, inner], in parallel. Long sums are cut into parts by their length
/// alone, so that the result does not depend on the number of threads.
private func sumBlocks(_ x: Tensor, outer: Int, n: Int, inner: Int, into y: Tensor) {
    let size = n * inner
    if size <= 2 * elementGrain || inner > elementGrain {
        parallelRanges(outer, grain: max(1, elementGrain / max(size, 1))) {
            az_sum($0.count, n, inner, x.pointer + $0.lowerBound * size, y.mutablePointer + $0.lowerBound * inner)
        }
        return
    }
    let grain = elementGrain / inner
    let parts = (n + grain - 1) / grain
    let partial = Tensor(uninitialized: [outer, parts, inner])
    parallelFor(outer * parts) { item in
        let start = item % parts * grain
        az_sum(
            1, min(grain, n - start), inner, x.pointer + item / parts * size + start * inner,
            partial.mutablePointer + item * inner)
    }
    az_sum(outer, parts, inner, partial.pointer, y.mutablePointer)
}
