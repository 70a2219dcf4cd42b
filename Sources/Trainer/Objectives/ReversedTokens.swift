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
    /// What ends the window and begins its reversal; all smaller tokens are text.
    public var startToken: Int32
    /// The share of training windows of which only a beginning of random length is reversed, each length as likely: a model
    /// that has seen windows of one length alone does not learn to look where a shorter one ends.
    public var shortenedShare: Double

    public init(startToken: Int32, shortenedShare: Double = 0.5) {
        require(
            startToken > 0 && shortenedShare >= 0 && shortenedShare <= 1,
            "ReversedTokens: start token \(startToken), shortened share \(shortenedShare)")
        (self.startToken, self.shortenedShare) = (startToken, shortenedShare)
    }

    /// Rows of twice the length, [b, 2 · length], each an example of its own, padded with inputs 0 and targets
    /// `ignoredTarget`. Every row has one start token and at least one token before it, which is 0 where a row holds no
    /// text.
    /// - Parameter key: what is shortened is drawn from it and from the number of each row; nil reverses everything.
    func reversed(_ batch: TokenBatch, key: RandomKey? = nil) -> TokenBatch {
        let (rows, length) = (batch.shape[0], batch.shape[1])
        var inputs = [Int32](repeating: 0, count: rows * 2 * length)
        var targets = [Int32](repeating: ignoredTarget, count: inputs.count)
        for row in 0..<rows {
            let window = row * length..<(row + 1) * length
            let whole = batch.targets[window].prefix { $0 != ignoredTarget }.count
            let tokens = batch.inputs[window].prefix(key.map { shortened(whole, $0.child(row)) } ?? whole)
            let start = row * 2 * length + max(tokens.count, 1)
            inputs.replaceSubrange(start - max(tokens.count, 1)..<start, with: tokens.isEmpty ? [0] : tokens)
            inputs[start] = startToken
            inputs.replaceSubrange(start + 1..<start + max(tokens.count, 1), with: tokens.dropFirst().reversed())
            targets.replaceSubrange(start..<start + tokens.count, with: tokens.reversed())
        }
        return TokenBatch(
            inputs: inputs, targets: targets, shape: [rows, 2 * length],
            startsDocument: [Bool](repeating: true, count: rows), textCount: targets.count { $0 != ignoredTarget })
    }

    private func shortened(_ count: Int, _ key: RandomKey) -> Int {
        var generator = SplitMix64(seed: key.value)
        let bound = 1 << 32
        guard count > 0, Double(generator.next(below: bound)) < shortenedShare * Double(bound) else { return count }
        return 1 + generator.next(below: count)
    }
}
