import Tensors
import Testing

@Suite struct ViewTests {
    private let x = sample([3, 4, 5])

    // MARK: Values

    @Test("Reshaping keeps the order of elements")
    func reshapes() {
        expectEqual(x.reshaped([5, 12]), x.values, shape: [5, 12])
        expectEqual(x.reshaped([-1]), x.values, shape: [60])
        expectEqual(x.reshaped([2, -1, 3]), x.values, shape: [2, 10, 3])
        let turned = x.transposed(0, 2)
        expectEqual(turned.reshaped([20, 3]), turned.values, shape: [20, 3])
        expectEqual(Tensor(7).reshaped([1, 1]), [7], shape: [1, 1])
        expectEqual(Tensor.zeros([0, 3]).reshaped([3, 0]), [], shape: [3, 0])
    }

    @Test("Permuting and transposing reorder axes")
    func permutes() {
        for axes in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1], [-1, 0, 1]] {
            let order = axes.map { $0 < 0 ? $0 + 3 : $0 }
            let reference = expected(order.map { x.shape[$0] }) { index in
                x.element((0..<3).map { axis in index[order.firstIndex(of: axis)!] })
            }
            expectClose(x.permuted(axes), reference, shape: order.map { x.shape[$0] }, tolerance: 0)
        }
        expectClose(x.transposed(), expected([3, 5, 4]) { x.element([$0[0], $0[2], $0[1]]) }, tolerance: 0)
        expectClose(x.transposed(0, -1), expected([5, 4, 3]) { x.element([$0[2], $0[1], $0[0]]) }, tolerance: 0)
    }

    /// Start, end and step, and the positions they stand for in an axis of length 5.
    static let sliceCases: [(Int, Int?, Int, [Int])] = [
        (0, nil, 1, [0, 1, 2, 3, 4]), (1, 3, 1, [1, 2]), (1, nil, 2, [1, 3]), (0, 5, 2, [0, 2, 4]), (0, 4, 3, [0, 3]),
        (4, nil, -1, [4, 3, 2, 1, 0]), (4, 0, -2, [4, 2]), (3, 1, -1, [3, 2]), (4, nil, -3, [4, 1]), (2, 2, 1, []),
        (5, nil, 1, []), (0, 1, 7, [0]),
    ]

    @Test("Slices take positions with any step", arguments: sliceCases)
    func slices(_ start: Int, _ end: Int?, _ step: Int, _ positions: [Int]) {
        let view = x.sliced(-1, from: start, to: end, by: step)
        expectClose(
            view, expected([3, 4, positions.count]) { x.element([$0[0], $0[1], positions[$0[2]]]) },
            shape: [3, 4, positions.count], tolerance: 0)
        let first = x.transposed(0, 2).sliced(0, from: start, to: end, by: step)
        expectClose(
            first, expected([positions.count, 4, 3]) { x.element([$0[2], $0[1], positions[$0[0]]]) }, tolerance: 0)
    }

    @Test("Axes are dropped, added, and expanded")
    func dropsAndAddsAxes() {
        expectClose(x.at(1, 2), expected([3, 5]) { x.element([$0[0], 2, $0[1]]) }, shape: [3, 5], tolerance: 0)
        expectEqual(x.at(0, 1).at(0, 2).at(0, 3), [Float(x.element([1, 2, 3]))], shape: [])
        expectEqual(x.unsqueezed(1), x.values, shape: [3, 1, 4, 5])
        expectEqual(x.unsqueezed(-1), x.values, shape: [3, 4, 5, 1])
        expectEqual(x.unsqueezed(0).squeezed(0), x.values, shape: [3, 4, 5])
        let wide = x.sliced(1, from: 1, to: 2).expanded(to: [2, 3, 4, 5])
        expectClose(wide, expected([2, 3, 4, 5]) { x.element([$0[1], 1, $0[3]]) }, shape: [2, 3, 4, 5], tolerance: 0)
        expectEqual(Tensor(3).expanded(to: [2, 2]), [3, 3, 3, 3])
    }

    @Test("Gradients agree with central differences")
    func gradients() {
        let x = sample([2, 3, 4])
        checkGradients([x]) { $0[0].reshaped([4, -1]) }
        checkGradients([x]) { $0[0].permuted([1, 2, 0]) }
        checkGradients([x]) { $0[0].transposed(0, 1) }
        checkGradients([x]) { $0[0].sliced(1, from: 1) }
        checkGradients([x]) { $0[0].sliced(2, from: 3, by: -2) }
        checkGradients([x]) { $0[0].sliced(0, from: 1, to: 1) }
        checkGradients([x]) { $0[0].at(1, 2) }
        checkGradients([x]) { $0[0].unsqueezed(2) }
        checkGradients([x]) { $0[0].sliced(1, to: 1).squeezed(1) }
        checkGradients([x]) { $0[0].expanded(to: [3, 2, 3, 4]) }
        checkGradients([x]) { $0[0].sliced(1, to: 1).expanded(to: [2, 5, 4]) }
        // Overlapping views: both places get both gradients.
        checkGradients([x]) { $0[0].sliced(1, to: 2) * $0[0].sliced(1, from: 1) }
        checkGradients([x]) { $0[0].transposed().contiguous().reshaped([6, 4]) }
    }

    // MARK: Memory

    @Test("Views share the tensor's memory")
    func viewsShareMemory() {
        #expect(x.reshaped([60]).pointer == x.pointer)
        #expect(x.sliced(0, from: 1).pointer == x.pointer + 20)
        #expect(x.at(0, 2).pointer == x.pointer + 40)
        #expect(x.unsqueezed(0).pointer == x.pointer)
        #expect(x.contiguous().pointer == x.pointer)
        #expect(x.detached().pointer == x.pointer)
        #expect(x.transposed().transposed().pointer == x.pointer)
        #expect(x.transposed().contiguous().pointer != x.pointer)
        let written = Tensor.zeros([2, 2])
        let (column, wide) = (written.sliced(1, from: 1), written.expanded(to: [3, 2, 2]))
        written.mutablePointer[1] = 5
        expectEqual(column, [5, 0])
        expectEqual(wide, [0, 5, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0])
    }

    @Test("Views outlive the tensor")
    func viewsOutliveTheTensor() {
        func view() -> Tensor { Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3]).transposed().sliced(0, from: 1) }
        let kept = view()
        let others = (0..<10).map { Tensor(repeating: Float($0), shape: [6]) }
        expectEqual(kept, [2, 5, 3, 6])
        #expect(others.count == 10)
    }

    @Test("Contiguity is known")
    func contiguity() {
        #expect(x.isContiguous && x.sliced(0, from: 1).isContiguous && Tensor(1).isContiguous)
        #expect(!x.transposed().isContiguous && !x.sliced(2, to: 2).isContiguous)
        #expect(x.sliced(0, to: 1).transposed(0, 1).isContiguous)
        #expect(!Tensor([1]).expanded(to: [2]).isContiguous)
    }

    @Test("A tensor made unique has memory of its own")
    func ensureUnique() {
        let original = Tensor([1, 2, 3])
        var copy = original
        copy.ensureUnique()
        copy.mutablePointer[0] = 9
        expectEqual(original, [1, 2, 3])
        expectEqual(copy, [9, 2, 3])
        let place = copy.pointer
        copy.ensureUnique()
        #expect(copy.pointer == place)
        var view = original.expanded(to: [2, 3])
        view.ensureUnique()
        #expect(view.isContiguous)
        expectEqual(view, [1, 2, 3, 1, 2, 3])
    }

    @Test("A parameter owns its memory")
    func parametersOwnTheirMemory() {
        let initial = Tensor([1, 2, 3, 4], shape: [2, 2])
        let parameter = Parameter(initial.transposed())
        initial.mutablePointer[0] = 100
        expectEqual(parameter.value, [1, 3, 2, 4], shape: [2, 2])
        let view = parameter.value.at(0, 1)
        parameter.assign(Tensor([5, 6, 7, 8], shape: [2, 2]).transposed())
        expectEqual(parameter.value, [5, 7, 6, 8])
        expectEqual(view, [6, 8])
        #expect(parameter.value.requiresGradient && !Parameter(initial, .computed).value.requiresGradient)
        #expect(parameter.shape == [2, 2] && parameter.count == 4)
    }

    @Test("Tensors are made and described")
    func making() {
        expectEqual(Tensor.zeros([2, 1]), [0, 0], shape: [2, 1])
        expectEqual(Tensor.ones([3]), [1, 1, 1])
        expectEqual(Tensor(repeating: 2.5, shape: []), [2.5], shape: [])
        expectEqual(Tensor.range(4), [0, 1, 2, 3], shape: [4])
        #expect(
            Tensor(4).item == 4 && x.sliced(2, from: 3, to: 4).at(0, 1).at(0, 2).item == Float(x.element([1, 2, 3])))
        #expect(x.rank == 3 && x.count == 60 && x.length(-1) == 5 && x.length(0) == 3)
        #expect("\(Tensor([1, 2]))" == "Tensor[2] [1.0, 2.0]")
        #expect("\(Tensor.zeros([9]))".hasSuffix("0.0, …]"))
    }

    @Test("Token tensors are reshaped and checked")
    func tokenTensors() {
        let tokens = TokenTensor([3, 1, 2, 0, 5, 4], shape: [2, 3])
        #expect(tokens.count == 6 && tokens.reshaped([3, 2]).shape == [3, 2])
        #expect(tokens.reshaped([6]) == TokenTensor([3, 1, 2, 0, 5, 4]))
        #expect(tokens.firstOutside(6) == nil && tokens.firstOutside(5) == 5)
        #expect(TokenTensor([0, -1]).firstOutside(5) == -1)
    }
}
