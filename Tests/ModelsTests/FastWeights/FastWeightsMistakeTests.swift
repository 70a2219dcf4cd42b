import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

private let x = Tensor.zeros([2, 5, 3, 4])

private var mistakes: [Mistake] {
    [
        Mistake("deltaRule: q [2, 5, 3, 4], k [2, 5, 3, 5], v [2, 5, 3, 4], beta [2, 5, 3], erase []; expected") {
            deltaRule(x, .zeros([2, 5, 3, 5]), x, beta: .zeros([2, 5, 3]))
        },
        Mistake("deltaRule: q [2, 5, 3, 4], k [2, 5, 3, 4], v [2, 4, 3, 4], beta [2, 5, 3], erase []; expected") {
            deltaRule(x, x, .zeros([2, 4, 3, 4]), beta: .zeros([2, 5, 3]))
        },
        Mistake("beta [2, 5], erase []; expected q and k [b, n, h, d], v [b, n, h, dv], beta and erase [b, n, h]") {
            deltaRule(x, x, x, beta: .zeros([2, 5]))
        },
        Mistake("beta [2, 5, 3], erase [2, 5]; expected") {
            deltaRule(x, x, x, beta: .zeros([2, 5, 3]), erase: .zeros([2, 5]))
        },
        Mistake("deltaRule: logDecay [2, 5], expected [b, n, h] = [2, 5, 3]") {
            deltaRule(x, x, x, beta: .zeros([2, 5, 3]), logDecay: .zeros([2, 5]))
        },
        Mistake("deltaRule: erase with the sum rule, which erases nothing") {
            deltaRule(x, x, x, beta: .zeros([2, 5, 3]), erase: .zeros([2, 5, 3]), rule: .sum)
        },
        Mistake("deltaRule: chunk 0, segment 4; expected at least 1") {
            deltaRule(x, x, x, beta: .zeros([2, 5, 3]), chunk: 0)
        },
        Mistake("deltaRule: state [2, 3, 4, 5], expected [b, h, dk, dv] = [2, 3, 4, 4]") {
            deltaRule(x, x, x, beta: .zeros([2, 5, 3]), state: .zeros([2, 3, 4, 5]))
        },
        Mistake("deltaRule: state [2, 3, 4, 4], expected [b, h, dk, dv] = [2, 3, 8, 4]") {
            deltaRule(
                x, x, x, beta: .zeros([2, 5, 3]), features: Features(.dpfp), state: .zeros([2, 3, 4, 4]),
                implementation: .plain)
        },
        Mistake("DPFP: nu 0 for rows of 4 columns; expected at least 1 and less than 8") { DPFP(nu: 0)(x) },
        Mistake("DPFP: nu 8 for rows of 4 columns; expected at least 1 and less than 8") {
            deltaRule(x, x, x, beta: .zeros([2, 5, 3]), features: Features(.dpfp, nu: 8))
        },
        Mistake("DPFP: nu 8 for rows of 4 columns; expected at least 1 and less than 8") { dpfp(x, nu: 8) },
        Mistake("Features: favor without directions, expected [d, m]") { Features(.favor)(x) },
        Mistake("DPFP: epsilon -1.0; expected at least 0") { DPFP(epsilon: -1)(x) },
        Mistake("FastWeightsAttention: x [2, 12], expected [b, n, 12]") {
            makeFastWeightsModel().transformer(.zeros([2, 12])).output
        },
        Mistake("FastWeightsAttention: a state for softmax attention, which has none") {
            makeFastWeightsModel(FastWeightsVariant(map: .softmax)).transformer.layers[0](
                .zeros([1, 2, 12]), state: FastWeights(memory: .zeros([1, 2, 12, 6]))
            ).output
        },
        Mistake("FastWeightsTransformer: 1 states for 2 layers") {
            makeFastWeightsModel().transformer(
                .zeros([1, 2, 12]), states: [FastWeights(memory: .zeros([1, 2, 12, 6]))]
            ).output
        },
    ]
}

/// Each in a process of its own, which must fail with the message.
@Suite struct FastWeightsMistakeTests {
    @Test("Mistakes stop with a message", arguments: mistakes.indices)
    func stops(_ i: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [i] in
            mistakes[i].make()
        }
        let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(said.contains(mistakes[i].message), "\(mistakes[i].message) — \(said)")
    }
}
