import FixtureSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// Token by token, in segments and at once are the same, at every position and however the tokens are cut.
@Suite struct DecodingTests {
    private func tokens(_ n: Int, seed: UInt64 = 2) -> [Int32] { randomTokens([n], seed: seed).values }

    @Test(
        "decoding equals the forward pass, however the tokens are cut", arguments: Variant.some,
        [Array(1...40), [40], [3, 4, 35, 40]])
    func equalsTheForward(_ variant: Variant, cuts: [Int]) {
        let model = makeModel(variant)
        let text = tokens(40)
        let all = model(TokenTensor(text, shape: [1, 40]))
        var states = [model.startDecoding()]
        var start = 0
        for cut in cuts {
            let logits = model.decode([Array(text[start..<cut])], states: &states)
            expectSame(logits.at(0, 0), all.at(0, 0).at(0, cut - 1), "position \(cut - 1)")
            start = cut
        }
        #expect(states[0].position == 40)
    }

    @Test(
        "decoding equals the forward pass where threads share wide heads",
        arguments: [Variant(), Variant(rule: .sum, nu: 3)])
    func equalsTheForwardOfManyTokens(_ variant: Variant) {
        let n = 300
        let model = makeModel(variant) { ($0.width, $0.heads, $0.layers) = (320, 2, 1) }
        let text = tokens(n)
        let all = model(TokenTensor(text, shape: [1, n]))
        var states = [model.startDecoding()]
        var start = 0
        for cut in [150, 151, 152, 290, n] {
            let logits = model.decode([Array(text[start..<cut])], states: &states)
            expectClose(
                logits.at(0, 0), all.at(0, 0).at(0, cut - 1), through: model, positions: n, "position \(cut - 1)")
            start = cut
        }
    }

    @Test("sequences of unequal length are decoded in one call", arguments: Variant.some)
    func decodesRaggedBatches(_ variant: Variant) {
        let model = makeModel(variant)
        let texts = [tokens(9, seed: 3), tokens(15, seed: 4), tokens(1, seed: 5)]
        let next = [tokens(5, seed: 6), tokens(1, seed: 7), tokens(12, seed: 8)]
        var states = texts.map { _ in model.startDecoding() }
        _ = model.decode(texts, states: &states)
        let logits = model.decode(next, states: &states)
        for row in texts.indices {
            let text = texts[row] + next[row]
            let all = model(TokenTensor(text, shape: [1, text.count]))
            expectSame(logits.at(0, row), all.at(0, 0).at(0, text.count - 1), "row \(row)")
        }
        #expect(states.map(\.position) == [14, 16, 13])
    }

    @Test("a copied state is a branch of the text", arguments: Variant.some)
    func copiesAreBranches(_ variant: Variant) {
        let model = makeModel(variant)
        var states = [model.startDecoding()]
        _ = model.decode([tokens(10)], states: &states)
        var branch = states
        let other = model.decode([[4]], states: &branch)
        let first = model.decode([[2]], states: &states)
        var again = [model.startDecoding()]
        _ = model.decode([tokens(10)], states: &again)
        var third = again
        #expect(model.decode([[4]], states: &again).values == other.values)
        #expect(model.decode([[2]], states: &third).values == first.values)
        #expect(first.values != other.values)
    }

    @Test("the state keeps its size whatever has been read", arguments: Variant.remembering)
    func theStateDoesNotGrow(_ variant: Variant) {
        let model = makeModel(variant)
        var states = [model.startDecoding()]
        func size() -> Int {
            states[0].layers.reduce(0) { sum, layer in
                guard case .weights(let weights) = layer else { return sum }
                return sum + weights.memory.heldBytes + (weights.keySum?.heldBytes ?? 0)
            }
        }
        let before = size()
        let configuration = model.configuration
        let floats = configuration.features * (configuration.width + (variant.normalizesAttention ? variant.heads : 0))
        #expect(before == configuration.layers * floats * 4)
        for count in [1, 50, 1, 1] { _ = model.decode([tokens(count)], states: &states) }
        #expect(size() == before)
    }

    // MARK: Segments

    /// Segments of a text, each row with what it remembers, one of them beginning later than the others.
    @Test("segments carry the memory, each row its own", arguments: Variant.remembering)
    func segmentsCarryTheMemory(_ variant: Variant) throws {
        let model = makeModel(variant)
        let text = randomTokens([3, 60])
        func columns(_ range: Range<Int>) -> TokenTensor {
            TokenTensor(
                (0..<3).flatMap { row in range.map { text.values[row * 60 + $0] } }, shape: [3, range.count])
        }
        let whole = model(text)
        var carries = [FastWeightsCarry?](repeating: nil, count: 3)
        for range in [0..<20, 20..<21, 21..<60] {
            let (logits, next) = model.logits(columns(range), carries: carries, mode: .inference)
            expectSame(
                logits, whole.sliced(1, from: range.lowerBound, to: range.upperBound), "tokens \(range)")
            // Through a file and back.
            carries = try next.map { try FastWeightsCarry(tensors: try #require($0).tensors) }
            #expect(carries.allSatisfy { $0?.position == range.upperBound })
        }
        carries[1] = nil
        let after = model.logits(columns(0..<9), carries: carries, mode: .inference).logits
        expectSame(after.at(0, 1), whole.at(0, 1).sliced(0, to: 9), "the row that begins again")
        let difference = after.at(0, 0) - whole.at(0, 0).sliced(0, to: 9)
        #expect(difference.values.contains { abs($0) > 1e-3 })
    }

    @Test("softmax attention carries nothing")
    func softmaxCarriesNothing() {
        let model = makeModel(Variant(map: .softmax))
        let (_, carries) = model.logits(randomTokens([2, 5]), carries: [nil, nil], mode: .inference)
        #expect(carries.allSatisfy { $0 == nil } && !model.carriesState && makeModel().carriesState)
    }

    @Test("tensors that are no carry are named")
    func carriesThatDoNotFitAreNamed() throws {
        let (_, carries) = makeModel().logits(randomTokens([1, 5]), carries: [nil], mode: .inference)
        let tensors = try #require(carries[0]).tensors
        let wrong: [([String: Tensor], String)] = [
            (tensors.filter { $0.key != "position" }, "position []; expected [2]"),
            (tensors.filter { $0.key == "position" }, "layers.0.memory is missing"),
            (
                tensors.merging(["layers.1.memory": .zeros([2, 2])]) { $1 },
                "layers.1.memory [2, 2]; expected [1, h, dk, d]"
            ),
            (
                tensors.merging(["position": Tensor([.nan, 0])]) { $1 },
                "position [nan, 0.0]; expected whole numbers up to 2²⁴ and below 2¹⁶"
            ),
            (
                tensors.merging(["layers.0.key_sum": .zeros([1, 2, 12, 1])]) { $1 },
                "key_sum [[1, 2, 12, 1]]; expected [1, h, dk, 1] in all 2 layers or none"
            ),
        ]
        for (tensors, message) in wrong {
            let error = #expect(throws: InputError.self) { try FastWeightsCarry(tensors: tensors) }
            #expect(error?.description == message)
        }
    }

    // MARK: Saving

    @Test("decoding resumes from a saved carry with the same bits", arguments: Variant.remembering)
    func aDecodingStateGoesOnFromItsCarry(_ variant: Variant) throws {
        let model = makeModel(variant)
        let text = tokens(30)
        var states = [model.startDecoding()]
        _ = model.decode([Array(text[..<20])], states: &states)
        let tensors = try #require(model.carry(of: states[0])).tensors
        let carry = try FastWeightsCarry(tensors: tensors.mapValues { Tensor($0.values, shape: $0.shape) })
        var others = [try model.decodingState(after: carry)]
        #expect(others[0].position == 20)
        let segment = model.logits(TokenTensor(Array(text[20...]), shape: [1, 10]), carries: [carry], mode: .inference)
        for place in 20..<30 {
            let logits = model.decode([[text[place]]], states: &states)
            #expect(model.decode([[text[place]]], states: &others).values == logits.values)
            expectSame(logits.at(0, 0), segment.logits.at(0, 0).at(0, place - 20), "position \(place)")
        }
    }

    @Test("the carry of another model is refused by name")
    func aCarryOfAnotherModelIsNamed() throws {
        let model = makeModel()
        let carry = try #require(model.carry(of: model.startDecoding()))
        func expectRefusal(_ message: String, _ model: FastWeightsLM, location: SourceLocation = #_sourceLocation) {
            let error = #expect(throws: InputError.self, sourceLocation: location) {
                try model.decodingState(after: carry)
            }
            #expect(error?.message == message, sourceLocation: location)
        }
        let shape = carry.layers[0].memory.shape
        expectRefusal(
            "has the memories of \(carry.layers.count) layers; expected 1", makeModel(Variant()) { $0.layers = 1 })
        expectRefusal(
            "layers.0.memory: expected \([1, shape[1], 3 * shape[2], shape[3]]), found \(shape)",
            makeModel(Variant(nu: 3)))
        expectRefusal(
            "layers.0.key_sum: expected \([1, shape[1], shape[2], 1]), found none",
            makeModel(Variant(normalizesAttention: true)))
        expectRefusal(
            "expected nothing, as softmax attention carries no memory", makeModel(Variant(map: .softmax)))
        let softmax = makeModel(Variant(map: .softmax))
        #expect(softmax.carry(of: softmax.startDecoding()) == nil)
    }

    @Test("positions beyond the whole numbers of a float survive")
    func farPositionsAreExact() throws {
        let carry = FastWeightsCarry(
            layers: [FastWeights(memory: .zeros([1, 1, 2, 2]))], position: 3_000_000_001)
        #expect(try FastWeightsCarry(tensors: carry.tensors).position == 3_000_000_001)
    }
}
