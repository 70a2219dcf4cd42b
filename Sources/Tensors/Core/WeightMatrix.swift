/// A matrix that inputs are multiplied by, or rows are taken from: floats, or rounded for inference.
public enum WeightMatrix: Sendable {
    /// [rows, columns]
    case float(Tensor)
    case rounded(RoundedMatrix)

    /// [rows, columns]
    public var shape: [Int] {
        switch self {
        case .float(let tensor): tensor.shape
        case .rounded(let matrix): matrix.shape
        }
    }

    /// The tensors that a gradient may flow to.
    var inputs: [Tensor] { if case .float(let tensor) = self { [tensor] } else { [] } }

    /// The matrix where it is of floats. A backward pass has no other: operations that record gradients refuse it.
    public var tensor: Tensor {
        switch self {
        case .float(let tensor): return tensor
        case .rounded(let matrix):
            fatalError("WeightMatrix.tensor: the weight \(matrix.shape) is rounded to \(matrix.format.rawValue)")
        }
    }

    /// The right-hand side of x Wᵀ; valid while the matrix is alive.
    var transposed: BLAS.Operand {
        switch self {
        case .float(let tensor): BLAS.Operand(tensor.pointer, stride: tensor.shape[1], transposed: true)
        case .rounded(let matrix): BLAS.Operand(matrix.view)
        }
    }

    /// The same matrix with dense memory. Stops where an operation that records gradients is given a rounded one.
    func checked(_ operation: @autoclosure () -> String) -> WeightMatrix {
        switch self {
        case .float(let tensor): return .float(tensor.contiguous())
        case .rounded(let matrix):
            require(
                !Recording.isOn,
                "\(operation()): the weight \(matrix.shape) is rounded to \(matrix.format.rawValue) and has no gradient; "
                    + "expected a call inside withoutGradients")
            return self
        }
    }
}
