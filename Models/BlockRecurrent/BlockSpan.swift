/// The tokens of a segment that lie in one block.
struct BlockSpan: Sendable, Equatable {
    /// Their places in the segment.
    let tokens: Range<Int>
    /// Tokens of the block that were read before this segment.
    let offset: Int

    /// True where the block ends with them.
    func isComplete(_ width: Int) -> Bool { offset + tokens.count == width }

    /// Cuts n tokens into blocks, of which the first continues one of `offset` tokens.
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
