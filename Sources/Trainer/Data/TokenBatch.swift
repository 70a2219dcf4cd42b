import NN
import Tensors

/// Inputs and targets of one step, the target of each token being the token after it.
///
/// A row holds tokens of one document. Where that ends before the row does, inputs are 0 and targets `ignoredTarget`.
public struct TokenBatch: Sendable, Equatable {
    /// `[batch, length]`, row after row.
    public internal(set) var inputs: [Int32]
    /// `[batch, length]`, row after row.
    public internal(set) var targets: [Int32]
    /// `[batch, length]`.
    public let shape: [Int]
    /// True for each row that does not continue the same row of the batch before, so that a state carried from there
    /// must be dropped.
    public let startsDocument: [Bool]
    /// The number of tokens of a text that the rows stand for, padding left out: they are predicted, or from among them
    /// what is predicted was chosen.
    public let textCount: Int
    /// The number of targets that count.
    public var targetCount: Int { targets.count { $0 != ignoredTarget } }

    /// A row to be made.
    struct Row {
        /// Inputs and targets together: the first is no target, the last no input. Empty for a row of padding.
        var tokens: Range<Int>
        var startsDocument: Bool
    }

    /// - Throws: `InputError` that names the text when it cannot be read any more.
    init(_ source: TokenSource, rows: [Row], length: Int) throws {
        shape = [rows.count, length]
        var inputs: [Int32] = []
        var targets: [Int32] = []
        inputs.reserveCapacity(rows.count * length)
        targets.reserveCapacity(rows.count * length)
        for row in rows {
            let tokens = try source[row.tokens]
            let padding = length - max(0, tokens.count - 1)
            inputs += tokens.dropLast()
            inputs += repeatElement(0, count: padding)
            targets += tokens.dropFirst()
            targets += repeatElement(ignoredTarget, count: padding)
        }
        self.inputs = inputs
        self.targets = targets
        startsDocument = rows.map(\.startsDocument)
        textCount = rows.reduce(0) { $0 + max(0, $1.tokens.count - 1) }
    }

    /// Creates a batch of examples that are made from something else than a text, or from windows of one.
    /// - Parameters:
    ///   - inputs: `[batch, length]`, row after row.
    ///   - targets: the token that each position is to predict, `ignoredTarget` where none counts.
    ///   - startsDocument: whether each row begins; nil where all do.
    ///   - textCount: the number of tokens that the metrics count; nil for the targets that count.
    public init(
        inputs: [Int32], targets: [Int32], shape: [Int], startsDocument: [Bool]? = nil, textCount: Int? = nil
    ) {
        require(
            shape.count == 2 && startsDocument?.count ?? shape[0] == shape[0] && inputs.count == shape[0] * shape[1]
                && targets.count == inputs.count,
            "TokenBatch: \(inputs.count) inputs and \(targets.count) targets for the shape \(shape)")
        (self.inputs, self.targets, self.shape) = (inputs, targets, shape)
        self.startsDocument = startsDocument ?? Array(repeating: true, count: shape[0])
        self.textCount = textCount ?? targets.count { $0 != ignoredTarget }
    }

    /// Creates a batch of sequences, in which each token's target is the token after it. Shorter rows are padded.
    /// - Parameter rows: at least one, of two tokens or more each.
    public init(rows: [[Int32]]) {
        require(
            !rows.isEmpty && rows.allSatisfy { $0.count >= 2 },
            "TokenBatch: rows of \(rows.map(\.count)) tokens; expected some, of at least 2 each")
        let length = rows.map(\.count).max()! - 1
        func padded(_ tokens: ArraySlice<Int32>, with padding: Int32) -> [Int32] {
            Array(tokens) + repeatElement(padding, count: length - tokens.count)
        }
        self.init(
            inputs: rows.flatMap { padded($0.dropLast(), with: 0) },
            targets: rows.flatMap { padded($0.dropFirst(), with: ignoredTarget) }, shape: [rows.count, length])
    }

    /// Windows of `length + 1` tokens, one from each of `starts`.
    init(_ source: TokenSource, starts: [Int], length: Int) throws {
        let rows = starts.map { Row(tokens: $0..<$0 + length + 1, startsDocument: true) }
        try self.init(source, rows: rows, length: length)
    }
}
