import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// The options of a small model of `causal: "segments"` without dropout.
func makeSegmentConfiguration(
    _ variant: LinformerVariant = LinformerVariant(), change: (inout LinformerConfiguration) -> Void = { _ in }
) -> LinformerLMConfiguration {
    var configuration = makeLinformerConfiguration(variant, .segments)
    configuration.stack.normalizesFirst = true
    configuration.stack.headDimension = 6
    configuration.stack.segments.window = 5
    configuration.stack.segments.length = 4
    change(&configuration.stack)
    return configuration
}

func makeSegmentModel(
    _ variant: LinformerVariant = LinformerVariant(), change: (inout LinformerConfiguration) -> Void = { _ in }
) -> LinformerLM {
    let model = LinformerLM(makeSegmentConfiguration(variant, change: change), key: RandomKey(seed: 7))
    moveLinformerOffInitialValues(model)
    return model
}

/// The language model by segments: what it sees, shares and shows; decoding and forms are the contract's.
@Suite("The model by segments") struct LinformerSegmentModelTests {
    private let q = Tensor.normal([2, 23, 2, 6], key: RandomKey(seed: 1))
    private let k = Tensor.normal([2, 23, 2, 6], key: RandomKey(seed: 2))
    private let v = Tensor.normal([2, 23, 2, 6], key: RandomKey(seed: 3))
    private let x = Tensor.normal([2, 23, 12], key: RandomKey(seed: 4))

    private func heads(
        layer: Int = 0, change: (inout LinformerConfiguration) -> Void = { _ in }
    ) throws -> SegmentHeads {
        let configuration = makeSegmentConfiguration(change: change).stack
        let heads = SegmentHeads(
            configuration, layer: layer, shared: configuration.sharedSegments(key: RandomKey(seed: 7)),
            key: RandomKey(seed: 7))
        moveLinformerOffInitialValues(heads)
        return heads
    }

    // MARK: What a token sees

    @Test("Without slots it is local attention", arguments: Implementation.allCases, [2, 5, 40])
    func withoutSlotsItIsLocalAttention(_ form: Implementation, window: Int) throws {
        let heads = try heads {
            ($0.segments.slots, $0.segments.window, $0.segments.usesDualNorm) = (0, window, false)
        }
        #expect(heads.state.isEmpty)
        let table = Rotary(6).table(Array(0..<23))
        // A token sees itself and window − 1 before it.
        let options = WindowAttentionOptions(
            WindowPattern(window: window - 1, isCausal: true, isExact: true), scale: 1 / Float(6).squareRoot())
        let local = windowAttention(table.rotate(q), table.rotate(k), v, options: options)
        let got = heads(q, k, v, of: x, mask: nil, mode: .inference.using(form))
        let lengths = SumLengths(shapes: [[23, 6]], rows: 46)
        expectClose(
            got.values, local.values.map(Double.init), within: lengths.tolerance(largest: largest(local.values)),
            "window \(window)")
    }

    /// The positions whose logits a token changes, in a model of one layer.
    private func reached(by token: Int, of n: Int, change: (inout LinformerConfiguration) -> Void) -> [Int] {
        let model = makeSegmentModel {
            $0.depth = 1
            change(&$0)
        }
        let tokens = randomLinformerTokens([1, n])
        let (before, after) = (model(tokens), model(changed(tokens, at: token)))
        return (0..<n).filter { before.at(1, $0).values != after.at(1, $0).values }
    }

    @Test("A token reaches its window, and later ones through its finished segment")
    func aTokenReachesItsWindowAndLaterOnes() {
        // Segments of 4, windows of 5: token 1 is in segment 0, which ends at 3.
        #expect(reached(by: 1, of: 20) { $0.segments.slots = 0 } == Array(1...5))
        #expect(reached(by: 1, of: 20) { _ in } == Array(1...5) + Array(8..<20))
        #expect(reached(by: 1, of: 20) { $0.segments.reach = .all } == Array(1..<20))
        // Of the segments in reach only the newest is kept: 0 until 1 is in reach, at 7 + 5.
        #expect(reached(by: 1, of: 20) { $0.segments.maximum = 1 } == Array(1...5) + Array(8..<12))
    }

    @Test("No length is too long, whatever input_size says") func noLengthIsTooLong() {
        let model = makeSegmentModel()
        #expect(model.maximumLength == nil && model.maximumDecodingLength == nil && model.isCausal)
        let logits = model(randomLinformerTokens([1, 90]))
        #expect(logits.shape == [1, 90, vocabulary] && logits.values.allSatisfy(\.isFinite))
    }

    // MARK: Parts

    @Test("The heads are the operation on normalized keys at their positions", arguments: WindowPositions.allCases)
    func theHeadsAreTheOperation(_ positions: WindowPositions) throws {
        let heads = try heads {
            ($0.segments.positions, $0.segments.distances, $0.segments.slots) = (positions, 3, 2)
            $0.sharing = .headwise
        }
        let norms = try #require(heads.norms)
        func scores(_ weights: [SegmentWeights]) -> Tensor {
            linear(x, weight: weights[0].weight.value).reshaped([2, 23, 1, 2]).expanded(to: [2, 23, 2, 2])
        }
        let slotKeys = projectSegments(k, .dynamic(scores: scores(heads.projections.keys)), segmentLength: 4)
        let slotValues = projectSegments(v, .dynamic(scores: scores(heads.projections.values)), segmentLength: 4)
        let table = Rotary(6).table(Array(0..<23))
        func placed(_ x: Tensor) -> Tensor { positions == .rotary ? table.rotate(x) : x }
        var options = SegmentAttentionOptions(window: 5, segmentLength: 4, slots: 2, scale: 1 / Float(6).squareRoot())
        options.windowBias = positions == .relative ? heads.windowBias?.value : nil
        let slotBias = try #require(heads.slotBias)
        options.slotBias = slotBias.value
        #expect((heads.windowBias?.shape == [2, 5]) == (positions == .relative))
        let expected = segmentAttention(
            placed(q), placed(norms.windowKeys(k)), norms.windowValues(v), slotQueries: q,
            slotKeys: norms.slotKeys(slotKeys), slotValues: norms.slotValues(slotValues), options: options)
        #expect(heads(q, k, v, of: x, mask: nil, mode: .inference).values == expected.values)
    }

    @Test("With pre_norm each branch reads the norm of the sum so far", arguments: Implementation.allCases)
    func eachBranchReadsTheNorm(_ form: Implementation) throws {
        let stack = makeSegmentConfiguration { ($0.depth, $0.intermediateChannels, $0.sharing) = (2, 8, .kv) }.stack
        let model = Linformer(stack, key: RandomKey(seed: 7))
        moveLinformerOffInitialValues(model)
        let mode = ForwardMode.inference.using(form)
        var sum = x
        for layer in model.layers {
            sum = sum + layer.attention.branch(layer.attention.norm(sum), mode: mode)
            let feedForward = try #require(layer.feedForward)
            let resample = try #require(feedForward.resample)
            sum = resample(sum) + feedForward.branch(feedForward.norm(sum), mode: mode)
        }
        let norm = try #require(model.norm)
        let expected = norm(sum)
        let lengths = SumLengths(shapes: model.state.map(\.parameter.shape), rows: 46)
        expectClose(
            model(x, mode: mode).values, expected.values.map(Double.init),
            within: lengths.tolerance(largest: largest(expected.values)), "\(form)")
    }

    @Test("Projections are shared as in the other forms", arguments: ParameterSharing.allCases, SegmentMethod.allCases)
    func projectionsAreShared(_ sharing: ParameterSharing, _ method: SegmentMethod) {
        let model = makeSegmentModel(LinformerVariant(sharing: sharing)) {
            ($0.segments.projection, $0.segments.slots, $0.slotReduction) = (method, 2, 1)
        }
        let weights = model.state.filter { $0.key.hasSuffix(".E.weight") || $0.key.hasSuffix(".F.weight") }
        let expected = [ParameterSharing.none: 8, .headwise: 4, .kv: 2, .layerwise: 1][sharing]!
        #expect(weights.count == (method == .mean ? 0 : 8))
        #expect(Set(weights.map { ObjectIdentifier($0.parameter) }).count == (method == .mean ? 0 : expected))
        // The second layer has one slot of its own, or takes the first of two that are shared.
        let shapes: [SegmentMethod: (Int) -> [Int]] = [
            .dynamic: { [$0, 12] }, .learnable: { [$0, 4] }, .convolution: { [$0 * 6, 6, 4] },
        ]
        for (key, parameter) in weights {
            let slots = key.contains("seq.0.") || sharing == .layerwise ? 2 : 1
            #expect(parameter.shape == shapes[method]?(slots), "\(key)")
        }
    }

    @Test("Every parameter has a gradient", arguments: ParameterSharing.allCases, SegmentMethod.allCases)
    func everyParameterHasAGradient(_ sharing: ParameterSharing, _ method: SegmentMethod) {
        let model = makeSegmentModel(LinformerVariant(sharing: sharing)) {
            ($0.segments.projection, $0.segments.slots, $0.slotReduction) = (method, 2, 1)
            ($0.segments.positions, $0.segments.distances) = (.relative, 2)
        }
        let found = gradients(of: model.loss(randomLinformerTokens([2, 30]), randomLinformerTokens([2, 30], seed: 5)))
        for (key, parameter) in model.trainable {
            #expect(found[parameter].map { largest($0.values) > 1e-6 } == true, "\(key)")
        }
    }

    @Test("Relative positions begin with a bias that falls with the distance, by head")
    func relativePositionsBeginAsSlopes() {
        let configuration = makeSegmentConfiguration { $0.segments.positions = .relative }.stack
        let heads = SegmentHeads(configuration, layer: 0, shared: nil, key: RandomKey(seed: 7))
        let expected: [Float] = (0..<5).map { -Float($0) / 16 } + (0..<5).map { -Float($0) / 256 }
        let bias = heads.windowBias?.value.values ?? []
        #expect(bias.count == 10 && zip(bias, expected).allSatisfy { abs($0 - $1) < 0.1 } && bias != expected)
    }

    @Test("Learnable projections begin with the mean of a segment")
    func learnableProjectionsBeginWithTheMean() {
        var options = LinformerSegments()
        (options.projection, options.length) = (.learnable, 16)
        let weights = SegmentWeights(options, slots: 3, channels: 8, headWidth: 4, key: RandomKey(seed: 1))
        let values = weights.weight.value.values
        let mean = values.reduce(0, +) / Float(values.count)
        #expect(abs(mean - 1 / 16) < 0.02 && Set(values).count == 48)
        #expect(values.allSatisfy { abs($0 - 1 / 16) < 0.2 })
    }

    // MARK: Looking at it

    @Test("A recorder sees the weights of the window and of the slots", arguments: Implementation.allCases)
    func aRecorderSeesWindowAndSlots(_ form: Implementation) {
        let model = makeSegmentModel { $0.segments.slots = 2 }
        let recorder = AttentionRecorder()
        _ = model(randomLinformerTokens([1, 21]), mode: .recording(recorder).using(form))
        #expect(recorder.layers.map(\.name) == ["Layer 1", "Layer 2"])
        for layer in recorder.layers {
            #expect(layer.weights.shape == [1, 2, 21, 21 + 5 * 2])
            for sum in layer.weights.sum(axes: [3]).values { #expect(abs(sum - 1) < 1e-5) }
            // The last token sees the slots of four segments: 4 · 4 + 5 is 21.
            let slots = layer.weights.sliced(2, from: 20, to: 21).sliced(3, from: 21).values
            #expect(slots.enumerated().allSatisfy { ($1 > 0) == ($0 % 10 < 8) })
        }
    }

    // MARK: Decoding

    @Test("With a cap the memory of a text is bounded, without it grows by slots alone")
    func memoryIsBounded() {
        func bytes(_ counts: [Int], cap: Int?) -> Int {
            let model = makeSegmentModel { $0.segments.maximum = cap }
            var states = [model.startDecoding()]
            for count in counts { _ = model.decode([randomLinformerTokens([count]).values], states: &states) }
            return states[0].attentions.reduce(0) { sum, state in
                guard case .memory(let memory as SegmentMemory) = state else { return sum }
                return sum + memory.bytes
            }
        }
        let floats = 2 * 2 * 12 * 4  // of keys and values, two layers, 12 columns, in bytes
        for counts in [[40, 40, 40], [120], Array(repeating: 1, count: 120)] {
            // Four times what is kept: 5 of the window, 4 of a segment and 2 · 4 scores, 3 + 3 slots.
            #expect(bytes(counts, cap: 3) <= 4 * (5 + 4 + 2 + 6) * floats, "\(counts.count) calls")
            #expect(bytes(counts + [400], cap: 3) <= 4 * (5 + 4 + 2 + 6) * floats)
            #expect(bytes(counts + [400], cap: nil) > 100 * floats)
        }
    }

    @Test("Rows are appended at the end and forgotten from the beginning, and copies keep their own")
    func rowsAreAppendedAndForgotten() {
        var (buffer, expected) = (RowBuffer(), [Float]())
        let draws = RandomKey(seed: 5).integers(400).map { Int($0 % 1000) }
        var copies = [(RowBuffer, [Float])]()
        for step in 0..<200 {
            let (n, kept) = (draws[2 * step] % 5 + 1, draws[2 * step + 1] % 9)
            let rows = Tensor.normal([1, n, 1, 2], key: RandomKey(seed: 6).child(step))
            if step % 40 == 0 { copies.append((buffer, expected)) }
            buffer.append(rows)
            expected += rows.values
            #expect(buffer.rows.values == expected && buffer.count == expected.count / 2)
            buffer.keepLast(kept, most: 9)
            expected = expected.suffix(2 * kept)
            #expect(buffer.count == expected.count / 2 && buffer.bytes <= 4 * 9 * 2 * 4)
            if !expected.isEmpty { #expect(buffer.rows.values == expected) }
        }
        for (copy, values) in copies where copy.count > 0 { #expect(copy.rows.values == values) }
    }
}
