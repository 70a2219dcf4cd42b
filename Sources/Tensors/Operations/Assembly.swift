import CKernels

// Tensors put together, taken apart, padded and shifted.

/// Tensors one after the other along an axis; their other axes agree.
public func concatenate(_ tensors: [Tensor], axis: Int = 0) -> Tensor {
    require(!tensors.isEmpty, "concatenate: no tensors")
    let first = tensors[0].shape
    let axis = Shape.axis(axis, rank: first.count, "concatenate")
    for tensor in tensors {
        require(
            tensor.rank == first.count && first.indices.allSatisfy { $0 == axis || tensor.shape[$0] == first[$0] },
            "concatenate: shapes \(first) and \(tensor.shape) along axis \(axis)")
    }
    if tensors.count == 1 { return tensors[0] }
    var shape = first
    shape[axis] = tensors.reduce(0) { $0 + $1.shape[axis] }
    let y = Tensor(uninitialized: shape)
    var start = 0
    for tensor in tensors {
        copy(tensor, into: y, axis: axis, start: start)
        start += tensor.shape[axis]
    }
    let lengths = tensors.map { $0.shape[axis] }
    return .record("concatenate", y, inputs: tensors) { gradient, slots in
        var start = 0
        for (slot, length) in zip(slots, lengths) {
            if slot.isNeeded { slot.add(gradient.sliced(axis, from: start, to: start + length)) }
            start += length
        }
    }
}

/// Tensors of one shape along a new axis.
public func stack(_ tensors: [Tensor], axis: Int = 0) -> Tensor {
    require(!tensors.isEmpty, "stack: no tensors")
    for tensor in tensors {
        require(tensor.shape == tensors[0].shape, "stack: shapes \(tensors[0].shape) and \(tensor.shape)")
    }
    return concatenate(tensors.map { $0.unsqueezed(axis) }, axis: axis)
}

extension Tensor {
    /// Views of consecutive parts of an axis with the given lengths, which add up to its length.
    public func split(sizes: [Int], axis: Int = -1) -> [Tensor] {
        let axis = Shape.axis(axis, rank: rank, "split")
        require(
            sizes.allSatisfy { $0 >= 0 } && sizes.reduce(0, +) == shape[axis],
            "split: sizes \(sizes) of axis \(axis) of shape \(shape)")
        var start = 0
        return sizes.map { size in
            defer { start += size }
            return sliced(axis, from: start, to: start + size)
        }
    }

    /// Views of `count` equal parts of an axis.
    public func split(count: Int, axis: Int = -1) -> [Tensor] {
        let axis = Shape.axis(axis, rank: rank, "split")
        require(
            count > 0 && shape[axis] % count == 0, "split: \(count) equal parts of axis \(axis) of shape \(shape)")
        return split(sizes: Array(repeating: shape[axis] / count, count: count), axis: axis)
    }

    /// `before` elements of `value` in front of an axis and `after` behind it; negative numbers cut off, as in PyTorch.
    public func padded(axis: Int, before: Int = 0, after: Int = 0, value: Float = 0) -> Tensor {
        let axis = Shape.axis(axis, rank: rank, "padded")
        let length = shape[axis] + before + after
        require(
            length >= 0 && -before <= shape[axis] && -after <= shape[axis],
            "padded: axis \(axis) of shape \(shape) by \(before) and \(after)")
        let (start, end) = (max(0, -before), shape[axis] - max(0, -after))
        // Cut off on both sides past each other cannot be: length would be negative.
        let inner = sliced(axis, from: start, to: end)
        if before <= 0 && after <= 0 { return inner }
        var widened = shape
        widened[axis] = length
        let y = Tensor(repeating: value, shape: widened)
        let place = max(0, before)
        copy(inner, into: y, axis: axis, start: place)
        let kept = end - start
        return .record("padded", y, (inner, { $0.sliced(axis, from: place, to: place + kept) }))
    }

    /// Elements moved by `shift` along an axis, those that leave entering at the other end: element i goes to i + shift.
    public func rolled(by shift: Int, axis: Int) -> Tensor {
        let axis = Shape.axis(axis, rank: rank, "rolled")
        let length = shape[axis]
        let steps = length == 0 ? 0 : (shift % length + length) % length
        if steps == 0 { return self }
        return concatenate(
            [sliced(axis, from: length - steps), sliced(axis, from: 0, to: length - steps)], axis: axis)
    }

    // MARK: Triangles of the last two axes

    /// 1 where column ≤ row + diagonal, else 0: which keys a query sees in causal attention. Shape [rows, columns].
    public static func lowerTriangle(_ rows: Int, _ columns: Int, diagonal: Int = 0) -> Tensor {
        Tensor.ones([rows, columns]).lowerTriangle(diagonal: diagonal)
    }

    /// 1 where column ≥ row + diagonal, else 0. Shape [rows, columns].
    public static func upperTriangle(_ rows: Int, _ columns: Int, diagonal: Int = 0) -> Tensor {
        Tensor.ones([rows, columns]).upperTriangle(diagonal: diagonal)
    }

    /// Zeros where column > row + diagonal of the last two axes, as `torch.tril`.
    public func lowerTriangle(diagonal: Int = 0) -> Tensor {
        triangle(
            "lowerTriangle", { row, columns in max(0, min(columns, row + diagonal + 1))..<columns },
            { $0.lowerTriangle(diagonal: diagonal) })
    }

    /// Zeros where column < row + diagonal of the last two axes, as `torch.triu`.
    public func upperTriangle(diagonal: Int = 0) -> Tensor {
        triangle(
            "upperTriangle", { row, columns in 0..<max(0, min(columns, row + diagonal)) },
            { $0.upperTriangle(diagonal: diagonal) })
    }

    /// A copy with zeros in the columns that `cleared(row, columns)` names. Written, not multiplied: NaN does not stay.
    private func triangle(
        _ name: String, _ cleared: (Int, Int) -> Range<Int>, _ pullback: @escaping @Sendable (Tensor) -> Tensor
    ) -> Tensor {
        require(rank >= 2, "\(name): shape \(shape); expected at least two axes")
        let (rows, columns) = (shape[rank - 2], shape[rank - 1])
        let y = Tensor(uninitialized: shape)
        copyElements(of: self, to: y.mutablePointer)
        let target = y.mutablePointer
        for row in 0..<(columns == 0 ? 0 : y.count / columns) {
            let range = cleared(row % rows, columns)
            az_fill(range.count, 0, target + row * columns + range.lowerBound)
        }
        return .record(name, y, (self, pullback))
    }
}

/// Writes a view into part of an axis of a dense tensor that was just made.
private func copy(_ view: Tensor, into whole: Tensor, axis: Int, start: Int) {
    let place = whole.detached().sliced(axis, from: start, to: start + view.shape[axis])
    let (shape, strides) = Shape.collapse(view.shape, [view.strides, place.strides])
    // At least two axes, so that the kernel's block always exists.
    let missing = max(0, 2 - shape.count)
    let lengths = Array(repeating: 1, count: missing) + shape
    let (from, to) = (
        Array(repeating: 0, count: missing) + strides[0], Array(repeating: 0, count: missing) + strides[1]
    )
    let (rows, columns) = (lengths.count - 2, lengths.count - 1)
    if view.count == 0 { return }
    Shape.walk(lengths.dropLast(2), [from.dropLast(2), to.dropLast(2)]) { at in
        az_copy_2d(
            lengths[rows], lengths[columns], view.storage.pointer + view.offset + at[0], from[rows], from[columns],
            place.storage.pointer + place.offset + at[1], to[rows], to[columns])
    }
}
