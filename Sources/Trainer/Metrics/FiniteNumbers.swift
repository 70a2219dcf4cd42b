import CKernels
import NN
import Tensors

// The search for numbers that are not finite, and the message about them.

extension Tensor {
    /// The first element that is infinite or no number.
    package var firstNotFinite: Float? {
        let dense = contiguous()
        return withExtendedLifetime(dense) {
            let place = az_first_not_finite(dense.count, dense.pointer)
            return place < dense.count ? dense.pointer[place] : nil
        }
    }
}

extension Module {
    /// The first tensor of the weights, trained or not, that holds a number which is not finite, and that number: such as
    /// "to_logits.weight holds nan". nil where all are finite.
    public var firstWeightNotFinite: String? {
        for (key, parameter) in state {
            if let value = parameter.floats().detached().firstNotFinite { return "\(key) holds \(value.unsigned)" }
        }
        return nil
    }
}

extension BinaryFloatingPoint {
    /// The number for people: NaN has a sign that says nothing.
    package var unsigned: Self { isNaN ? .nan : self }
}

extension Double {
    /// The number as `format` writes it, or in words: infinite, not a number.
    package func text(_ format: String = "%g") -> String {
        if isNaN { return "not a number" }
        return isFinite ? String(format: format, self) : self < 0 ? "minus infinite" : "infinite"
    }
}
