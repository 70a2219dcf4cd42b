import Tensors

/// Numbers between −1 and 1.
func sample(_ shape: [Int], seed: UInt64) -> Tensor {
    .uniform(shape, low: -1, high: 1, key: RandomKey(seed: seed))
}

/// The largest difference of an operation's value and gradients from a reference's, relative to the largest of each;
/// infinite where shapes differ or something is not a number.
/// - Parameters:
///   - inputs, others: what gradients are wanted of, in the same order on both sides.
///   - seed: the gradient of the value.
func relativeError(
    of value: Tensor, _ inputs: [Tensor], from reference: Tensor, _ others: [Tensor], seed: Tensor
) -> Float {
    let (first, second) = (gradients(of: value, seed: seed), gradients(of: reference, seed: seed))
    let pairs = [(value, reference)] + zip(inputs, others).map { (first[$0]!, second[$1]!) }
    return pairs.map { got, expected in
        guard got.shape == expected.shape else { return .infinity }
        let largest = expected.values.reduce(0) { max($0, abs($1)) }
        let off = zip(got.values, expected.values).map { abs($0 - $1) }
        return off.contains { $0.isNaN } ? .infinity : (off.max() ?? 0) / largest
    }.max()!
}
