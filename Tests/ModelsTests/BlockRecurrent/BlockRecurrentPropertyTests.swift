import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

@Suite("Properties") struct BlockRecurrentPropertyTests {
    /// The memories reach 3 layers of at most 11 tokens back (29 with compressed ones).
    @Test("States remember far beyond the memories", arguments: BlockRecurrentVariant.some) func statesRememberLong(
        _ variant: BlockRecurrentVariant
    ) {
        let model = makeBlockRecurrentModel(variant)
        let tokens = randomTokens([1, 96])
        let (before, after) = (model.read(tokens).logits, model.read(tokens.changed(at: 2, vocabulary)).logits)
        let remembers = !model.configuration.recurrences.isEmpty
        #expect((after.at(1, 95).values != before.at(1, 95).values) == remembers)
    }

    /// Each segment begins with initial states.
    @Test("Without states, what memories do not reach is forgotten") func memoriesForget() throws {
        let model = makeBlockRecurrentModel()
        let tokens = randomTokens([1, 96])
        func last(_ tokens: TokenTensor) throws -> [Float] {
            var carries: [RecurrentMemory?] = [nil]
            var logits: Tensor?
            for start in stride(from: 0, to: 96, by: 6) {
                (logits, carries) = model.logits(
                    tokens.columns(start..<start + 6), carries: [carries[0]?.forgetting(["states"])], mode: .inference)
            }
            return try #require(logits).values
        }
        // Each of 3 layers sees 11 tokens back at most, so token 30 is out of sight and token 85 is not.
        #expect(try last(tokens.changed(at: 30, vocabulary)) == last(tokens))
        #expect(try last(tokens.changed(at: 85, vocabulary)) != last(tokens))
    }

    /// attention_window: what a single layer without states' help can see.
    @Test("The attention window is exact") func theAttentionWindowIsExact() {
        let model = makeBlockRecurrentModel(
            BlockRecurrentVariant("one layer") { ($0.depth, $0.recurrentLayers, $0.attentionWindow) = (1, [1], 4) })
        let tokens = randomTokens([1, 12])
        // The second block with the memory of the first, but not with the states that it has written.
        func read(_ tokens: TokenTensor) -> Tensor {
            let memories = model(tokens.columns(0..<6), xlMemories: [], states: []).xlMemories
            return model(tokens.columns(6..<12), xlMemories: memories, states: []).logits
        }
        let before = read(tokens)
        for t in 0..<12 {
            let after = read(tokens.changed(at: t, vocabulary))
            for position in 6..<12 {
                let sees = (position - 3...position).contains(t)
                let differs = after.at(1, position - 6).values != before.at(1, position - 6).values
                #expect(differs == sees, "\(t) \(position)")
            }
        }
    }

    /// state_window: of a block only the last tokens are written to the states, or some of the memory's too.
    @Test("The state window is exact", arguments: [(2, 4..<6), (8, 4..<12)]) func theStateWindowIsExact(
        window: Int, seen: Range<Int>
    ) {
        let model = makeBlockRecurrentModel(
            BlockRecurrentVariant("one layer") { ($0.depth, $0.recurrentLayers, $0.stateWindow) = (1, [1], window) })
        let tokens = randomTokens([1, 12])
        let end = window < 6 ? 6 : 12
        func states(_ tokens: TokenTensor) -> [Float] {
            // The states that the last block begins with do not depend on the block before where it is written alone.
            model(tokens.columns(0..<end), xlMemories: [], states: []).states[0].values
        }
        let before = states(tokens)
        for t in 0..<end {
            let differs = states(tokens.changed(at: t, vocabulary)) != before
            if window < 6 { #expect(differs == seen.contains(t), "token \(t)") }
        }
        guard window > 6 else { return }
        // With the initial states before the second block, only what it and the memory hold can be seen.
        func written(_ tokens: TokenTensor) -> [Float] {
            let memories = model(tokens.columns(0..<6), xlMemories: [], states: []).xlMemories
            return model(tokens.columns(6..<12), xlMemories: memories, states: []).states[0].values
        }
        let second = written(tokens)
        for t in 0..<12 {
            #expect((written(tokens.changed(at: t, vocabulary)) != second) == seen.contains(t), "token \(t)")
        }
    }

    /// xl_memories_dropout and state_dropout: a training segment begins without them, the whole batch alike; evaluation does
    /// not.
    @Test("Training segments begin without what dropout takes", arguments: [(1.0, 0.0), (0, 1), (1, 1), (0, 0)])
    func segmentsForget(memories: Double, states: Double) {
        let model = RecurrentTrainerWrapper(
            makeBlockRecurrentModel(), xlMemoriesDropout: memories, stateDropout: states
        ).transformer
        let text = randomTokens([2, 18])
        let carries = model.read(text.columns(0..<12)).carries
        let rest = text.columns(12..<18)
        let expected = carries.map { carry in
            var carry = carry!
            if memories == 1 { carry.layers = model.nothing.layers }
            if states == 1 { carry.states = [nil] }
            return carry
        }
        let training = model.logits(rest, carries: carries, mode: .training(RandomKey(seed: 1))).logits
        #expect(training.values == model.logits(rest, carries: expected, mode: .inference).logits.values)
        #expect(
            model.logits(rest, carries: carries, mode: .inference).logits.values
                == makeBlockRecurrentModel().logits(rest, carries: carries, mode: .inference).logits.values)
    }

    @Test("Memories and states are dropped independently") func forgettingIsDrawnForEachPart() {
        let model = RecurrentTrainerWrapper(makeBlockRecurrentModel(), xlMemoriesDropout: 0.5, stateDropout: 0.5)
            .transformer
        let text = randomTokens([1, 18])
        let carry = model.read(text.columns(0..<12)).carries[0]
        let rest = text.columns(12..<13)
        func logits(_ parts: Set<String>) -> [Float] {
            model.logits(rest, carries: [carry?.forgetting(parts)], mode: .inference).logits.values
        }
        let outcomes = [[], ["memories"], ["states"], ["memories", "states"]].map { logits(Set($0)) }
        var counts = [0, 0, 0, 0]
        for seed in 0..<400 {
            let mode = ForwardMode.training(RandomKey(seed: UInt64(seed)))
            let found = model.logits(rest, carries: [carry], mode: mode).logits.values
            if let index = outcomes.firstIndex(of: found) { counts[index] += 1 }
        }
        #expect(counts.allSatisfy { abs($0 - 100) < 44 }, "\(counts)")  // five deviations of 8.7
    }

    /// A layer of its own, whose keys know nothing of earlier tokens.
    @Test("Forgetting memories keeps the block that is not complete") func memoriesAreOfCompleteBlocks() {
        let model = makeBlockRecurrentModel(
            BlockRecurrentVariant("one layer without states") { ($0.depth, $0.recurrentLayers) = (1, []) })
        let text = randomTokens([1, 15])
        func last(_ tokens: TokenTensor) -> [Float] {
            let carry = model.read(tokens.columns(0..<14)).carries[0]?.forgetting(["memories"])
            #expect(carry?.offset == 2 && carry?.xlMemories.isEmpty == true)
            return model.logits(tokens.columns(14..<15), carries: [carry], mode: .inference).logits.values
        }
        #expect(last(text.changed(at: 11, vocabulary)) == last(text))
        #expect(last(text.changed(at: 12, vocabulary)) != last(text))
    }

    /// A wrapper has the transformer's own dropouts unless others are given, and each segment draws for itself.
    @Test("A window's segments draw dropout independently") func segmentsOfAWindowDrawForThemselves() {
        let own = makeBlockRecurrentModel(
            BlockRecurrentVariant("dropouts") { ($0.memoriesDropout, $0.stateDropout) = (0.5, 0.5) })
        let wrapper = RecurrentTrainerWrapper(own)
        #expect(wrapper.transformer.configuration.memoriesDropout == 0.5)
        let tokens = randomTokens([1, 61])
        let mode = ForwardMode.training(RandomKey(seed: 5))
        var (carries, losses, forgotten): ([RecurrentMemory?], [Float], Set<Bool>) = ([nil], [], [])
        wrapper.segmentLosses(tokens, mode: mode) { losses.append($0.item) }
        for index in 0..<5 {
            let (inputs, targets) = (
                tokens.columns(index * 12..<index * 12 + 12), tokens.columns(index * 12 + 1..<index * 12 + 13)
            )
            let segment = own.loss(inputs, targets, carries: carries, mode: mode.child(index))
            #expect(segment.loss.item == losses[index])
            if index > 0 {
                forgotten.insert(
                    own.loss(inputs, targets, carries: carries, mode: .inference).loss.item != losses[index])
            }
            carries = segment.carries
        }
        #expect(forgotten == [false, true])
    }

    @Test("States may be given once for all rows") func statesForAllRowsAreThoseOfEach() {
        let model = makeBlockRecurrentModel()
        let states = Tensor.normal([5, 12], key: RandomKey(seed: 3))
        let tokens = randomTokens([2, 9])
        let all = model(tokens, xlMemories: [], states: [states])
        let each = model(tokens, xlMemories: [], states: [stack([states, states])])
        #expect(all.logits.values == each.logits.values && all.states[0].values == each.states[0].values)
        #expect(all.logits.values != model(tokens).values)
    }

    @Test("Dropout takes its share of segments") func segmentsForgetByChance() {
        let model = RecurrentTrainerWrapper(makeBlockRecurrentModel(), stateDropout: 0.3).transformer
        let text = randomTokens([1, 18])
        let carries = model.read(text.columns(0..<12)).carries
        let rest = text.columns(12..<13)
        let kept = model.logits(rest, carries: carries, mode: .inference).logits.values
        let count = (0..<400).count {
            model.logits(rest, carries: carries, mode: .training(RandomKey(seed: $0))).logits.values != kept
        }
        #expect(abs(count - 120) < 46)  // five deviations of 9.2
    }

    /// The gradients of the state write are of blocks that another one follows within the segment: none where a segment is
    /// a block, as in the peer.
    @Test("A segment of one block does not train the write of states") func aSegmentOfOneBlockDoesNotTrainTheWrite() {
        let model = makeBlockRecurrentModel()
        func trained(_ n: Int) -> Set<String> {
            let carries = model.read(randomTokens([1, 6])).carries
            let loss = model.loss(
                randomTokens([1, n], seed: 8), randomTokens([1, n], seed: 9), carries: carries, mode: .inference)
            let gradients = gradients(of: loss.loss)
            return Set(model.trainable.filter { gradients[$0.parameter] != nil }.map(\.key))
        }
        let missing = trained(12).subtracting(trained(6))
        let container = "layers.1.0.state_container."
        #expect(
            missing
                == Set(
                    [
                        "learned_ema_beta", "state_out_to_gate.weight", "state_out_to_gate.bias", "to_state_out.weight",
                        "q_from_state.weight", "state_to_q.weight", "state_self_attn.q_scale",
                        "state_self_attn.k_scale",
                        "from_state_cross_attn.q_scale", "from_state_cross_attn.k_scale",
                    ].map { container + $0 }))
    }

    /// The wrapper's loss is the mean over segments; its generation that of decoding, whatever is chosen.
    @Test("The wrapper's loss is the mean over segments, its generation decoding") func theWrapperReadsSegments() {
        let wrapper = RecurrentTrainerWrapper(makeBlockRecurrentModel())
        let tokens = randomTokens([2, 31])
        var carries: [RecurrentMemory?] = [nil, nil]
        var losses: [Float] = []
        for range in [0..<12, 12..<24, 24..<30] {
            let segment = wrapper.transformer.loss(
                tokens.columns(range), tokens.columns(range.lowerBound + 1..<range.upperBound + 1), carries: carries,
                mode: .inference)
            carries = segment.carries
            losses.append(segment.loss.item)
        }
        #expect(abs(wrapper(tokens).item - losses.reduce(0, +) / 3) < 1e-6)
        let prompts = [randomTokens([13], seed: 4).values, randomTokens([5], seed: 5).values]
        let texts = wrapper.generate(prompts, length: 20)
        for (prompt, text) in zip(prompts, texts) {
            let whole = prompt + text
            let all = wrapper.transformer.read(TokenTensor(whole, shape: [1, whole.count])).logits.at(0, 0)
            #expect(Array(all.argmax().values[(prompt.count - 1)...].dropLast()) == text)
        }
        #expect(wrapper.generate(prompts, length: 3) { _ in [7, 2] } == [[7, 7, 7], [2, 2, 2]])
        #expect(wrapper.generate(prompts, length: 0) == [[], []])
    }

    @Test("Only layers between a read and its write are passed block by block") func stagesAreWhatReadsRequire() {
        func stages(_ pairs: [(Int, Int)], depth: Int, feedback: Bool = false) -> [ClosedRange<Int>] {
            BlockRecurrentTransformer.stages(
                pairs.map { .init(write: $0, read: $1) }, depth: depth, feedback: feedback)
        }
        #expect(stages([(1, 1)], depth: 3) == [0...0, 1...1, 2...2])
        #expect(stages([(2, 0)], depth: 4) == [0...2, 3...3])
        #expect(stages([(1, 0), (3, 2)], depth: 5) == [0...1, 2...3, 4...4])
        #expect(stages([(2, 1), (3, 2)], depth: 4) == [0...0, 1...3])
        #expect(stages([(1, 1)], depth: 3, feedback: true) == [0...1, 2...2])
    }
}
