import Tensors
import Testing

@Suite struct SingularValuesTests {
    /// Expects values that differ by rounding: some 1e-7 of the greatest for each of the steps, of which there are as many
    /// as rows.
    private func expect(
        _ matrix: Tensor, _ expected: [Float], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let values = try singularValues(matrix)
        #expect(values.count == expected.count, sourceLocation: sourceLocation)
        for (value, wanted) in zip(values, expected) {
            #expect(abs(value - wanted) <= 2e-6 * expected[0], "\(values)", sourceLocation: sourceLocation)
        }
    }

    @Test("Matrices computed by hand have their singular values")
    func knownMatrices() throws {
        // AᵀA = [[25, 20], [20, 25]], whose eigenvalues are 45 and 5.
        try expect(Tensor([3, 0, 4, 5], shape: [2, 2]), [Float(45).squareRoot(), Float(5).squareRoot()])
        try expect(Tensor([0, -7, 0, 2, 0, 0, 0, 0, 0.5], shape: [3, 3]), [7, 2, 0.5])
        try expect(Tensor([3, 4], shape: [1, 2]), [5])
        try expect(Tensor([3, 4], shape: [2, 1]), [5])
        try expect(.zeros([3, 2]), [0, 0])
        #expect(try singularValues(.zeros([0, 4])).isEmpty)
    }

    @Test("Orthogonal matrices and those of rank one have their singular values")
    func orthogonalMatricesAndRankOne() throws {
        try expect(.orthogonal([20, 20], gain: 3, key: RandomKey(seed: 1)), Array(repeating: 3, count: 20))
        // u vᵀ with |u| = 3 and |v| = 5
        let product = matrixProduct(Tensor([1, 2, 2], shape: [3, 1]), Tensor([0, 3, 0, 4], shape: [1, 4]))
        try expect(product, [15, 0, 0])
    }

    @Test("Views and their transposes have the same values and are left unchanged")
    func viewsAndTheirTransposesAreTheSame() throws {
        let whole = Tensor.normal([9, 14], key: RandomKey(seed: 2))
        let view = whole.sliced(0, from: 1, to: 8, by: 2).sliced(1, from: 3, to: 13)  // [4, 10]
        let before = whole.values
        let values = try singularValues(view)
        #expect(values == values.sorted(by: >))
        try expect(view.transposed(), values)
        try expect(view.contiguous(), values)
        #expect(whole.values == before)
        // The sum of the squares is that of the elements.
        let (a, b) = (values.reduce(0) { $0 + $1 * $1 }, view.values.reduce(0) { $0 + $1 * $1 })
        #expect(abs(a - b) < 1e-5 * b)  // 40 roundings of 6e-8
    }

    @Test("An element that is not finite is named")
    func whatIsNotFiniteIsNamed() {
        for (value, text) in [(Float.nan, "nan"), (.infinity, "inf"), (-.infinity, "-inf")] {
            let matrix = Tensor([1, 2, 3, 4, value, 6], shape: [2, 3])
            #expect(
                throws: InputError(
                    "singular values: expected a matrix of finite numbers, found \(text) in row 1, column 1 of 2 × 3")
            ) { try singularValues(matrix) }
        }
    }
}
