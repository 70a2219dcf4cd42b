/// Arithmetic on shapes: lists of axis lengths, outermost first.
enum Shape {
    /// The number of elements; `Int.max` where that is too small, which no memory holds.
    static func count(_ shape: [Int]) -> Int {
        var count = 1
        for length in shape { count = count.timesClamped(length) }
        return count
    }

    /// Row-major strides, in elements.
    static func strides(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        var step = 1
        for axis in stride(from: shape.count - 1, through: 0, by: -1) {
            strides[axis] = step
            step = step.timesClamped(shape[axis])
        }
        return strides
    }

    /// The axis counted from the front; negative axes count from the back.
    static func axis(_ axis: Int, rank: Int, _ operation: String) -> Int {
        let positive = axis < 0 ? axis + rank : axis
        require(positive >= 0 && positive < rank, "\(operation): axis \(axis) of a tensor with \(rank) axes")
        return positive
    }

    /// The common shape of two operands by NumPy's broadcasting rule.
    static func broadcast(_ a: [Int], _ b: [Int], _ operation: @autoclosure () -> String) -> [Int] {
        if a == b { return a }
        let rank = max(a.count, b.count)
        return (0..<rank).map { axis in
            let left = axis - (rank - a.count)
            let right = axis - (rank - b.count)
            let x = left >= 0 ? a[left] : 1
            let y = right >= 0 ? b[right] : 1
            require(
                x == y || x == 1 || y == 1,
                "\(operation()): shapes \(a) and \(b) do not broadcast: axis \(axis) has \(x) and \(y)")
            return x == 1 ? y : x
        }
    }

    /// Merges neighboring axes that several layouts walk alike, and drops axes of length 1: fewer, longer loops.
    static func collapse(_ shape: [Int], _ layouts: [[Int]]) -> (shape: [Int], strides: [[Int]]) {
        var merged: [Int] = []
        var strides = [[Int]](repeating: [], count: layouts.count)
        for axis in shape.indices where shape[axis] != 1 {
            let length = shape[axis]
            let joins =
                !merged.isEmpty && layouts.indices.allSatisfy { strides[$0].last! == layouts[$0][axis] * length }
            if joins {
                merged[merged.count - 1] *= length
                for i in layouts.indices { strides[i][strides[i].count - 1] = layouts[i][axis] }
            } else {
                merged.append(length)
                for i in layouts.indices { strides[i].append(layouts[i][axis]) }
            }
        }
        return (merged, strides)
    }

    /// Calls `body` with the offsets of several layouts at each position of the given outer axes.
    static func walk(_ shape: ArraySlice<Int>, _ strides: [ArraySlice<Int>], _ body: ([Int]) -> Void) {
        var position = [Int](repeating: 0, count: shape.count)
        var offsets = [Int](repeating: 0, count: strides.count)
        if shape.contains(0) { return }
        while true {
            body(offsets)
            var axis = shape.count - 1
            while axis >= 0 {
                position[axis] += 1
                for i in strides.indices { offsets[i] += strides[i][strides[i].startIndex + axis] }
                if position[axis] < shape[shape.startIndex + axis] { break }
                for i in strides.indices { offsets[i] -= strides[i][strides[i].startIndex + axis] * position[axis] }
                position[axis] = 0
                axis -= 1
            }
            if axis < 0 { return }
        }
    }
}
