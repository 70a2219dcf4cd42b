import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

private func attend(_ shape: [Int], window: Int = 4, callWindow: Int? = nil, dimension: Int? = nil) -> Tensor {
    var options = LocalAttentionOptions(windowSize: window)
    options.dimension = dimension
    let x = Tensor.zeros(shape)
    return LocalAttention(options)(x, x, x, windowSize: callWindow)
}

private var mistakes: [Mistake] {
    [
        Mistake("LocalAttention: 10 tokens do not fill windows of 4") { attend([1, 10, 2]) },
        Mistake("LocalAttention: 10 tokens do not fill windows of 4") { attend([1, 2, 10, 2]) },
        Mistake("LocalAttention: another window size needs xpos") { attend([1, 8, 2], callWindow: 2) },
        Mistake("LocalAttention: windows of 0 tokens; expected at least 1") { attend([1, 8, 2], window: 0) },
        Mistake("LocalAttention: q [8, 2], k [8, 2], v [8, 2]: expected [b, h, n, d] or [b, n, d]") { attend([8, 2]) },
        Mistake("LocalAttention: rotary positions of dim 4 for heads of 6") { attend([1, 8, 6], dimension: 4) },
        Mistake("LocalMHA: x [1, 3, 9], expected [b, n, 8]") {
            LocalMHA(LocalMHAOptions(dimension: 8, windowSize: 4), key: RandomKey(seed: 1))(.zeros([1, 3, 9]))
        },
        Mistake("LocalTransformer: x [3, 12], expected [b, n, 12]") { makeLocalModel().stack(.zeros([3, 12])) },
        Mistake("LocalTransformer: no tokens; the layers alone are a LocalTransformerStack") {
            makeLocalModel { $0.tokens = nil }
        },
        Mistake("LocalTransformer.decode: the model is not causal") { makeLocalModel(causal: false).startDecoding() },
        Mistake("LocalTransformer.decode: the global layer before layer 2 (Whole) cannot be run token by token") {
            let configuration = makeLocalModel { $0.globalLayers = [2] }.configuration
            return LocalTransformer(configuration, key: RandomKey(seed: 1)) { _, _ in Whole() }.startDecoding()
        },
    ]
}

/// A global layer without decoding.
private struct Whole: GlobalLayer {
    func callAsFunction(_ x: Tensor, mode: ForwardMode) -> Tensor { x }
    func collect(into state: inout StateCollector) {}
}

/// Each in a process of its own, which must fail with the message.
@Suite struct LocalMistakeTests {
    @Test("Misuse stops with a message", arguments: mistakes.indices) func stops(_ i: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [i] in
            mistakes[i].make()
        }
        let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(said.contains(mistakes[i].message), "\(said)")
    }
}
