import CKernels

extension Tensor {
    /// The sum over some axes (all where nil). `keepAxes` leaves them with length 1.
    public func sum(axes: [Int]? = nil, keepAxes: Bool = false) -> Tensor {
        let reduced = reducedAxes(axes, "sum")
        var result = contiguous().detached()
        // Neighbouring axes are summed as one, from the back so that earlier positions stay valid.
        for run in Self.runs(reduced).reversed() {
            let (outer, n, inner) = result.blocks(run)
            let y = Tensor(uninitialized: result.shape.enumerated().map { run.contains($0.offset) ? 1 : $0.element })
            az_sum(outer, n, inner, result.pointer, y.mutablePointer)
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

    private func reducedAxes(_ axes: [Int]?, _ operation: String) -> [Int] {
        let all = (axes ?? Array(0..<rank)).map { Shape.axis($0, rank: rank, operation) }
        require(Set(all).count == all.count, "\(operation): axes \(axes ?? []) name an axis twice")
        return all.sorted()
    }

    private func dropping(_ axes: [Int]) -> Tensor {
        reshaped(shape.indices.filter { !axes.contains($0) }.map { shape[$0] })
    }

    /// The lengths before, in and after a run of neighbouring axes.
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
