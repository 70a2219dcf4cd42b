import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// Sequences that are shorter than input_size or than others of their batch.
@Suite struct LinformerPaddingTests {
    private static let causalities: [LinformerCausality] = [.bidirectional, .causal, .compatible]

    /// Rows of unequal length, by a mask or by the padder, are as alone.
    @Test("Padded rows of unequal length give what each gives alone", arguments: LinformerVariant.some, causalities)
    func rowsOfUnequalLengthAreAsAlone(_ variant: LinformerVariant, causality: LinformerCausality) {
        let model = makeLinformerModel(variant, causality) { $0.stack.hidesMaskedKeys = true }
        let sequences = [13, 1, 8, 20].enumerated().map { randomLinformerTokens([$1], seed: UInt64($0)).values }
        let together = Padder(model)(sequences)
        for (sequence, logits) in zip(sequences, together) {
            let alone = model(TokenTensor(sequence, shape: [1, sequence.count]))
            expectClose(logits, alone.squeezed(0), through: model, positions: 24, "\(sequence.count) tokens")
        }
    }

    /// Vectors instead of tokens.
    @Test("The padder takes vectors") func thePadderTakesALinformer() {
        var configuration = LinformerConfiguration(inputSize: 9, channels: 6, slots: 4)
        configuration.heads = 2
        let model = Linformer(configuration, key: RandomKey(seed: 1))
        moveLinformerOffInitialValues(model)
        let sequences = [3, 9, 1].map { Tensor.normal([$0, 6], key: RandomKey(seed: 2).child($0)) }
        for (x, y) in zip(sequences, Padder(model)(sequences)) {
            expectClose(y, model(x.unsqueezed(0)).squeezed(0), through: model, positions: 9, "\(x.shape)")
        }
    }

    /// linformer-pytorch leaves masked keys a score of 0 with full attention, so that they take a share; hide_masked_keys
    /// leaves them none.
    @Test("Full attention hides masked keys with hide_masked_keys only") func fullAttentionHidesMaskedKeysWhereAsked() {
        let tokens = randomLinformerTokens([1, 24])
        let mask = Tensor((0..<24).map { $0 < 9 ? 1 : 0 }, shape: [1, 24])
        func masked(_ hides: Bool) -> Tensor {
            makeLinformerModel(LinformerVariant(full: true), .bidirectional) { $0.stack.hidesMaskedKeys = hides }(
                tokens, inputMask: mask
            ).sliced(1, to: 9)
        }
        let model = makeLinformerModel(LinformerVariant(full: true), .bidirectional)
        let short = model(part(tokens, 9))
        expectClose(masked(true), short, through: model, positions: 24, "hidden")
        let difference = (masked(false) - short).values.map(abs).max()!
        #expect(difference > 1e-3)
    }

    /// A decoder's embeddings have a mask of their own, and so has the source of an encoder–decoder; either may be shorter
    /// than its longest.
    @Test(
        "Sources and targets of encoder–decoders may be padded", arguments: LinformerVariant.some,
        [LinformerCausality.causal, .compatible])
    func sourcesArePaddedToo(_ variant: LinformerVariant, causality: LinformerCausality) {
        var configuration = makeEncoderDecoder(variant, causality).configuration
        configuration.encoder.stack.hidesMaskedKeys = true
        configuration.decoder.stack.hidesMaskedKeys = true
        let model = LinformerEncDec(configuration, key: RandomKey(seed: 7))
        moveLinformerOffInitialValues(model)
        let (source, target) = (randomLinformerTokens([2, 12]), randomLinformerTokens([2, 14], seed: 4))
        let sourceMask = Tensor((0..<24).map { $0 % 12 < 5 ? 1 : 0 }, shape: [2, 12])
        let targetMask = Tensor((0..<28).map { $0 % 14 < 6 ? 1 : 0 }, shape: [2, 14])
        let padded = model(source, target, sourceMask: sourceMask, targetMask: targetMask).sliced(1, to: 6)
        expectClose(padded, model(part(source, 5), part(target, 6)), through: model, positions: 14, "both")
        // What is masked is not seen at all.
        let other = model(
            changed(source, at: 9), changed(target, at: 9), sourceMask: sourceMask, targetMask: targetMask)
        #expect(other.sliced(1, to: 6).values == padded.values)
    }

    /// The first tokens of each row.
    private func part(_ tokens: TokenTensor, _ length: Int) -> TokenTensor {
        let (b, n) = (tokens.shape[0], tokens.shape[1])
        return TokenTensor((0..<b).flatMap { tokens.values[$0 * n..<$0 * n + length] }, shape: [b, length])
    }
}
