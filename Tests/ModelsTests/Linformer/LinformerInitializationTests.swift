import Foundation
import NN
import Tensors
import Testing

@testable import Linformers

/// Initial distributions, which are those of linformer-pytorch and its PyTorch layers.
@Suite struct LinformerInitializationTests {
    /// Standard deviation about 0, and the largest magnitude.
    private func spread(_ parameter: Parameter) -> (deviation: Double, largest: Double) {
        let values = parameter.value.values.map(Double.init)
        let squares = values.reduce(0) { $0 + $1 * $1 }
        return ((squares / Double(values.count)).squareRoot(), values.reduce(0) { max($0, abs($1)) })
    }

    /// Xavier's normal numbers: √(2 / (n + k)). The deviation of 48,000 numbers is known to 0.3 %; five times that is 2 %.
    @Test("Learnable projections are drawn from Xavier's normal distribution") func learnableProjections() throws {
        let projection = getEF(inputSize: 600, slots: 80, key: RandomKey(seed: 1))
        let expected = (2.0 / 680).squareRoot()
        #expect(abs(spread(projection.weight).deviation / expected - 1) < 0.02)
        #expect(spread(projection.weight).largest > 3 * expected)  // normal, not uniform
        let bound = 1 / 600.0.squareRoot()
        let bias = spread(try #require(projection.bias))
        #expect(bias.largest <= bound && bias.largest > 0.8 * bound)
        #expect(getEF(inputSize: 600, slots: 80, bias: false, key: RandomKey(seed: 1)).bias == nil)
    }

    /// `turns`: 1 where the token's turn is the slot's, beside a tenth of Xavier's numbers; in the layers' own attention
    /// only, as what a decoder attends to has no order that the decoder must follow.
    @Test("Turns write each token to the slot whose turn it is") func tokensAreWrittenInTurns() {
        var configuration = LinformerConfiguration(inputSize: 50, channels: 8, slots: 20)
        func weights(_ start: ProjectionStart, isDecoder: Bool) -> [Float] {
            configuration.projectionStart = start
            let made = configuration.makeProjection(slots: 20, isDecoder: isDecoder, key: RandomKey(seed: 6))
            return made.weight.value.values
        }
        let (xavier, turns) = (weights(.xavier, isDecoder: false), weights(.turns, isDecoder: false))
        for slot in 0..<20 {
            for token in 0..<50 {
                let expected = xavier[slot * 50 + token] * 0.1 + (token % 20 == slot ? 1 : 0)
                #expect(turns[slot * 50 + token] == expected)
            }
        }
        #expect(weights(.turns, isDecoder: true) == weights(.xavier, isDecoder: true))
    }

    /// Uniform within 1/√(d · step), weight and bias.
    @Test("Convolutions are drawn uniformly within 1/√(d · step)") func convolutions() throws {
        let projection = getEF(
            inputSize: 90, slots: 10, method: .convolution, headDimension: 16, key: RandomKey(seed: 2))
        #expect(projection.weight.shape == [16, 16, 9] && projection.slots == 10)
        let bound = 1 / (16.0 * 9).squareRoot()
        for part in [projection.weight, try #require(projection.bias)] {
            let largest = spread(part).largest
            #expect(largest <= bound && largest > 0.8 * bound)
        }
    }

    /// Normal with deviation 1 / k, and neither trained nor computed.
    @Test("Random projections have deviation 1/k and are not trained") func randomProjections() {
        let projection = getEF(inputSize: 600, slots: 80, method: .noParameters, key: RandomKey(seed: 3))
        #expect(projection.weight.shape == [600, 80] && projection.bias == nil && projection.weight.kind == .frozen)
        #expect(abs(spread(projection.weight).deviation * 80 - 1) < 0.02)
    }

    /// Half of the embeddings' elements, known to 11 of 256: five deviations are 57.
    @Test("With dropout_tokens that share of the embeddings is dropped") func embeddingsAreDropped() {
        var configuration = LinformerLMConfiguration(tokens: 5, inputSize: 8, channels: 64)
        (configuration.stack.depth, configuration.tokenDropout) = (0, 0.5)
        (configuration.usesPositions, configuration.returnsEmbeddings) = (false, true)
        let model = LinformerLM(configuration, key: RandomKey(seed: 4))
        let tokens = TokenTensor([Int32](repeating: 1, count: 8), shape: [1, 8])
        let values = model(tokens, mode: .training(RandomKey(seed: 5))).values
        #expect(abs(values.count { $0 == 0 } - 256) < 57)
        for (kept, plain) in zip(values, model(tokens, mode: .inference).values) where kept != 0 {
            #expect(abs(kept - 2 * plain) <= 1e-6 * abs(plain))
        }
    }

    /// A decoder that nothing is said of is causal.
    @Test("A decoder is causal by default") func aDecoderIsCausal() {
        let part = LinformerLMConfiguration(tokens: 5, inputSize: 8, channels: 8)
        #expect(
            LinformerEncDec(LinformerEncDecConfiguration(encoder: part, decoder: part), key: RandomKey(seed: 1))
                .isCausal)
    }
}
