import CKernels

/// Each element 0 with the given probability, the others divided by 1 − probability (Srivastava et al. 2014).
///
/// The mask is a function of the key and the element's number: the backward pass draws it again instead of storing it.
/// Without a key (inference) or with probability 0 this is the identity.
public func dropout(_ x: Tensor, probability: Float, key: RandomKey?) -> Tensor {
    require(probability >= 0 && probability <= 1, "dropout: probability \(probability); expected 0 to 1")
    guard let key, probability > 0 else { return x }
    return .record("dropout", dropped(x, probability, key), (x, { dropped($0, probability, key) }))
}

private func dropped(_ input: Tensor, _ probability: Float, _ key: RandomKey) -> Tensor {
    let x = input.contiguous()
    let y = Tensor(uninitialized: x.shape)
    parallelRanges(x.count, grain: elementGrain) {
        let i = $0.lowerBound
        az_dropout($0.count, probability, key.value, UInt64(i), x.pointer + i, y.mutablePointer + i)
    }
    return y
}
