import NN
import Tensors

/// What a model learns to predict, by the names that `--objective` takes.
public enum ObjectiveKind: String, CaseIterable, Sendable {
    /// The token after each position; for causal models.
    case nextToken = "next-token"
    /// Hidden tokens from those on both sides.
    case masked

    /// The tokens a model needs to have for it: those of the tokenizer, and one to hide others with.
    public func vocabularySize(of tokenizer: any Tokenizer) -> Int {
        tokenizer.vocabularySize + (self == .masked ? 1 : 0)
    }

    /// The objective for the tokens of a tokenizer.
    public func objective(for tokenizer: any Tokenizer) -> Objective {
        switch self {
        case .nextToken: .nextToken
        case .masked: .masked(MaskedTokens(maskToken: Int32(tokenizer.vocabularySize)))
        }
    }
}

/// What a model learns to predict: turns windows of text into inputs and targets.
public enum Objective: Sendable, Hashable {
    case nextToken
    case masked(MaskedTokens)

    public var kind: ObjectiveKind {
        switch self {
        case .nextToken: .nextToken
        case .masked: .masked
        }
    }

    /// - Parameters:
    ///   - batch: inputs and the token after each, `ignoredTarget` where there is only padding.
    ///   - key: what is hidden is drawn from it, and from the number of each row.
    ///   - firstRow: the number of the first row.
    func examples(of batch: TokenBatch, key: RandomKey, firstRow: Int = 0) -> TokenBatch {
        switch self {
        case .nextToken: batch
        case .masked(let tokens): tokens.hidden(in: batch, key: key, firstRow: firstRow)
        }
    }
}

/// The masked language model of BERT (Devlin et al., 1810.04805, section 3.1), with which Linformer was trained: of the
/// tokens chosen to be predicted, 80 % are replaced by the mask token, 10 % by any token, and 10 % stay as they are.
public struct MaskedTokens: Sendable, Hashable {
    /// What hides a token; all smaller ones are text.
    public var maskToken: Int32
    /// The share of tokens to predict.
    public var share: Double

    public init(maskToken: Int32, share: Double = 0.15) {
        require(share > 0 && share <= 1 && maskToken > 0, "MaskedTokens: share \(share), mask token \(maskToken)")
        (self.maskToken, self.share) = (maskToken, share)
    }

    /// The batch's inputs with some hidden, and these as targets in their own places. At least one of each row is, but of
    /// rows that are all padding. What is hidden of a row does not depend on the others.
    func hidden(in batch: TokenBatch, key: RandomKey, firstRow: Int = 0) -> TokenBatch {
        var inputs = batch.inputs
        var targets = [Int32](repeating: ignoredTarget, count: inputs.count)
        let (rows, length) = (batch.shape[0], batch.shape[1])
        for row in 0..<rows {
            var generator = SplitMix64(seed: key.child(firstRow + row).value)
            let places = (row * length..<(row + 1) * length).filter { batch.targets[$0] != ignoredTarget }
            for place in choose(from: places, &generator) {
                targets[place] = inputs[place]
                switch generator.next(below: 10) {
                case 0..<8: inputs[place] = maskToken
                case 8: inputs[place] = Int32(generator.next(below: Int(maskToken)))
                default: break
                }
            }
        }
        return batch.replacing(inputs: inputs, targets: targets)
    }

    private func choose(from places: [Int], _ generator: inout SplitMix64) -> [Int] {
        guard !places.isEmpty else { return [] }
        let bound = 1 << 32
        let chosen = places.filter { _ in Double(generator.next(below: bound)) < share * Double(bound) }
        return chosen.isEmpty ? [places[generator.next(below: places.count)]] : chosen
    }
}
