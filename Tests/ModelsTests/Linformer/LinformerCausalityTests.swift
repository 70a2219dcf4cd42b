import NN
import Tensors
import Testing

@testable import Linformers

/// The causality of the peer's forms, of decoders and encoder–decoders. Language models keep the contract.
@Suite struct LinformerCausalityTests {
    /// As linformer-pytorch's users found (its issue 25), slots are sums over all tokens, so hiding slots does not hide
    /// the future. Position 0 sees one slot, and token 20 is in it.
    @Test("The compatible mask leaks the future", arguments: LinformerVariant.projected)
    func theCompatibleMaskLeaks(_ variant: LinformerVariant) {
        let model = makeLinformerModel(variant, .compatible)
        #expect(!model.isCausal)
        let tokens = randomLinformerTokens([1, 24])
        let (before, after) = (model(tokens), model(changed(tokens, at: 20)))
        // Slot j of a convolution is made of tokens 4 j to 4 j + 3: token 20 comes to positions from 5 on in the first layer,
        // by these to slot 1 in the second.
        let leak = variant.method == .convolution ? 1 : 0
        #expect(after.at(1, leak).values != before.at(1, leak).values)
    }

    /// With full attention the mask is the usual one, whatever it is called.
    @Test("Full attention is causal with either mask") func fullAttentionIsCausalEitherWay() {
        let model = makeLinformerModel(LinformerVariant(full: true), .compatible)
        #expect(model.isCausal)
        let tokens = randomLinformerTokens([1, 24])
        expectSame(model(changed(tokens, at: 20)), model(tokens), upTo: 20, "full")
        #expect(makeLinformerModel(LinformerVariant(full: true), .causal)(tokens).values == model(tokens).values)
    }

    /// A decoder sees its own tokens so far, and all of the embeddings.
    @Test("Decoders see their own past and all embeddings", arguments: LinformerVariant.some)
    func decodersSeeTheirOwnPastAndAllEmbeddings(_ variant: LinformerVariant) {
        let model = makeDecoder(variant)
        #expect(model.isCausal)
        let tokens = randomLinformerTokens([2, 20])
        let embeddings = Tensor.normal([2, 9, 5], key: RandomKey(seed: 4))
        let before = model(tokens, embeddings: embeddings)
        for t in [1, 7, 19] {
            let after = model(changed(tokens, at: t), embeddings: embeddings)
            expectSame(after, before, upTo: t, "token \(t)")
            #expect(after.at(1, t).values != before.at(1, t).values, "position \(t)")
        }
        let last = embeddings.sliced(1, from: 8) + 1
        let other = model(tokens, embeddings: concatenate([embeddings.sliced(1, to: 8), last], axis: 1))
        #expect(other.at(1, 0).values != before.at(1, 0).values)
    }

    /// linformer-pytorch masks the attention to the embeddings, where nothing has to be hidden, and leaves the decoder's
    /// own as it is.
    @Test(
        "The compatible decoder leaks its own future",
        arguments: [
            LinformerVariant(), LinformerVariant(sharing: .none), LinformerVariant(full: true),
            LinformerVariant(method: .noParameters),
        ])
    func theCompatibleDecoderLeaks(_ variant: LinformerVariant) {
        let model = makeDecoder(variant, .compatible)
        #expect(!model.isCausal)
        let tokens = randomLinformerTokens([1, 24])
        let embeddings = Tensor.normal([1, 9, 5], key: RandomKey(seed: 4))
        let before = model(tokens, embeddings: embeddings)
        let after = model(changed(tokens, at: 20), embeddings: embeddings)
        #expect(after.at(1, 0).values != before.at(1, 0).values)
    }

    /// Source, start token and target in one sequence: the logits of the source are zeros, those of the target see all of
    /// the source and the target so far.
    @Test("Encoder–decoders see the source and the past of the target", arguments: LinformerVariant.some)
    func encoderDecodersSeeTheSourceAndThePast(_ variant: LinformerVariant) {
        let model = makeEncoderDecoder(variant)
        #expect(model.isCausal)
        var tokens = randomLinformerTokens([2, 28])
        for row in 0..<2 { tokens.values[row * 28 + 12] = Int32(vocabulary - 1) }
        let before = model(tokens)
        #expect(before.sliced(1, to: 12).values.allSatisfy { $0 == 0 })
        for t in [13, 20, 27] {
            let after = model(changed(tokens, at: t))
            expectSame(after, before, upTo: t, "token \(t)")
            #expect(after.at(1, t).values != before.at(1, t).values, "position \(t)")
        }
        #expect(model(changed(tokens, at: 8)).at(1, 12).values != before.at(1, 12).values)
        #expect(!makeEncoderDecoder(variant, .compatible).isCausal)
    }

    private func expectSame(_ a: Tensor, _ b: Tensor, upTo t: Int, _ what: String) {
        if t > 0 { #expect(a.sliced(1, to: t).values == b.sliced(1, to: t).values, "\(what)") }
    }
}
