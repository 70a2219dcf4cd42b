import Tensors

// The plain form of sliding-window attention (Rae and Razavi, https://aclanthology.org/2020.acl-main.672; Roy et al.,
// 2003.05997, section 4.1), as local-attention writes it: queries in windows, keys and values in the windows around them.
//
// b batch, h heads, n tokens, d columns of queries and keys, e columns of values, W tokens in a window, m windows of the
// sequence, c = (1 + backward + forward) · W places of keys that a query's windows have

/// Computes softmax(scale · q kᵀ + bias) v over the keys that each query sees, in ordinary operations.
///
/// - Parameters:
///   - q, k: [b, h, n, d]; v: [b, h, n, e].
///   - options: checked.
/// - Returns: [b, h, n, e].
func plainWindowAttention(_ q: Tensor, _ k: Tensor, _ v: Tensor, options: WindowAttentionOptions) -> Tensor {
    let (b, h, n, pattern) = (q.shape[0], q.shape[1], q.shape[2], options.pattern)
    let c = pattern.window * pattern.windows
    if q.count == 0 { return v * 0 }
    var keys = around(windows(k, pattern), pattern)  // [b, h, m, c, d]
    if let factors = options.windowFactors { keys = keys * repeated(factors, pattern.window) }
    var scores = matrixProduct(windows(q, pattern), keys, transposeB: true) * options.scale  // [b, h, m, W, c]
    if options.attendsSelfLast { scores = select(ownPlaces(pattern), -5e4, scores) }
    if let bias = options.bias { scores = added(bias.tables(pattern), to: scores) }
    scores = tokens(scores, n)  // [b, h, n, c]

    var visible = visiblePlaces(pattern, n).expanded(to: scores.shape)
    if let mask = options.mask {
        let ofKeys = windows(perHead(mask, b, h).unsqueezed(-1), pattern)  // [b, h, m, W, 1]
        let ofPlaces = around(ofKeys, pattern, outside: 0).transposed()  // [b, h, m, 1, c]
        visible = visible * tokens(ofPlaces.expanded(to: [b, h, ofPlaces.shape[2], pattern.window, c]), n)
    }
    // A query that sees nothing has equal scores: it gets the mean of its places, −1 outside the sequence, and no dropout.
    let weights = softmax(select(visible, scores, Tensor(-Float.greatestFiniteMagnitude)))
    let seesSome = visible.sum(axes: [-1], keepAxes: true) .> 0
    let kept = select(seesSome, dropout(weights, probability: options.dropout, key: options.key), weights)
    return tokens(matrixProduct(windows(kept, pattern), around(windows(v, pattern), pattern)), n)  // [b, h, n, e]
}

// MARK: Windows

/// Cuts a sequence into windows, the last filled with zeros. x: [b, h, n, d] → [b, h, m, W, d].
private func windows(_ x: Tensor, _ pattern: WindowPattern) -> Tensor {
    let (n, w) = (x.shape[2], pattern.window)
    let m = (n + w - 1) / w
    return x.padded(axis: 2, after: m * w - n).reshaped([x.shape[0], x.shape[1], m, w, x.shape[3]])
}

/// Joins windows to a sequence of n tokens. x: [b, h, m, W, d] → [b, h, n, d].
private func tokens(_ x: Tensor, _ n: Int) -> Tensor {
    x.reshaped([x.shape[0], x.shape[1], x.shape[2] * x.shape[3], x.shape[4]]).sliced(2, to: n)
}

/// Joins each window to those before and after that its queries see. x: [b, h, m, W, d] → [b, h, m, c, d].
private func around(_ x: Tensor, _ pattern: WindowPattern, outside: Float = -1) -> Tensor {
    let (m, back, forward) = (x.shape[2], pattern.lookBackward, pattern.lookForward)
    let all = x.padded(axis: 2, before: back, after: forward, value: outside)
    return concatenate((0..<pattern.windows).map { all.sliced(2, from: $0, to: $0 + m) }, axis: 3)
}

/// Repeats each row W times. x: [windows, d] → [c, d].
private func repeated(_ x: Tensor, _ w: Int) -> Tensor {
    x.unsqueezed(1).expanded(to: [x.shape[0], w, x.shape[1]]).reshaped([x.shape[0] * w, x.shape[1]])
}

// MARK: Bias and masks

/// Adds a bias that H heads have to the scores of b · h sequences, H dividing them. bias: [H, W, c]; scores: [b, h, m, W, c].
private func added(_ bias: Tensor, to scores: Tensor) -> Tensor {
    let (heads, shape) = (bias.shape[0], scores.shape)
    let grouped = scores.reshaped([shape[0] * shape[1] / heads, heads] + shape.dropFirst(2))
    return (grouped + bias.unsqueezed(1)).reshaped(shape)
}

/// Gives each head the mask of its batch row. mask: [r, n], r dividing b · h → [b, h, n].
private func perHead(_ mask: Tensor, _ b: Int, _ h: Int) -> Tensor {
    let (r, n) = (mask.shape[0], mask.shape[1])
    return mask.unsqueezed(1).expanded(to: [r, b * h / r, n]).reshaped([b, h, n])
}

extension WindowBias {
    /// The bias of a query's place in its window and a key's place in the windows around. Returns [H, W, c].
    fileprivate func tables(_ pattern: WindowPattern) -> Tensor {
        guard case .byDistance(let values, let origin) = self else { return self.values }
        let (w, c, last) = (pattern.window, pattern.window * pattern.windows, values.shape[1] - 1)
        let elements = (0..<w).flatMap { i in
            (0..<c).map { j in Int32(min(max(origin + j - pattern.lookBackward * w - i, 0), last)) }
        }
        return values.taking(TokenTensor(elements, shape: [w, c]), axis: 1)
    }
}

/// 1 where a key's place is the query's own, else 0: [W, c].
private func ownPlaces(_ pattern: WindowPattern) -> Tensor {
    let (w, c) = (pattern.window, pattern.window * pattern.windows)
    return Tensor(
        (0..<w).flatMap { i in (0..<c).map { j in j - pattern.lookBackward * w == i ? 1 : 0 } }, shape: [w, c])
}

/// 1 where a query sees the token in a place of its windows, else 0: [n, c].
private func visiblePlaces(_ pattern: WindowPattern, _ n: Int) -> Tensor {
    let (w, c) = (pattern.window, pattern.window * pattern.windows)
    let elements: [Float] = (0..<n).flatMap { query in
        (0..<c).map { place in
            let key = (query / w - pattern.lookBackward) * w + place
            return (0..<n).contains(key) && sees(query, key, pattern) ? 1 : 0
        }
    }
    return Tensor(elements, shape: [n, c])
}

/// Returns true if a query sees a key of its windows: by definition, so that the fused form's ranges are compared with
/// it.
private func sees(_ query: Int, _ key: Int, _ pattern: WindowPattern) -> Bool {
    if pattern.isCausal && key > query { return false }
    if !pattern.isExact { return true }
    let w = pattern.window
    return query - key <= w * pattern.lookBackward && (pattern.isCausal || key - query <= w * pattern.lookForward)
}
