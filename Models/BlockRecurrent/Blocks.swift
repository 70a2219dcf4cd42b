import Tensors

// Where a segment's tokens lie in blocks, and which blocks are worked on together.

/// The tokens of a segment that lie in one block.
struct BlockSpan: Sendable, Equatable {
    /// Counted from the segment's first.
    let tokens: Range<Int>
    /// Tokens of the block that were read before this segment.
    let offset: Int

    /// Whether nothing of the block is missing at the end.
    func isComplete(_ width: Int) -> Bool { offset + tokens.count == width }

    /// The blocks of n tokens, of which the first continues one of `offset` tokens.
    static func spans(of n: Int, offset: Int, width: Int) -> [BlockSpan] {
        var spans: [BlockSpan] = []
        var start = 0
        while start < n {
            let before = start == 0 ? offset : 0
            let end = min(n, start + width - before)
            spans.append(BlockSpan(tokens: start..<end, offset: before))
            start = end
        }
        return spans
    }
}

/// Cuts 0 ..< count where neighbours cannot be worked on together.
func runs(_ count: Int, _ together: (_ index: Int, _ next: Int) -> Bool) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    var start = 0
    for index in 0..<count where index + 1 == count || !together(index, index + 1) {
        runs.append(start..<index + 1)
        start = index + 1
    }
    return runs
}

extension Tensor {
    /// The tokens of neighbouring blocks as a batch. [b, n, …] → [b · blocks, tokens of a block, …]
    func blocks(_ spans: ArraySlice<BlockSpan>) -> Tensor {
        guard let first = spans.first, let last = spans.last else { return self }
        let part = sliced(1, from: first.tokens.lowerBound, to: last.tokens.upperBound)
        return part.reshaped([shape[0] * spans.count, first.tokens.count] + shape.dropFirst(2))
    }

    /// Back again. [b · blocks, tokens, …] → [b, n, …]
    func unblocked(batch: Int) -> Tensor { reshaped([batch, -1] + shape.dropFirst(2)) }
}
