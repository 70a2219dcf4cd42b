import NN
import Tensors

// E (X Wᵀ) = (E X) Wᵀ: where heads share E, it is applied to the input, so that n keys and values are never made.

extension MHAttention {
    /// True where E and F can be applied to the input in place of the keys and values.
    var compressesInput: Bool {
        !configuration.usesFullAttention && !attention.isRecurrent && attention.e.each.count == 1
            && attention.f.each.count == 1 && configuration.method != .convolution
    }

    /// Projects x [b, n, m] to keys and values, [b, k, h, d] each. mask: 1 for the tokens that take part, else 0, [b, n].
    func compressed(_ x: Tensor, mask: Tensor? = nil) -> (keys: Tensor, values: Tensor) {
        let seen = mask.map { x * $0.unsqueezed(-1) } ?? x
        let (e, f) = (attention.e.each[0], attention.f.each[0])
        let ex = projectTokens(e.matrix(0..<x.shape[1]), seen)  // [b, k, m]
        let fx = e.weight === f.weight ? ex : projectTokens(f.matrix(0..<x.shape[1]), seen)
        return (
            split(e.addingBias(linear(ex, weight: toKeys.matrix))),
            split(f.addingBias(linear(fx, weight: toValues.matrix)))
        )
    }
}
