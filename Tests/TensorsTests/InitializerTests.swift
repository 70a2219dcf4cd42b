import Foundation
import Tensors
import Testing

@Suite struct InitializerTests {
    private let key = RandomKey(seed: 8)

    @Test("The fans of a shape are those of PyTorch")
    func fansOfShapes() {
        #expect(fans(of: [3, 5]) == (5, 3))
        #expect(fans(of: [6, 2, 7]) == (14, 42))
        #expect(fans(of: [4, 3, 2, 5]) == (30, 40))
    }

    /// For [200, 100, 3]: fan in 300, fan out 600.
    @Test("Bounds and deviations are those of PyTorch")
    func scales() {
        let shape = [200, 100, 3]
        func expectUniform(_ x: Tensor, _ bound: Double, sourceLocation: SourceLocation = #_sourceLocation) {
            let values = x.values.map { abs(Double($0)) }
            let variance = values.reduce(0) { $0 + $1 * $1 } / Double(values.count)
            #expect(x.shape == shape, sourceLocation: sourceLocation)
            // One rounding above the bound; the largest of 60,000 draws is within 1e-3 of it.
            #expect(
                values.max()! <= bound * (1 + 1e-6) && values.max()! > bound * (1 - 1e-3),
                sourceLocation: sourceLocation)
            // Five standard errors: the variance of x² is 4/45 bound⁴.
            #expect(
                abs(variance / (bound * bound) - 1 / 3.0) < 5 * (4 / 45.0 / Double(values.count)).squareRoot(),
                sourceLocation: sourceLocation)
        }
        func expectNormal(_ x: Tensor, _ deviation: Double, sourceLocation: SourceLocation = #_sourceLocation) {
            let values = x.values.map { Double($0) / deviation }
            let n = Double(values.count)
            let square = values.reduce(0) { $0 + $1 * $1 } / n
            #expect(abs(values.reduce(0, +) / n) < 5 / n.squareRoot(), sourceLocation: sourceLocation)
            #expect(abs(square - 1) < 5 * (2 / n).squareRoot(), sourceLocation: sourceLocation)
            // Not uniform: some of 60,000 are beyond 3.5.
            #expect(values.contains { abs($0) > 3.5 }, sourceLocation: sourceLocation)
        }
        expectUniform(.xavierUniform(shape, key: key), (6 / 900.0).squareRoot())
        expectUniform(.xavierUniform(shape, gain: 2, key: key), 2 * (6 / 900.0).squareRoot())
        expectNormal(.xavierNormal(shape, gain: 0.5, key: key), 0.5 * (2 / 900.0).squareRoot())
        expectUniform(.kaimingUniform(shape, key: key), (6 / 300.0).squareRoot())
        expectUniform(.kaimingUniform(shape, slope: Float(5).squareRoot(), key: key), 1 / 300.0.squareRoot())
        expectUniform(.kaimingUniform(shape, mode: .output, key: key), (6 / 600.0).squareRoot())
        expectNormal(.kaimingNormal(shape, slope: 0.2, key: key), (2 / (1.04 * 300.0)).squareRoot())
        expectNormal(.kaimingNormal(shape, mode: .output, key: key), (2 / 600.0).squareRoot())
    }

    @Test("The same key gives the same bits")
    func sameKeySameBits() {
        #expect(Tensor.orthogonal([9, 5], key: key).values == Tensor.orthogonal([9, 5], key: key).values)
        #expect(
            Tensor.kaimingNormal([9, 5], key: key).values != Tensor.kaimingNormal([9, 5], key: key.child(0)).values)
    }

    /// Errors of a QR factorization in float32.
    @Test(
        "The shorter side of an orthogonal matrix is orthonormal",
        arguments: [[4, 4], [3, 7], [7, 3], [1, 5], [5, 1], [64, 130], [130, 64], [6, 2, 5], [40, 3, 4]])
    func orthogonality(_ shape: [Int]) {
        let q = Tensor.orthogonal(shape, gain: 1.5, key: key)
        #expect(q.shape == shape && q.isContiguous)
        let matrix = q.reshaped([shape[0], -1])
        let isWide = matrix.shape[0] <= matrix.shape[1]
        let n = matrix.shape.min()!
        let gram = matrixProduct(matrix, matrix, transposeA: !isWide, transposeB: isWide)
        expectClose(gram, expected([n, n]) { $0[0] == $0[1] ? 2.25 : 0 }, shape: [n, n], tolerance: 3e-6)
    }

    /// Without the correction of signs the first element would always be negative. Its standard deviation is 1/√3; five
    /// standard errors of 400 matrices.
    @Test("Orthogonal matrices are uniformly distributed")
    func orthogonalSignsAreFair() {
        for shape in [[3, 3], [3, 5], [5, 3]] {
            let sum = (0..<400).reduce(0.0) { $0 + Double(Tensor.orthogonal(shape, key: key.child($1)).values[0]) }
            #expect(abs(sum / 400) < 5 * (1 / Double(shape.max()!)).squareRoot() / 20)
        }
    }

    @Test("Empty shapes are initialized")
    func emptyShapes() {
        #expect(Tensor.orthogonal([0, 3], key: key).shape == [0, 3])
        #expect(Tensor.xavierNormal([0, 3], key: key).shape == [0, 3])
    }
}
