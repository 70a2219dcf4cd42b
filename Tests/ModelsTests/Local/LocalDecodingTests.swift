import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

/// Decoding by exactness, reach and positions of windows. Other options are in the contract of language models.
@Suite struct LocalDecodingTests {
    enum Positions: String, CaseIterable, Sendable { case rotary, xpos, dynamic, none }

    /// Options that vary beside window and positions.
    struct Options: CustomTestStringConvertible, Sendable {
        var rmsNorm = false
        var streams = 4
        var window = 4
        var testDescription: String { "\(rmsNorm ? "qk_rmsnorm " : "")\(streams) streams, W \(window)" }
    }

    private func model(
        _ exact: Bool, _ back: Int, _ positions: Positions, _ options: Options, length: Int = 40, seed: UInt64 = 1
    ) -> LocalTransformer {
        var c = LocalConfiguration(
            tokens: 11, maximumLength: length, dimension: 12, depth: 2, windowSize: options.window)
        (c.attention.heads, c.attention.headDimension) = (2, 6)
        c.attention.attention.lookBackward = back
        c.attention.attention.isExact = exact
        c.attention.attention.usesRotary = positions == .rotary || positions == .xpos
        c.attention.attention.usesXpos = positions == .xpos
        c.usesDynamicBias = positions == .dynamic
        c.attention.normalizesQueriesAndKeys = options.rmsNorm
        c.residualStreams = options.streams
        let model = LocalTransformer(c, key: RandomKey(seed: seed))
        // Off the initial values: ones and zeros hide wrong paths, and attention that is nearly even hides wrong keys.
        for (index, entry) in model.trainable.enumerated() {
            let noise = Tensor.normal(entry.parameter.shape, key: RandomKey(seed: seed + 7).child(index))
            let large = entry.key.contains("to_qkv") || entry.key.contains("mlp.4")
            entry.parameter.assign(entry.parameter.value.detached() * (large ? 3 : 1) + noise * 0.2)
        }
        return model
    }

    private func tokens(_ n: Int, seed: UInt64 = 2) -> [Int32] {
        RandomKey(seed: seed).integers(n).map { Int32($0 % 11) }
    }

    private func expectDecodesAsForward(_ model: LocalTransformer, _ text: [Int32], cuts: [Int]) {
        let all = model(TokenTensor(text, shape: [1, text.count]))
        var states = [model.startDecoding()]
        var start = 0
        for cut in cuts + [text.count] where cut > start {
            let logits = model.decode([Array(text[start..<cut])], states: &states)
            expectClose(
                logits, all.at(0, 0).at(0, cut - 1), through: model, positions: text.count, "position \(cut - 1)")
            start = cut
        }
    }

    static let variants = [Options(), Options(streams: 1, window: 1), Options(rmsNorm: true, window: 7)]
    static let kinds = [false, true].flatMap { exact in
        (0...3).flatMap { back in Positions.allCases.map { (exact, back, $0) } }
    }

    @Test("Decoding equals the forward pass", arguments: kinds, variants) func equalsTheForward(
        _ kind: (exact: Bool, back: Int, positions: Positions), _ options: Options
    ) {
        let model = model(kind.exact, kind.back, kind.positions, options)
        let text = tokens(37)
        expectDecodesAsForward(model, text, cuts: Array(1...37))
        expectDecodesAsForward(model, text, cuts: [1, 6, 7, 20, 23, 36])
    }

    /// Windows of more tokens than a tile has rows, and more keys than are worked on together.
    @Test("Decoding equals the forward pass in large windows", arguments: Positions.allCases)
    func equalsTheForwardInLargeWindows(_ positions: Positions) {
        let model = model(true, 2, positions, Options(window: 600), length: 2000)
        expectDecodesAsForward(model, tokens(2000), cuts: [3, 700, 701, 1300, 1999])
    }

    /// Past max_seq_len positions go through the second half again: the same as a model that has learned so many more
    /// positions, equal to those.
    @Test("Decoding continues past the last learned position", arguments: Positions.allCases)
    func goesOnPastTheLastPosition(_ positions: Positions) {
        let short = model(true, 1, positions, Options(), length: 10)
        let long = model(true, 1, positions, Options(), length: 50)
        for (a, b) in zip(long.state, short.state) where a.key != "pos_emb.weight" {
            a.parameter.assign(b.parameter.value)
        }
        let rows = Array(0..<10) + Array(repeating: Array(5..<10), count: 8).flatMap { $0 }
        long.positionEmbedding.weight.assign(
            short.positionEmbedding.weight.value.detached().taking(TokenTensor(rows.map(Int32.init))))
        let text = tokens(50)
        let all = long(TokenTensor(text, shape: [1, 50]))
        var states = [short.startDecoding()]
        for (index, token) in text.enumerated() {
            let logits = short.decode([[token]], states: &states)
            expectClose(
                logits, all.at(0, 0).at(0, index), through: long, positions: text.count, "position \(index)")
        }
    }

    /// The state, and so the cost of a token, does not grow with the position once the windows are full, and takes no more
    /// than twice the tokens read before.
    @Test("The state does not grow") func theStateDoesNotGrow() {
        let model = model(true, 2, .dynamic, Options())
        var states = [model.startDecoding()]
        // Two layers of keys and values of 2 heads of 6 floats.
        func tokensHeld() -> Int { states[0].rings.reduce(0) { $0 + $1.bytes } / (2 * 2 * 2 * 6 * 4) }
        #expect(tokensHeld() == 0)
        _ = model.decode([tokens(3)], states: &states)
        #expect(tokensHeld() == 3)
        _ = model.decode([tokens(1)], states: &states)
        #expect(tokensHeld() == 6)
        for _ in 0..<30 {
            _ = model.decode([tokens(7)], states: &states)
            // 3 windows of 4 tokens.
            #expect(tokensHeld() == 12)
        }
    }

    /// The caller's layers keep their own state; one without it is named.
    @Test("Global layers decode") func globalLayersDecode() async {
        let c = { () -> LocalConfiguration in
            var c = LocalConfiguration(tokens: 11, maximumLength: 40, dimension: 12, depth: 3, windowSize: 4)
            (c.attention.heads, c.attention.headDimension, c.globalLayers) = (2, 6, [1, 3])
            return c
        }()
        let model = LocalTransformer(c, key: RandomKey(seed: 1)) { _, key in RunningSum(Linear(12, 12, key: key)) }
        #expect(model.state.map(\.key).filter { $0.hasPrefix("global_layers") }.count == 2 * 9)
        expectDecodesAsForward(model, tokens(30), cuts: Array(1...30))
        expectDecodesAsForward(model, tokens(30), cuts: [4, 21])
        let tokenwise = LocalTransformer(c, key: RandomKey(seed: 1)) { _, key in
            TokenwiseLayer(Linear(12, 12, key: key)) { $0($1) }
        }
        expectDecodesAsForward(tokenwise, tokens(30), cuts: [4, 5, 21])
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            struct Opaque: GlobalLayer {
                func callAsFunction(_ x: Tensor, mode: ForwardMode) -> Tensor { x }
                func collect(into state: inout StateCollector) {}
            }
            let c = LocalConfiguration(tokens: 11, maximumLength: 40, dimension: 12, depth: 1, windowSize: 4)
            _ = LocalTransformer(c, key: RandomKey(seed: 1)) { _, _ in Opaque() }.startDecoding()
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("the global layer before layer 1 (Opaque) cannot be run token by token"))
    }
}

/// A global layer with a memory: the sum of everything so far, projected.
private struct RunningSum: GlobalLayer {
    let linear: Linear

    init(_ linear: Linear) { self.linear = linear }

    func callAsFunction(_ x: Tensor, mode: ForwardMode) -> Tensor { linear(x.cumulativeSum(axis: 1) * 0.1) }

    func startDecoding() -> (any GlobalLayerState)? { State(linear: linear) }

    func collect(into state: inout StateCollector) { state.add("linear", linear) }

    struct State: GlobalLayerState {
        let linear: Linear
        var sum = Tensor.zeros([1, 12])

        mutating func append(_ x: Tensor) -> Tensor {
            let sums = x.cumulativeSum(axis: 0) + sum
            sum = sums.sliced(0, from: x.shape[0] - 1)
            return linear(sums * 0.1)
        }
    }
}
