import CKernels

// Losses as functions, with torch.nn.functional's numbers. All but cross-entropy are compositions.

/// The form of a loss: of each element or row, or all of them in one number.
public enum LossReduction: Sendable, Hashable, CaseIterable {
    /// The mean; of cross-entropy over the targets that count.
    case mean
    /// The sum.
    case sum
    /// Each loss by itself.
    case none

    fileprivate func callAsFunction(_ losses: Tensor) -> Tensor {
        switch self {
        case .mean: losses.mean()
        case .sum: losses.sum()
        case .none: losses
        }
    }
}

/// (prediction − target)². Both: the same shape, which is that of the result with `.none`, else `[]`.
public func meanSquaredError(_ predictions: Tensor, _ targets: Tensor, reduction: LossReduction = .mean) -> Tensor {
    requireShape(of: targets, predictions, "meanSquaredError")
    let difference = predictions - targets
    return reduction(difference * difference)
}

/// Huber's loss (1964): d²/2 where the difference d is at most δ, δ (|d| − δ/2) beyond. Both: the same shape, which is that of
/// the result with `.none`, else `[]`.
public func huber(
    _ predictions: Tensor, _ targets: Tensor, delta: Float = 1, reduction: LossReduction = .mean
) -> Tensor {
    requireShape(of: targets, predictions, "huber")
    require(delta > 0, "huber: delta \(delta), expected a number above 0")
    let distance = abs(predictions - targets)
    let limited = distance.clamped(-.infinity, delta)
    return reduction(limited * (distance - limited * 0.5))
}

/// −(w t log σ(z) + (1 − t) log(1 − σ(z))), exact for large logits as well.
///
/// - Parameters:
///   - logits: z, any shape.
///   - targets: t, 0 … 1, of the same shape.
///   - positiveWeight: w, which makes up for positives that are rare.
/// - Returns: the shape of z with `.none`, else `[]`.
public func binaryCrossEntropy(
    _ logits: Tensor, _ targets: Tensor, positiveWeight: Float = 1, reduction: LossReduction = .mean
) -> Tensor {
    requireShape(of: targets, logits, "binaryCrossEntropy")
    let positive = targets * softplus(-logits)
    return reduction((positiveWeight == 1 ? positive : positive * positiveWeight) + (1 - targets) * softplus(logits))
}

/// Cross-entropy with smoothed targets: the target's class has the probability 1 − ε, and all share ε (Szegedy et al.,
/// 1512.00567, section 7). Targets that are `ignoreIndex` have the loss 0 and do not count for the mean.
///
/// - Parameters:
///   - logits: [..., classes].
///   - targets: [...].
///   - labelSmoothing: ε, 0 … 1.
/// - Returns: [...] with `.none`, else `[]`.
public func crossEntropy(
    _ logits: Tensor, _ targets: TokenTensor, ignoreIndex: Int32? = nil, labelSmoothing: Float = 0,
    reduction: LossReduction
) -> Tensor {
    require(
        labelSmoothing >= 0 && labelSmoothing <= 1,
        "crossEntropy: label smoothing \(labelSmoothing), expected a number from 0 to 1")
    let x = logits.contiguous()
    let difference: Tensor? = Tensor.records([x]) ? Tensor(uninitialized: x.shape) : nil
    let losses = crossEntropies(x, targets, ignoreIndex: ignoreIndex, difference: difference)
    if labelSmoothing > 0 {
        smooth(losses, difference, logits: x, targets, ignoreIndex: ignoreIndex, by: labelSmoothing)
    }
    let counted = targets.values.count { $0 != ignoreIndex }
    let result: Tensor =
        switch reduction {
        case .mean: meanLoss(losses, counted: counted)
        case .sum: meanLoss(losses, counted: 1)
        case .none: losses
        }
    guard let difference else { return result }
    return .record("crossEntropy", result, inputs: [x]) { gradient, slots in
        switch reduction {
        case .mean: slots[0].add(owned: difference, times: gradient.item / Float(max(counted, 1)))
        case .sum: slots[0].add(owned: difference, times: gradient.item)
        case .none: slots[0].add(withoutGradients { difference * gradient.unsqueezed(-1) })
        }
    }
}

/// The mean of cross-entropy with smoothed targets; see the form with a reduction.
public func crossEntropy(
    _ logits: Tensor, _ targets: TokenTensor, ignoreIndex: Int32? = nil, labelSmoothing: Float
) -> Tensor {
    crossEntropy(logits, targets, ignoreIndex: ignoreIndex, labelSmoothing: labelSmoothing, reduction: .mean)
}

/// Changes losses and differences in place into those of smoothed targets. With m the mean of a row of logits z:
///
///     loss += ε (z[target] − m)        difference += ε (onehot(target) − 1 / classes)
private func smooth(
    _ losses: Tensor, _ difference: Tensor?, logits: Tensor, _ targets: TokenTensor, ignoreIndex: Int32?,
    by share: Float
) {
    let classes = logits.length(-1)
    let (z, loss, dz) = (logits.pointer, losses.mutablePointer, difference?.mutablePointer)
    parallelRanges(targets.count, grain: max(1, elementGrain / max(classes, 1))) { rows in
        for row in rows where targets.values[row] != ignoreIndex {
            let (start, target) = (row * classes, Int(targets.values[row]))
            var sum: Float = 0
            az_sum(1, classes, 1, z + start, &sum)
            loss[row] += share * (z[start + target] - sum / Float(classes))
            if let dz {
                az_add_scalar(classes, -share / Float(classes), dz + start, dz + start)
                dz[start + target] += share
            }
        }
    }
}

private func requireShape(of targets: Tensor, _ predictions: Tensor, _ operation: String) {
    require(
        targets.shape == predictions.shape,
        "\(operation): predictions \(predictions.shape) and targets \(targets.shape); expected equal shapes")
}
