import CKernels
import COpenBLAS

/// The singular values of a matrix, from the greatest down, by LAPACK's divide and conquer (sgesdd), without vectors and
/// without a gradient. They differ from the exact ones by some 1e-7 of the greatest times √ of the size.
///
/// matrix: [m, n] → min(m, n) values.
/// - Throws: `InputError` where the matrix holds a value that is not finite, or LAPACK does not converge.
public func singularValues(_ matrix: Tensor) throws -> [Float] {
    require(matrix.rank == 2, "singularValues: \(matrix.shape), expected a matrix [m, n]")
    let (m, n) = (matrix.shape[0], matrix.shape[1])
    if m * n == 0 { return [] }
    // LAPACK overwrites what it is given. It reads by columns, that is the transpose, whose singular values are the same.
    let copy = Tensor(uninitialized: [m, n])
    copyElements(of: matrix, to: copy.mutablePointer)
    let wrong = az_first_not_finite(m * n, copy.pointer)
    guard wrong == m * n else {
        throw InputError(
            "singular values: expected a matrix of finite numbers, found \(copy.pointer[wrong]) in row \(wrong / n),"
                + " column \(wrong % n) of \(m) × \(n)")
    }
    var values = [Float](repeating: 0, count: min(m, n))
    BLAS.requireMemory()
    let status = az_singular_values(n, m, copy.mutablePointer, &values)
    guard status == 0 else {
        throw InputError("singular values of a \(m) × \(n) matrix: LAPACK's sgesdd gave up with \(status)")
    }
    return values
}
