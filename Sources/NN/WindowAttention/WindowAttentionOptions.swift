import Tensors

/// A bias that is added to the score of a query and a key, by their positions. H heads are repeated over the batch.
public enum WindowBias: Sendable {
    /// [H, W, (1 + backward + forward) · W]: by the query's place in its window and the key's in the windows seen.
    case byPlace(Tensor)
    /// [H, r]: element origin + j − i is that of query i and key j.
    case byDistance(Tensor, origin: Int)

    var values: Tensor {
        switch self {
        case .byPlace(let values), .byDistance(let values, _): values
        }
    }

    var heads: Int { values.shape[0] }
    var isByPlace: Bool { if case .byPlace = self { true } else { false } }

    /// Returns the offset of the bias of a query and a key from the first element of a head, and the step to that of
    /// the next query with the same key (queries of one window, by place).
    func place(_ query: Int, _ key: Int, _ pattern: WindowPattern) -> (offset: Int, step: Int) {
        switch self {
        case .byPlace(let values):
            let width = values.shape[2]
            return (query % pattern.window * width + key - pattern.slots(query).lowerBound, width)
        case .byDistance(_, let origin): return (origin + key - query, -1)
        }
    }
}

/// The options of sliding-window attention.
public struct WindowAttentionOptions: Sendable {
    /// The windows that a query sees.
    public var pattern: WindowPattern
    /// The factor of the scores.
    public var scale: Float
    /// The bias of the scores; nil for none.
    public var bias: WindowBias?
    /// 1 for keys that take part, else 0: [m, n], m dividing batch × heads. A query whose keys are all masked gets the mean
    /// over all places of its windows, those outside the sequence counting as −1, as in local-attention.
    public var mask: Tensor?
    /// Factors of the queries' columns for each window they look at, from the first to the last: [1 + backward + forward,
    /// d]. With them decay by distance (xpos) needs no copies of keys.
    public var windowFactors: Tensor?
    /// True if a query sees itself only where it sees nothing else (shared queries and keys: Reformer, 2001.04451).
    public var attendsSelfLast = false
    /// The probability with which a weight is dropped, and the key it is drawn from; no dropout without a key.
    public var dropout: Float = 0
    /// The key of dropout; nil for none.
    public var key: RandomKey?

    /// Creates options without bias and dropout.
    public init(_ pattern: WindowPattern, scale: Float) {
        self.pattern = pattern
        self.scale = scale
    }

    /// The same with dense tensors, checked against batch × heads, tokens and columns.
    func checked(_ sequences: Int, _ n: Int, _ d: Int) -> WindowAttentionOptions {
        var result = self
        if let bias {
            let shape = bias.values.shape
            var fits = !shape.isEmpty && shape[0] > 0 && sequences % shape[0] == 0
            switch bias {
            case .byPlace(let values):
                fits = fits && Array(shape.dropFirst()) == [pattern.window, pattern.window * pattern.windows]
                result.bias = .byPlace(values.contiguous())
            case .byDistance(let values, let origin):
                fits = fits && shape.count == 2 && covers(shape.last ?? 0, origin, n)
                result.bias = .byDistance(values.contiguous(), origin: origin)
            }
            require(
                fits,
                "windowAttention: bias \(shape) for \(sequences) sequences of \(n) tokens and windows of "
                    + "\(pattern.window) × \(pattern.windows)")
        }
        if let mask {
            require(
                mask.rank == 2 && mask.shape[1] == n && sequences.isMultiple(of: mask.shape[0]),
                "windowAttention: mask \(mask.shape) for \(sequences) sequences of \(n) tokens")
            result.mask = mask.contiguous()
        }
        if let windowFactors {
            require(
                windowFactors.shape == [pattern.windows, d],
                "windowAttention: window factors \(windowFactors.shape), expected [\(pattern.windows), \(d)]")
            result.windowFactors = windowFactors.contiguous()
        }
        require((0...1).contains(dropout), "windowAttention: dropout \(dropout), expected 0 to 1")
        if key == nil || dropout == 0 { (result.key, result.dropout) = (nil, 0) }
        return result
    }

    /// Returns true if a bias by distance reaches from the farthest key before to the farthest after.
    private func covers(_ length: Int, _ origin: Int, _ n: Int) -> Bool {
        let own = pattern.isExact ? 0 : pattern.window - 1
        let before = min(pattern.lookBackward * pattern.window + own, max(n - 1, 0))
        let after = pattern.isCausal ? 0 : min(pattern.lookForward * pattern.window + own, max(n - 1, 0))
        return origin >= before && length - origin > after
    }

    /// True if a tile of queries must lie in one window.
    var staysInWindow: Bool { windowFactors != nil || bias?.isByPlace == true }
}
