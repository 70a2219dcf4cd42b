import CKernels

/// The mean of −log softmax(logits)[target] over all targets that are not `ignoreIndex`; 0 / 0 = NaN where all are (and a
/// gradient of 0), as in PyTorch. The gradient is computed in the same pass.
///
/// logits: [..., classes]; targets: [...]. Returns a scalar.
public func crossEntropy(_ logits: Tensor, _ targets: TokenTensor, ignoreIndex: Int32? = nil) -> Tensor {
    let x = logits.contiguous()
    let classes = x.shape.last ?? 0
    require(
        x.rank >= 1 && Array(x.shape.dropLast()) == targets.shape,
        "crossEntropy: logits \(x.shape) and targets \(targets.shape)")
    let ignored = ignoreIndex ?? Int32.min
    let counted = targets.values.reduce(0) { $0 + ($1 == ignored ? 0 : 1) }
    for target in targets.values where target != ignored {
        require(target >= 0 && target < classes, "crossEntropy: target \(target) of \(classes) classes")
    }
    let rows = targets.count
    let losses = Tensor(uninitialized: [rows])
    let needsGradient = Tensor.records([x])
    let difference: Tensor? = needsGradient ? Tensor(uninitialized: x.shape) : nil
    let (px, pl, pd) = (x.pointer, losses.mutablePointer, difference?.mutablePointer)
    targets.values.withUnsafeBufferPointer { buffer in
        let pt = buffer.baseAddress
        parallelRanges(rows, grain: max(1, elementGrain / max(classes, 1))) {
            let i = $0.lowerBound
            az_cross_entropy(
                $0.count, classes, ignored, px + i * classes, pt! + i, pl + i, pd.map { $0 + i * classes })
        }
    }
    let mean = Tensor(Float(losses.values.reduce(0.0) { $0 + Double($1) } / Double(counted)))
    guard let difference else { return mean }
    return .record("crossEntropy", mean, inputs: [x]) { gradient, slots in
        // As large as the logits: scaled where it lies, which nobody else sees.
        let factor = gradient.item / Float(Swift.max(counted, 1))
        let target = difference.mutablePointer
        parallelRanges(difference.count, grain: elementGrain) { range in
            az_scale(range.count, factor, target + range.lowerBound, target + range.lowerBound)
        }
        slots[0].add(difference)
    }
}
