/// The last two axes of a tensor as BLAS takes them: one of them dense. A view that has neither is copied.
package struct MatrixView: Sendable {
    let tensor: Tensor
    let isTransposed: Bool
    var shape: [Int] { Array(tensor.shape.suffix(2)) }

    /// - Parameter transpose: whether the matrix is wanted transposed.
    package init(_ source: Tensor, _ transpose: Bool) {
        let (row, column) = (source.strides[source.rank - 2], source.strides[source.rank - 1])
        let (rows, columns) = (source.shape[source.rank - 2], source.shape[source.rank - 1])
        let dense = (column == 1 || columns == 1) && (row >= columns || rows == 1)
        let swapped = (row == 1 || rows == 1) && (column >= rows || columns == 1)
        tensor = (dense || swapped ? source : source.contiguous()).detached()
        isTransposed = (dense || !swapped) ? transpose : !transpose
    }

    /// The matrix of a view of two axes.
    package var operand: BLAS.Operand { operand(tensor.basePointer) }

    /// The matrix that starts at `pointer`.
    func operand(_ pointer: UnsafePointer<Float>) -> BLAS.Operand {
        let (row, column) = (tensor.strides[tensor.rank - 2], tensor.strides[tensor.rank - 1])
        let (rows, columns) = (tensor.shape[tensor.rank - 2], tensor.shape[tensor.rank - 1])
        let isDense = (column == 1 || columns == 1) && (row >= columns || rows == 1)
        return BLAS.Operand(
            pointer, stride: isDense ? max(rows == 1 ? columns : row, 1) : max(columns == 1 ? rows : column, 1),
            transposed: isTransposed)
    }
}
