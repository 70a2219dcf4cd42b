import CKernels

// Elements by number. Sums into one place always run in the order of the indices: the same bits for any thread count.

/// Rows of a table: the embedding of tokens.
///
/// table: [v, d]; tokens: [...], each in 0 ..< v. Returns [..., d].
public func embedding(_ table: Tensor, _ tokens: TokenTensor) -> Tensor { embedding(.float(table), tokens) }

/// Rows of a table that may be rounded.
public func embedding(_ table: WeightMatrix, _ tokens: TokenTensor) -> Tensor {
    require(table.shape.count == 2, "embedding: table of shape \(table.shape); expected two axes")
    if let token = tokens.firstOutside(table.shape[0]) {
        require(false, "embedding: token \(token) of a table of shape \(table.shape)")
    }
    switch table {
    case .float(let tensor): return tensor.taking(tokens)
    case .rounded(let matrix):
        _ = table.checked("embedding")
        return matrix.taking(tokens)
    }
}

extension Tensor {
    /// The slices of an axis with the given numbers, whose axes take the axis's place.
    ///
    /// self: [..., n, ...]; indices: [i…], each in 0 ..< n. Returns [..., i…, ...].
    public func taking(_ indices: TokenTensor, axis: Int = 0) -> Tensor {
        let axis = Shape.axis(axis, rank: rank, "taking")
        checkRange(indices, axis, "taking")
        guard axis == 0 else {
            // The axis to the front, and the indices' axes from the front to its place.
            let order = [axis] + (0..<rank).filter { $0 != axis }
            let taken = permuted(order).taking(indices)
            let added = indices.shape.count
            return taken.permuted(
                (0..<axis).map { $0 + added } + Array(0..<added) + (axis + added..<taken.rank))
        }
        let whole = shape
        let width = Shape.count(Array(shape.dropFirst()))
        let y = Tensor(uninitialized: indices.shape + shape.dropFirst())
        let table = contiguous()
        indices.values.withUnsafeBufferPointer { numbers in
            parallelRanges(numbers.count, grain: max(1, elementGrain / max(width, 1))) {
                let i = $0.lowerBound
                az_gather_rows($0.count, width, table.pointer, numbers.baseAddress! + i, y.mutablePointer + i * width)
            }
        }
        return .record("taking", y, inputs: [self]) { gradient, slots in
            let dy = gradient.contiguous()
            slots[0].accumulate { destination, beta in
                if beta == 0 { az_fill(Shape.count(whole), 0, destination) }
                az_scatter_add_rows(indices.count, width, indices.values, dy.pointer, destination)
            }
        }
    }

    /// This tensor with `rows[i]` added to its slice `indices[i]` of the first axis, in order.
    ///
    /// self: [n, ...]; indices: [m], each in 0 ..< n, repeats allowed; rows: [m, ...]. Returns [n, ...].
    public func scatterAdded(_ indices: TokenTensor, _ rows: Tensor) -> Tensor {
        require(
            rank > 0 && rows.shape == indices.shape + shape.dropFirst(),
            "scatterAdded: rows of shape \(rows.shape) at indices of shape \(indices.shape) into shape \(shape)")
        checkRange(indices, 0, "scatterAdded")
        let y = Tensor(uninitialized: shape)
        copyElements(of: self, to: y.mutablePointer)
        let x = rows.contiguous()
        az_scatter_add_rows(
            indices.count, Shape.count(Array(shape.dropFirst())), indices.values, x.pointer, y.mutablePointer)
        return .record("scatterAdded", y, (self, { $0 }), (rows, { $0.taking(indices) }))
    }

    /// Elements of the last axis by number, a row of numbers for each row: y[..., j] = x[..., indices[..., j]].
    ///
    /// self: [..., n]; indices: [..., k], each in 0 ..< n. Returns [..., k].
    public func gathered(_ indices: TokenTensor) -> Tensor {
        require(
            rank > 0 && shape.dropLast() == indices.shape.dropLast() && rank == indices.shape.count,
            "gathered: indices of shape \(indices.shape) from shape \(shape)")
        checkRange(indices, rank - 1, "gathered")
        let whole = shape
        let (n, k) = (shape[rank - 1], indices.shape[rank - 1])
        let x = contiguous()
        let y = Tensor(uninitialized: indices.shape)
        parallelRanges(indices.count, grain: elementGrain) { range in
            let (source, target) = (x.pointer, y.mutablePointer)
            for i in range { target[i] = source[i / k * n + Int(indices.values[i])] }
        }
        return .record("gathered", y, inputs: [x]) { gradient, slots in
            let dy = gradient.contiguous()
            slots[0].accumulate { destination, beta in
                if beta == 0 { az_fill(Shape.count(whole), 0, destination) }
                let addend = dy.pointer
                for i in 0..<indices.count { destination[i / k * n + Int(indices.values[i])] += addend[i] }
            }
        }
    }

    /// The largest `k` elements of the last axis, in descending order, and where they were. Among equals the first comes
    /// first; NaN counts as larger than any number. The gradient flows to the chosen elements.
    ///
    /// self: [..., n] with k ≤ n. Returns values and indices [..., k].
    public func topK(_ k: Int) -> (values: Tensor, indices: TokenTensor) {
        let n = length(-1)
        require(k >= 0 && k <= n, "topK: \(k) of the last axis of shape \(shape)")
        let x = contiguous()
        let rows = x.count / max(n, 1)
        var indices = [Int32](repeating: 0, count: rows * k)
        indices.withUnsafeMutableBufferPointer { buffer in
            parallelRanges(rows, grain: max(1, elementGrain / max(n, 1))) { range in
                for row in range {
                    for (j, index) in largestPlaces(k, of: x.pointer + row * n, count: n).enumerated() {
                        buffer[row * k + j] = index
                    }
                }
            }
        }
        let tokens = TokenTensor(indices, shape: shape.dropLast() + [k])
        return (gathered(tokens), tokens)
    }

    private func checkRange(_ indices: TokenTensor, _ axis: Int, _ operation: String) {
        if let index = indices.firstOutside(shape[axis]) {
            require(false, "\(operation): index \(index) of axis \(axis) of shape \(shape)")
        }
    }

    /// Finds the index of the largest element of an axis (the first of equals; NaN counts as larger than any number).
    /// Returns the shape without the axis.
    public func argmax(axis: Int = -1) -> TokenTensor {
        detached().largest(along: Shape.axis(axis, rank: rank, "argmax"), "argmax").indices
    }
}

/// Returns true if element i comes before element j in descending order.
private func precedes(_ x: UnsafePointer<Float>, _ i: Int32, _ j: Int32) -> Bool {
    let (a, b) = (x[Int(i)], x[Int(j)])
    if a.isNaN || b.isNaN { return a.isNaN && (!b.isNaN || i < j) }
    return a > b || (a == b && i < j)
}

/// The numbers of the k largest of n elements, in descending order.
private func largestPlaces(_ k: Int, of x: UnsafePointer<Float>, count n: Int) -> [Int32] {
    if k == 0 { return [] }
    if k > 16 {
        return Array((0..<Int32(n)).sorted { precedes(x, $0, $1) }.prefix(k))
    }
    // A short sorted list that most elements do not enter.
    var best: [Int32] = []
    best.reserveCapacity(k + 1)
    for i in 0..<Int32(n) {
        if best.count == k {
            if !precedes(x, i, best[k - 1]) { continue }
            best.removeLast()
        }
        var place = best.count
        while place > 0 && precedes(x, i, best[place - 1]) { place -= 1 }
        best.insert(i, at: place)
    }
    return best
}
