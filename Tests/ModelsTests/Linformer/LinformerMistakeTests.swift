import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

private var mistakes: [Mistake] {
    [
        Mistake("Linformer: 25 tokens, but input_size is 24") {
            makeLinformerModel(LinformerVariant(full: true))(randomLinformerTokens([1, 25]))
        },
        Mistake("Linformer: 25 tokens, but input_size is 24") {
            Padder(makeLinformerModel())([randomLinformerTokens([25]).values])
        },
        Mistake("Linformer: x [3, 12], expected [b, n, 12]") { makeLinformerModel().linformer(.zeros([3, 12])) },
        Mistake("Linformer: a decoder needs embeddings") { makeDecoder()(randomLinformerTokens([1, 4])) },
        Mistake("Linformer: embeddings need decoder_mode") {
            makeLinformerModel()(randomLinformerTokens([1, 4]), embeddings: .zeros([1, 4, 12]))
        },
        Mistake("MHAttention: embeddings [1, 4, 6], expected [1, n, 5]") {
            makeDecoder()(randomLinformerTokens([1, 4]), embeddings: .zeros([1, 4, 6]))
        },
        Mistake("MHAttention: embeddings [2, 4, 5], expected [1, n, 5]") {
            makeDecoder()(randomLinformerTokens([1, 4]), embeddings: .zeros([2, 4, 5]))
        },
        Mistake("MHAttention: 10 tokens to attend to; expected at most the 9 of E and F") {
            makeDecoder()(randomLinformerTokens([1, 4]), embeddings: .zeros([1, 10, 5]))
        },
        Mistake("MHAttention: 10 tokens to attend to; expected at most the 9 of E and F") {
            makeDecoder(LinformerVariant(full: true))(randomLinformerTokens([1, 4]), embeddings: .zeros([1, 10, 5]))
        },
        Mistake("MHAttention: mask [1, 3], expected [1, 4]") {
            makeLinformerModel()(randomLinformerTokens([1, 4]), inputMask: .ones([1, 3]))
        },
        Mistake("Padder: full_attention attends to masked keys; expected hide_masked_keys") {
            Padder(makeLinformerModel(LinformerVariant(full: true)))
        },
        Mistake("LinformerLM.decode: the model is not causal") {
            makeLinformerModel(LinformerVariant(), .compatible).startDecoding()
        },
        Mistake("LinformerLM: a decoder starts with embeddings") { makeDecoder().startDecoding() },
        Mistake("LinformerLM.decode: 5 tokens after 20, but input_size is 24") {
            let model = makeLinformerModel()
            var states = [model.startDecoding()]
            _ = model.decode([randomLinformerTokens([20]).values], states: &states)
            return model.decode([randomLinformerTokens([5]).values], states: &states)
        },
        Mistake("LinformerEncDec.decode: 1 sequences for 1 states, each of at least one token") {
            let model = makeEncoderDecoder()
            var states = [model.startDecoding()]
            return model.decode([[]], states: &states)
        },
        Mistake("LinformerEncDec: a row without a source and the start token 10 after it") {
            makeEncoderDecoder()(randomLinformerTokens([1, 12]))
        },
        Mistake("LinformerEncDec: one sequence of tokens needs a start_token between source and target") {
            var configuration = makeEncoderDecoder().configuration
            configuration.startToken = nil
            return LinformerEncDec(configuration, key: RandomKey(seed: 1))(randomLinformerTokens([1, 12]))
        },
        Mistake("getEF: 7 slots of 6 tokens; a convolution needs at least a token for each") {
            getEF(inputSize: 6, slots: 7, method: .convolution, headDimension: 2, key: RandomKey(seed: 1))
        },
        Mistake("getEF: a convolution needs the columns of a head") {
            getEF(inputSize: 6, slots: 3, method: .convolution, key: RandomKey(seed: 1))
        },
    ]
}

/// Each in a process of its own, which must fail with the message.
@Suite struct LinformerMistakeTests {
    @Test("Mistakes stop the process with their message", arguments: mistakes.indices) func stops(_ i: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [i] in
            mistakes[i].make()
        }
        let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(said.contains(mistakes[i].message), "\(mistakes[i].message) — \(said)")
    }
}
