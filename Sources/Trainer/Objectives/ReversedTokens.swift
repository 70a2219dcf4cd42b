import NN
import Tensors

/// The task of reproducing a sequence reversed, which needs memory of all of it and of every position, and which an
/// encoder–decoder or a causal model can learn.
///
/// The row of a window x of m tokens, S being the start token, and – a target that does not count:
///
///     inputs   x₀ x₁ … xₘ₋₁  S    xₘ₋₁ … x₁
///     targets  –  –  …  –    xₘ₋₁ xₘ₋₂ … x₀
///
/// An encoder–decoder gives its encoder what stands before the start token, and its decoder the rest.
public struct ReversedTokens: Sendable, Hashable {
    /// The token that ends the window and begins its reversal; all smaller tokens are text.
    public var startToken: Int32
    /// The share of training batches in which only a beginning of each window is reversed, as long as is drawn for the batch,
    /// each length as likely: a model that has seen windows of one length alone does not learn to look where a shorter one
    /// ends.
    public var shortenedShare: Double

    /// Creates the objective.
    /// - Parameters:
    /// - startToken: begins the reversal.
    /// - shortenedShare: of the training batches whose windows are shortened.
    public init(startToken: Int32, shortenedShare: Double = 0.5) {
        require(
            startToken > 0 && shortenedShare >= 0 && shortenedShare <= 1,
            "ReversedTokens: start token \(startToken), shortened share \(shortenedShare)")
        (self.startToken, self.shortenedShare) = (startToken, shortenedShare)
    }

    /// Rows of twice the length of the longest, each an example of its own, padded with inputs 0 and targets `ignoredTarget`.
    /// Every row has one start token and at least one token before it, which is 0 where a row holds no text.
    /// - Parameter key: the length of a shortened batch is drawn from it; nil reverses everything.
    func reversed(_ batch: TokenBatch, key: RandomKey? = nil) -> TokenBatch {
        let (rows, length) = (batch.shape[0], batch.shape[1])
        let most = key.map { shortened(length, $0) } ?? length
        let sources = (0..<rows).map { row in
            let window = row * length..<(row + 1) * length
            let count = batch.targets[window].prefix { $0 != ignoredTarget }.count
            return batch.inputs[window].prefix(min(count, most))
        }
        let width = 2 * max(sources.map(\.count).max() ?? 0, 1)
        var inputs: [Int32] = []
        var targets: [Int32] = []
        for source in sources {
            let given = source.isEmpty ? [0] : Array(source)
            let padding = width - 2 * given.count
            inputs += given + [startToken] + given.dropFirst().reversed() + [Int32](repeating: 0, count: padding)
            targets += [Int32](repeating: ignoredTarget, count: given.count) + source.reversed()
            targets += [Int32](repeating: ignoredTarget, count: width - given.count - source.count)
        }
        return TokenBatch(
            inputs: inputs, targets: targets, shape: [rows, width],
            startsDocument: [Bool](repeating: true, count: rows), textCount: sources.reduce(0) { $0 + $1.count })
    }

    private func shortened(_ length: Int, _ key: RandomKey) -> Int {
        var generator = SplitMix64(seed: key.value)
        let bound = 1 << 32
        guard Double(generator.next(below: bound)) < shortenedShare * Double(bound) else { return length }
        return 1 + generator.next(below: length)
    }
}
