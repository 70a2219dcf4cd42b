import CKernels

// Other ways to look at the same memory. All of these are free; `contiguous()` copies where a kernel needs dense rows.

extension Tensor {
    private func view(offset: Int? = nil, _ shape: [Int], _ strides: [Int]) -> Tensor {
        Tensor(storage: storage, offset: offset ?? self.offset, shape: shape, strides: strides)
    }

    /// The same elements in the same order under another shape; one length may be −1 and is inferred. A view where the
    /// memory is dense, else a copy.
    public func reshaped(_ shape: [Int]) -> Tensor {
        var shape = shape
        if let free = shape.firstIndex(of: -1) {
            shape[free] = 1
            let known = Shape.count(shape)
            require(known > 0 && count % known == 0, "reshaped: \(count) elements of \(self.shape) into \(shape)")
            shape[free] = count / known
        }
        require(Shape.count(shape) == count, "reshaped: shape \(self.shape) has \(count) elements, \(shape) has not")
        if shape == self.shape { return self }
        let dense = contiguous()
        let original = self.shape
        let result = Tensor(
            storage: dense.storage, offset: dense.offset, shape: shape, strides: Shape.strides(shape))
        return .record("reshaped", result, (self, { $0.reshaped(original) }))
    }

    /// Axes in another order: axis i of the result is axis `axes[i]` of this tensor.
    public func permuted(_ axes: [Int]) -> Tensor {
        let order = axes.map { Shape.axis($0, rank: rank, "permuted") }
        require(Set(order).count == rank && order.count == rank, "permuted: axes \(axes) of a tensor of shape \(shape)")
        var inverse = [Int](repeating: 0, count: rank)
        for (to, from) in order.enumerated() { inverse[from] = to }
        let result = view(order.map { shape[$0] }, order.map { strides[$0] })
        let back = inverse
        return .record("permuted", result, (self, { $0.permuted(back) }))
    }

    /// Two axes exchanged; by default the last two.
    public func transposed(_ a: Int = -2, _ b: Int = -1) -> Tensor {
        let (x, y) = (Shape.axis(a, rank: rank, "transposed"), Shape.axis(b, rank: rank, "transposed"))
        var order = Array(0..<rank)
        order.swapAt(x, y)
        return permuted(order)
    }

    /// The elements start, start + step, … before `end` of an axis. `step` may be negative, with start above end: then
    /// `end` is exclusive as well, and nil means through the first.
    public func sliced(_ axis: Int, from start: Int = 0, to end: Int? = nil, by step: Int = 1) -> Tensor {
        let axis = Shape.axis(axis, rank: rank, "sliced")
        let length = shape[axis]
        let stop = end ?? (step > 0 ? length : -1)
        require(step != 0, "sliced: step 0")
        let n = step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step
        let last = start + (n - 1) * step
        require(
            n >= 0 && (n == 0 || (0..<length).contains(start) && (0..<length).contains(last)),
            "sliced: \(start) to \(stop) by \(step) of axis \(axis) of shape \(shape)")
        if start == 0 && step == 1 && n == length { return self }
        var (newShape, newStrides) = (shape, strides)
        newShape[axis] = n
        newStrides[axis] = strides[axis] * step
        let result = view(offset: offset + (n == 0 ? 0 : start * strides[axis]), newShape, newStrides)
        let whole = shape
        return .record("sliced", result, inputs: [self]) { gradient, slots in
            slots[0].accumulate { destination, beta in
                if beta == 0 { az_fill(Shape.count(whole), 0, destination) }
                if n == 0 { return }
                var target = Shape.strides(whole)
                let base = start * target[axis]
                target[axis] *= step
                addView(gradient, to: destination + base, strides: target)
            }
        }
    }

    /// One position of an axis, which is dropped.
    public func at(_ axis: Int, _ index: Int) -> Tensor {
        let axis = Shape.axis(axis, rank: rank, "at")
        require((0..<shape[axis]).contains(index), "at: index \(index) of axis \(axis) of shape \(shape)")
        return sliced(axis, from: index, to: index + 1).squeezed(axis)
    }

    /// Without an axis of length 1.
    public func squeezed(_ axis: Int) -> Tensor {
        let axis = Shape.axis(axis, rank: rank, "squeezed")
        require(shape[axis] == 1, "squeezed: axis \(axis) of shape \(shape) has length \(shape[axis])")
        var (newShape, newStrides) = (shape, strides)
        newShape.remove(at: axis)
        newStrides.remove(at: axis)
        let original = shape
        return .record("squeezed", view(newShape, newStrides), (self, { $0.reshaped(original) }))
    }

    /// With a new axis of length 1 before `axis` (−1: at the end).
    public func unsqueezed(_ axis: Int) -> Tensor {
        let axis = Shape.axis(axis, rank: rank + 1, "unsqueezed")
        var (newShape, newStrides) = (shape, strides)
        newShape.insert(1, at: axis)
        newStrides.insert(0, at: axis)
        let original = shape
        return .record("unsqueezed", view(newShape, newStrides), (self, { $0.reshaped(original) }))
    }

    /// Axes of length 1 (or missing at the front) repeated to `shape`, without copying.
    public func expanded(to shape: [Int]) -> Tensor {
        if shape == self.shape { return self }
        let extra = shape.count - rank
        require(
            extra >= 0 && self.shape.indices.allSatisfy { self.shape[$0] == shape[$0 + extra] || self.shape[$0] == 1 },
            "expanded: shape \(self.shape) to \(shape)")
        let steps = shape.indices.map { axis in
            axis < extra || self.shape[axis - extra] == 1 ? 0 : strides[axis - extra]
        }
        let original = self.shape
        return .record("expanded", view(shape, steps), (self, { $0.summed(to: original) }))
    }
}

/// Adds a view to memory of the same shape with strides of its own.
func addView(_ view: Tensor, to destination: UnsafeMutablePointer<Float>, strides: [Int]) {
    let (merged, steps) = Shape.collapse(view.shape, [view.strides, strides])
    // At least two axes, so that the kernel's block always exists.
    let dims = Array(repeating: 1, count: max(0, 2 - merged.count)) + merged
    let source = Array(repeating: 0, count: dims.count - merged.count) + steps[0]
    let target = Array(repeating: 0, count: dims.count - merged.count) + steps[1]
    let (rows, cols) = (dims.count - 2, dims.count - 1)
    Shape.walk(dims.dropLast(2), [source.dropLast(2), target.dropLast(2)]) { at in
        az_add_2d(
            dims[rows], dims[cols], view.storage.pointer + view.offset + at[0], source[rows], source[cols],
            destination + at[1], target[rows], target[cols])
    }
}
