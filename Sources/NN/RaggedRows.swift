import Tensors

/// The rows of several sequences of unequal length, one after another: how decoding appends tokens to all of them at once.
public struct RaggedRows: Sendable {
    /// The tokens of all rows.
    public let tokens: TokenTensor
    /// The rows of each sequence.
    public let spans: [Range<Int>]

    /// - Parameters:
    ///   - sequences: the tokens of each sequence, at least one.
    ///   - states: how many states there are for them.
    public init(_ sequences: [[Int32]], states: Int, _ model: String) {
        require(
            sequences.count == states && sequences.allSatisfy { !$0.isEmpty },
            "\(model).decode: \(sequences.count) sequences for \(states) states, each of at least one token")
        tokens = TokenTensor(sequences.flatMap { $0 })
        var spans: [Range<Int>] = []
        for sequence in sequences {
            let first = spans.last?.upperBound ?? 0
            spans.append(first..<first + sequence.count)
        }
        self.spans = spans
    }

    /// The last row of each sequence. x: [rows, d] → [sequences, d]
    public func last(_ x: Tensor) -> Tensor {
        concatenate(spans.map { x.sliced(0, from: $0.upperBound - 1, to: $0.upperBound) })
    }
}
