import Tensors
import Testing

@Suite struct AssemblyTests {
    @Test("Concatenation joins parts of any length along any axis", arguments: [0, 1, 2, -1])
    func concatenates(_ axis: Int) {
        let position = axis < 0 ? axis + 3 : axis
        let parts = [2, 0, 3, 1].enumerated().map { i, length in
            var shape = [2, 3, 4]
            shape[position] = length
            return sample(shape, seed: UInt64(i))
        }
        var shape = [2, 3, 4]
        shape[position] = 6
        let reference = expected(shape) { index in
            var index = index
            for part in parts {
                if index[position] < part.shape[position] { return part.element(index) }
                index[position] -= part.shape[position]
            }
            return .nan
        }
        expectClose(concatenate(parts, axis: axis), reference, shape: shape, tolerance: 0)
        let views = parts.map { $0.transposed(0, 2).contiguous().transposed(0, 2) }
        expectClose(concatenate(views, axis: axis), reference, shape: shape, tolerance: 0)
        checkGradients([parts[0], parts[2], parts[3]]) { concatenate($0, axis: axis) }
        checkGradients([parts[0]]) { concatenate([$0[0], $0[0]], axis: axis) }
    }

    @Test("Stacking inserts an axis", arguments: [0, 1, 2, -1])
    func stacks(_ axis: Int) {
        let parts = (0..<3).map { sample([2, 4], seed: UInt64($0)) }
        let position = axis < 0 ? axis + 3 : axis
        var shape = [2, 4]
        shape.insert(3, at: position)
        let reference = expected(shape) { index in
            var rest = index
            return parts[rest.remove(at: position)].element(rest)
        }
        expectClose(stack(parts, axis: axis), reference, shape: shape, tolerance: 0)
        checkGradients(parts) { stack($0, axis: axis) }
    }

    @Test("Splits are views that concatenate to the whole")
    func splits() {
        let x = sample([3, 6])
        let parts = x.split(sizes: [1, 0, 3, 2])
        #expect(parts.map(\.shape) == [[3, 1], [3, 0], [3, 3], [3, 2]])
        expectEqual(concatenate(parts, axis: 1), x.values)
        expectEqual(concatenate(x.split(count: 3, axis: 0), axis: 0), x.values)
        #expect(x.split(count: 2)[1].values == x.sliced(1, from: 3).values)
        #expect(x.split(sizes: [1, 2], axis: 0)[1].pointer == x.pointer + 6)
        checkGradients([x]) { inputs in
            let parts = inputs[0].split(sizes: [1, 2, 3])
            return concatenate([parts[2] * 2, parts[0], parts[1] * parts[1]], axis: 1)
        }
        checkGradients([x]) { $0[0].split(count: 3, axis: 1)[1] }
    }

    /// Before, after; negative numbers cut off.
    static let paddings = [
        (1, 2), (0, 3), (2, 0), (0, 0), (-1, 0), (0, -2), (-1, -1), (2, -1), (-2, 3), (-3, 1), (1, -3),
    ]

    @Test("Padding adds elements of a value before and after", arguments: paddings, [0, 1, -1])
    func pads(_ padding: (Int, Int), _ axis: Int) {
        let (before, after) = padding
        let x = sample([3, 3, 3])
        let position = axis < 0 ? axis + 3 : axis
        var shape = x.shape
        shape[position] += before + after
        let reference = expected(shape) { index in
            var index = index
            index[position] -= before
            return (0..<3).contains(index[position]) ? x.element(index) : 7
        }
        expectClose(
            x.padded(axis: axis, before: before, after: after, value: 7), reference, shape: shape, tolerance: 0)
        checkGradients([x]) { $0[0].padded(axis: axis, before: before, after: after) * 2 }
    }

    @Test("Padding with infinity is exact")
    func padsWithInfinity() {
        expectEqual(Tensor([1]).padded(axis: 0, before: 1, after: 1, value: -.infinity), [-.infinity, 1, -.infinity])
    }

    @Test("Rolling moves elements around an axis", arguments: [0, 1, 2, -1], [0, 1, -1, 3, 7, -9])
    func rolls(_ axis: Int, _ shift: Int) {
        let x = sample([2, 3, 4])
        let position = axis < 0 ? axis + 3 : axis
        let length = x.shape[position]
        let reference = expected(x.shape) { index in
            var from = index
            from[position] = ((index[position] - shift) % length + length) % length
            return x.element(from)
        }
        expectClose(x.rolled(by: shift, axis: axis), reference, shape: x.shape, tolerance: 0)
        checkGradients([x]) { $0[0].rolled(by: shift, axis: axis) * $0[0] }
    }

    @Test("Triangles keep elements up to a diagonal", arguments: [-7, -2, -1, 0, 1, 3, 9])
    func triangles(_ diagonal: Int) {
        for shape in [[4, 4], [3, 5], [2, 5, 3], [1, 1]] {
            let x = sample(shape)
            let (row, column) = (shape.count - 2, shape.count - 1)
            expectClose(
                x.lowerTriangle(diagonal: diagonal),
                expected(shape) { $0[column] <= $0[row] + diagonal ? x.element($0) : 0 }, shape: shape, tolerance: 0)
            expectClose(
                x.upperTriangle(diagonal: diagonal),
                expected(shape) { $0[column] >= $0[row] + diagonal ? x.element($0) : 0 }, shape: shape, tolerance: 0)
            checkGradients([x]) { $0[0].lowerTriangle(diagonal: diagonal) }
            checkGradients([x]) { $0[0].upperTriangle(diagonal: diagonal) }
        }
        expectClose(
            Tensor.lowerTriangle(3, 4, diagonal: diagonal), expected([3, 4]) { $0[1] <= $0[0] + diagonal ? 1 : 0 },
            shape: [3, 4], tolerance: 0)
        expectClose(
            Tensor.upperTriangle(3, 4, diagonal: diagonal), expected([3, 4]) { $0[1] >= $0[0] + diagonal ? 1 : 0 },
            shape: [3, 4], tolerance: 0)
    }

    @Test("Triangles drop NaN")
    func trianglesDropNotANumber() {
        expectEqual(Tensor([1, .nan, 3, 4], shape: [2, 2]).lowerTriangle(), [1, 0, 3, 4])
        #expect(Tensor.zeros([2, 0]).lowerTriangle().shape == [2, 0])
    }
}
