import CKernels
import Tensors

extension OptimizerOptions {
    /// The moments kept for a parameter of a shape, by the names they are saved under.
    func moments(of shape: [Int]) -> [(name: String, shape: [Int])] {
        switch kind {
        case .adam, .adamW: [("first_moment", shape), ("second_moment", shape)]
        case .sgd: momentum > 0 ? [("momentum", shape)] : []
        case .adafactor:
            shape.count < 2
                ? [("second_moment", shape)]
                : [
                    ("row_moment", shape.dropLast() + [1]),
                    ("column_moment", shape.dropLast(2) + [1, shape[shape.count - 1]]),
                ]
        }
    }

    /// The number of floats kept for a parameter of a shape.
    func momentCount(of shape: [Int]) -> Int {
        moments(of: shape).reduce(0) { $0.plusClamped(Int.clampedProduct($1.shape)) }
    }
}

extension Tensor {
    /// The root of the mean square of all elements, summed in float64; 0 of none.
    var rootMeanSquare: Double {
        let dense = contiguous()
        return dense.count == 0 ? 0 : (az_sum_squares(dense.count, dense.pointer) / Double(dense.count)).squareRoot()
    }
}
