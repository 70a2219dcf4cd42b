import CKernels

/// The mean of −log softmax(logits)[target] over all targets that are not `ignoreIndex`; 0 / 0 = NaN where all are (and a
/// gradient of 0), as in PyTorch. The gradient is computed in the same pass.
///
/// logits: [..., classes]; targets: [...]. Returns a scalar.
public func crossEntropy(_ logits: Tensor, _ targets: TokenTensor, ignoreIndex: Int32? = nil) -> Tensor {
    let x = logits.contiguous()
    let counted = targets.values.count { $0 != ignoreIndex }
    let difference: Tensor? = Tensor.records([x]) ? Tensor(uninitialized: x.shape) : nil
    let losses = crossEntropies(x, targets, ignoreIndex: ignoreIndex, difference: difference)
    let mean = meanLoss(losses, counted: counted)
    guard let difference else { return mean }
    let factor = 1 / Float(max(counted, 1))
    return .record("crossEntropy", mean, inputs: [x]) { gradient, slots in
        slots[0].add(owned: difference, times: gradient.item * factor)
    }
}

/// Computes the loss of each row, whose mean is `crossEntropy`, and its likeliest class (the first of equals; NaN
/// counts as larger than any number). No gradient flows.
///
/// logits: [..., classes]; targets: [...]. Returns losses [...], 0 where the target is `ignoreIndex`, and classes [...].
public func classLosses(
    _ logits: Tensor, _ targets: TokenTensor, ignoreIndex: Int32? = nil
) -> (losses: Tensor, likeliest: TokenTensor) {
    let x = logits.contiguous()
    return (crossEntropies(x, targets, ignoreIndex: ignoreIndex, difference: nil), x.argmax())
}

/// The loss of each row, 0 where its target is `ignoreIndex`.
///
/// - Parameters:
///   - x: dense, [..., classes].
///   - difference: gets softmax(x) − onehot(target), zeros where the target is `ignoreIndex`.
func crossEntropies(_ x: Tensor, _ targets: TokenTensor, ignoreIndex: Int32?, difference: Tensor?) -> Tensor {
    let classes = x.shape.last ?? 0
    require(
        x.rank >= 1 && Array(x.shape.dropLast()) == targets.shape,
        "crossEntropy: logits \(x.shape) and targets \(targets.shape)")
    requireClasses(targets, classes, ignoreIndex: ignoreIndex)
    let losses = Tensor(uninitialized: targets.shape)
    let (px, pl, pd) = (x.pointer, losses.mutablePointer, difference?.mutablePointer)
    targets.values.withUnsafeBufferPointer { buffer in
        let pt = buffer.baseAddress
        parallelRanges(targets.count, grain: max(1, elementGrain / max(classes, 1))) {
            let i = $0.lowerBound
            az_cross_entropy(
                $0.count, classes, ignoreIndex ?? Int32.min, px + i * classes, pt! + i, pl + i,
                pd.map { $0 + i * classes })
        }
    }
    return losses
}

/// The sum of losses over a count, summed in float64.
func meanLoss(_ losses: Tensor, counted: Int) -> Tensor {
    Tensor(Float(losses.values.reduce(0.0) { $0 + Double($1) } / Double(counted)))
}

/// Stops where a target that counts is no class.
func requireClasses(_ targets: TokenTensor, _ classes: Int, ignoreIndex: Int32?) {
    for target in targets.values where target != ignoreIndex {
        require(target >= 0 && target < classes, "crossEntropy: target \(target) of \(classes) classes")
    }
}
