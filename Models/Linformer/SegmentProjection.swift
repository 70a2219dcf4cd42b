import NN
import Tensors

// The projection of finished segments to slots: Linformer's K̄ = E K (2006.04768, equation 7), with E for the tokens of one
// segment instead of the whole sequence, and Long-Short Transformer's dynamic projection (2107.02192, equations 3 and 6).
//
// b batch, h heads, n tokens, d columns of a head, l tokens of a segment, c = ⌊n / l⌋ finished segments, r slots of each

/// The method that makes r slots of the l tokens of a segment.
public enum SegmentProjection: Sendable {
    /// Weights from the tokens themselves, P = softmax over a segment's tokens of these scores (X W_p), [b, n, h, r].
    case dynamic(scores: Tensor)
    /// E for all segments: [r, l], or [h, r, l] with one for each head.
    case learnable(Tensor)
    /// A convolution with kernel and stride l, each head's columns mixed as in Linformer's: weight [r · d, d, l], a slot's
    /// columns together, and bias [r · d].
    case convolution(weight: Tensor, bias: Tensor?)
    /// The means of r equal parts of a segment, r dividing l.
    case mean(slots: Int)
}

/// Projects each finished segment to r slots a head; tokens after the last finished one are in none.
///
/// - Parameters:
///   - x: keys or values, [b, n, h, d].
///   - segmentLength: l.
///   - mask: 1 for tokens that take part, else 0, [b, n]: masked ones are left out of sums, means and softmax. What is left of
///     a segment without any is 0 (or a convolution's bias); `segmentMask` hides it.
/// - Returns: [b, c · r, h, d].
public func projectSegments(
    _ x: Tensor, _ projection: SegmentProjection, segmentLength l: Int, mask: Tensor? = nil,
    implementation: Implementation = .fused
) -> Tensor {
    checkSegments(x, projection, length: l, mask: mask)
    let (b, h, d, c) = (x.shape[0], x.shape[2], x.shape[3], x.shape[1] / l)
    if b * c == 0 { return .zeros([b, c * projection.slots(columns: d), h, d]) }
    let taking = mask.map { inSegments($0, l).reshaped([b, c, 1, 1, l]) }
    guard let weights = projection.weights(l, taking) else {
        return convolvedSegments(x, projection, length: l, mask: taking)
    }
    return implementation == .fused ? fusedSegmentSums(weights, x) : plainSegmentSums(weights, x)
}

/// Tells which finished segments have tokens that take part. mask: [b, n]. Returns 1 or 0, [b, c].
public func segmentMask(_ mask: Tensor, segmentLength l: Int) -> Tensor {
    require(
        mask.rank == 2 && l >= 1, "segmentMask: mask \(mask.shape), segment length \(l); expected [b, n], at least 1")
    let c = mask.shape[1] / l
    return mask.part(1, 0..<c * l).reshaped([mask.shape[0], c, l]).sum(axes: [2]) .> 0
}

/// The plain form of `fusedSegmentSums`: Σ over a segment's tokens of P x. Returns [b, c · r, h, d].
func plainSegmentSums(_ weights: Tensor, _ x: Tensor) -> Tensor {
    slotRows(matrixProduct(weights, headsOfSegments(x, weights.shape[weights.rank - 1])))  // [b, c, h, r, d]
}

/// Multiplies each segment by the kernel, in either form. mask: [b, c, 1, 1, l].
private func convolvedSegments(_ x: Tensor, _ projection: SegmentProjection, length l: Int, mask: Tensor?) -> Tensor {
    guard case .convolution(let weight, let bias) = projection else { return x }
    let (b, h, d, c) = (x.shape[0], x.shape[2], x.shape[3], x.shape[1] / l)
    let segments = headsOfSegments(x, l)
    let seen = mask.map { segments * $0.transposed() } ?? segments
    let kernel = weight.permuted([0, 2, 1]).reshaped([weight.shape[0], l * d])
    let y = linear(seen.reshaped([b, c, h, l * d]), weight: kernel, bias: bias)  // [b, c, h, r · d]
    return slotRows(y.reshaped([b, c, h, weight.shape[0] / d, d]))
}

/// [b, n, h, d] → [b, c, h, l, d]
private func headsOfSegments(_ x: Tensor, _ l: Int) -> Tensor { inSegments(x, l).permuted([0, 1, 3, 2, 4]) }

/// [b, c, h, r, d] → [b, c · r, h, d]
private func slotRows(_ y: Tensor) -> Tensor {
    let (b, c, h, r, d) = (y.shape[0], y.shape[1], y.shape[2], y.shape[3], y.shape[4])
    return y.permuted([0, 1, 3, 2, 4]).reshaped([b, c * r, h, d])
}

/// Cuts off the unfinished segment: [b, n, any] → [b, c, l, any].
private func inSegments(_ x: Tensor, _ l: Int) -> Tensor {
    let c = x.shape[1] / l
    return x.part(1, 0..<c * l).reshaped([x.shape[0], c, l] + x.shape.dropFirst(2))
}

extension SegmentProjection {
    /// r
    func slots(columns d: Int) -> Int {
        switch self {
        case .dynamic(let scores): scores.shape[3]
        case .learnable(let e): e.shape[e.rank - 2]
        case .convolution(let weight, _): weight.shape[0] / max(d, 1)
        case .mean(let slots): slots
        }
    }

    /// Makes the weight of each token in each slot, P, broadcastable to [b, c, h, r, l]; nil for a convolution, which has a kernel.
    /// - Parameter mask: [b, c, 1, 1, l].
    fileprivate func weights(_ l: Int, _ mask: Tensor?) -> Tensor? {
        switch self {
        case .dynamic(let scores):
            let scores = inSegments(scores, l).permuted([0, 1, 3, 4, 2])  // [b, c, h, r, l]
            guard let mask else { return softmax(scores) }
            let seen = mask.expanded(to: scores.shape)
            return softmax(select(seen, scores, -1e30)) * seen
        case .learnable(let e): return mask.map { e * $0 } ?? e
        case .mean(let r):
            let part = l / r
            let parts = Tensor((0..<r).flatMap { slot in (0..<l).map { $0 / part == slot ? 1 : 0 } }, shape: [r, l])
            guard let mask else { return parts / Float(part) }
            let taken = parts * mask
            return taken / maximum(taken.sum(axes: [-1], keepAxes: true), Tensor(1))
        case .convolution: return nil
        }
    }
}

private func checkSegments(_ x: Tensor, _ projection: SegmentProjection, length l: Int, mask: Tensor?) {
    require(
        x.rank == 4 && l >= 1, "projectSegments: x \(x.shape), segment length \(l); expected [b, n, h, d], at least 1")
    let (b, n, h, d) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    switch projection {
    case .dynamic(let scores):
        require(
            scores.rank == 4 && Array(scores.shape.prefix(3)) == [b, n, h] && scores.shape[3] > 0,
            "projectSegments: scores \(scores.shape) for x \(x.shape); expected [\(b), \(n), \(h), slots]")
    case .learnable(let e):
        require(
            (e.rank == 2 || e.rank == 3 && e.shape[0] == h) && e.shape[e.rank - 1] == l && e.shape[e.rank - 2] > 0,
            "projectSegments: E \(e.shape) for x \(x.shape); expected [slots, \(l)] or [\(h), slots, \(l)]")
    case .convolution(let weight, let bias):
        require(
            weight.rank == 3 && weight.shape[0] > 0 && weight.shape[0].isMultiple(of: d)
                && Array(weight.shape.suffix(2)) == [d, l] && (bias == nil || bias!.shape == [weight.shape[0]]),
            "projectSegments: convolution \(weight.shape), bias \(bias?.shape ?? []) for x \(x.shape); expected "
                + "[slots · \(d), \(d), \(l)] and [slots · \(d)]")
    case .mean(let slots):
        require(
            slots >= 1 && l.isMultiple(of: slots),
            "projectSegments: means of \(slots) parts of a segment of \(l) tokens; expected equal parts")
    }
    require(
        mask == nil || mask!.shape == [b, n], "projectSegments: mask \(mask?.shape ?? []); expected [\(b), \(n)]")
}
