import Tensors
import Testing

@Suite struct IndexingTests {
    private let tokens = TokenTensor([3, 0, 3, 1, 2, 3], shape: [2, 3])

    @Test("An embedding takes rows of its table")
    func embeds() {
        let table = sample([5, 7])
        expectClose(
            embedding(table, tokens),
            expected([2, 3, 7]) { table.element([Int(tokens.values[$0[0] * 3 + $0[1]]), $0[2]]) },
            shape: [2, 3, 7], tolerance: 0)
        #expect(embedding(table, TokenTensor([4], shape: [])).shape == [7])
        #expect(embedding(table, TokenTensor([])).shape == [0, 7])
        checkGradients([sample([4, 3])]) { embedding($0[0], tokens) }
    }

    @Test("Taking picks elements along any axis", arguments: [0, 1, 2, -1])
    func takes(_ axis: Int) {
        let x = sample([4, 5, 6])
        let position = axis < 0 ? axis + 3 : axis
        var shape = x.shape
        shape.replaceSubrange(position...position, with: [2, 3])
        let reference = expected(shape) { index in
            let number = Int(tokens.values[index[position] * 3 + index[position + 1]])
            return x.element(Array(index[..<position]) + [number] + index[(position + 2)...])
        }
        expectClose(x.taking(tokens, axis: axis), reference, shape: shape, tolerance: 0)
        checkGradients([sample([4, 4, 4])]) { $0[0].taking(tokens, axis: axis) }
        #expect(x.taking(TokenTensor([1], shape: []), axis: axis).shape == x.at(axis, 1).shape)
    }

    @Test("Many rows are taken, and their gradients are summed")
    func manyRows() {
        let table = sample([50, 33])
        let numbers = TokenTensor((0..<5000).map { Int32($0 * 37 % 50) })
        let (taken, values) = (table.taking(numbers).values, table.values)
        #expect(
            numbers.values.enumerated().allSatisfy { i, row in
                taken[i * 33..<(i + 1) * 33] == values[Int(row) * 33..<(Int(row) + 1) * 33]
            })
        let leaf = table.requiringGradient()
        // Each row is taken 100 times.
        expectEqual(gradients(of: leaf.taking(numbers).sum())[leaf]!, Array(repeating: 100, count: 50 * 33))
    }

    @Test("Scattering adds rows at their places")
    func scatters() {
        let (x, rows) = (sample([4, 3]), sample([6, 3], seed: 2))
        let places = tokens.reshaped([6])
        let reference = expected([4, 3]) { index in
            places.values.indices.filter { places.values[$0] == Int32(index[0]) }
                .reduce(x.element(index)) { $0 + rows.element([$1, index[1]]) }
        }
        // Four additions.
        expectClose(x.scatterAdded(places, rows), reference, shape: [4, 3], tolerance: 5e-7)
        checkGradients([sample([4, 3]), sample([6, 3], seed: 2)]) { $0[0].scatterAdded(places, $0[1]) }
        checkGradients([sample([4]), sample([2, 3], seed: 2)]) { $0[0].scatterAdded(tokens, $0[1]) }
        let zeros = Tensor.zeros([4])
        #expect(
            zeros.scatterAdded(TokenTensor([1]), Tensor([5])).values == [0, 5, 0, 0] && zeros.values == [0, 0, 0, 0])
    }

    @Test("Gathering picks elements of each row")
    func gathers() {
        let x = sample([3, 2, 5])
        let places = TokenTensor((0..<24).map { Int32($0 * 3 % 5) }, shape: [3, 2, 4])
        expectClose(
            x.gathered(places),
            expected([3, 2, 4]) { x.element([$0[0], $0[1], Int(places.values[($0[0] * 2 + $0[1]) * 4 + $0[2]])]) },
            shape: [3, 2, 4], tolerance: 0)
        checkGradients([x]) { $0[0].gathered(places) }
        expectEqual(Tensor([5, 6]).gathered(TokenTensor([1, 1, 0])), [6, 6, 5])
    }

    @Test("Top-k finds the largest elements, the first of equals first", arguments: [0, 1, 3, 20, 40])
    func largest(_ k: Int) {
        // Rounded so that there are equals, whose first comes first.
        let x = Tensor(sample([5, 40], low: -3, high: 3).values.map { ($0 * 4).rounded() / 4 }, shape: [5, 40])
        let (values, places) = x.topK(k)
        #expect(values.shape == [5, k] && places.shape == [5, k])
        for row in 0..<5 {
            let elements = x.at(0, row).values
            let order = elements.indices.sorted { elements[$0] == elements[$1] ? $0 < $1 : elements[$0] > elements[$1] }
            #expect(places.values[row * k..<(row + 1) * k].map(Int.init) == Array(order.prefix(k)))
            #expect(values.at(0, row).values == order.prefix(k).map { elements[$0] })
        }
    }

    @Test("Top-k puts NaN first")
    func largestWithNotANumber() {
        let (values, places) = Tensor([1, .nan, .infinity, 2, .nan]).topK(4)
        expectEqual(values, [.nan, .nan, .infinity, 2])
        #expect(places.values == [1, 4, 2, 3])
        let many = Tensor((0..<40).map { $0 == 30 ? .nan : Float($0) })
        #expect(many.topK(20).indices.values.prefix(3) == [30, 39, 38])
    }

    @Test("The gradients of top-k agree with central differences")
    func largestGradients() {
        checkGradients([distinct([3, 6])], layouts: [.dense, .transposed, .sliced]) { $0[0].topK(2).values }
        checkGradients([distinct([2, 2, 6])], layouts: [.dense, .transposed, .sliced]) { $0[0].topK(6).values }
    }

    @Test("Argmax finds the largest element along any axis")
    func argmax() {
        let x = distinct([3, 4, 5])
        for axis in [0, 1, 2, -1] {
            let position = axis < 0 ? axis + 3 : axis
            let largest = x.maximum(axes: [axis], keepAxes: true)
            let indices = x.argmax(axis: axis)
            #expect(indices.shape == x.at(axis, 0).shape)
            for (i, place) in TensorsTests.indices(indices.shape).enumerated() {
                var index = place
                index.insert(Int(indices.values[i]), at: position)
                #expect(x.element(index) == largest.element(index))
            }
        }
    }
}
