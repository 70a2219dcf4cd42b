import NN
import Tensors

/// The masked language model of BERT (Devlin et al., 1810.04805, section 3.1), with which Linformer was trained: of the
/// tokens chosen to be predicted, 80 % are replaced by the mask token, 10 % by any token, and 10 % stay as they are.
public struct MaskedTokens: Sendable, Hashable {
    /// The token that hides others; all smaller ones are text.
    public var maskToken: Int32
    /// The share of tokens to predict.
    public var share: Double

    /// Creates the objective.
    /// - Parameters:
    /// - maskToken: takes the place of a masked token.
    /// - share: of the tokens that are to be predicted.
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
