import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// Wide heads, and what states and carries hold. The rest of decoding is in the contract of language models.
@Suite struct FastWeightsDecodingTests {
    private func tokens(_ n: Int, seed: UInt64 = 2) -> [Int32] { randomTokens([n], seed: seed).values }

    @Test(
        "Decoding equals the forward pass where threads share wide heads",
        arguments: [FastWeightsVariant(), FastWeightsVariant(rule: .sum, nu: 3)])
    func equalsTheForwardOfManyTokens(_ variant: FastWeightsVariant) {
        let n = 300
        let model = makeFastWeightsModel(variant) { ($0.width, $0.heads, $0.layers) = (320, 2, 1) }
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

    @Test("The state keeps its size whatever has been read", arguments: FastWeightsVariant.remembering)
    func theStateDoesNotGrow(_ variant: FastWeightsVariant) {
        let model = makeFastWeightsModel(variant)
        var states = [model.startDecoding()]
        func size() -> Int {
            states[0].layers.reduce(0) { sum, layer in
                guard case .weights(let weights) = layer else { return sum }
                return sum + weights.memory.heldBytes + (weights.keySum?.heldBytes ?? 0)
                    + (weights.history?.heldBytes ?? 0)
            }
        }
        let before = size()
        let configuration = model.configuration
        let floats = configuration.features * (configuration.width + (variant.normalizesAttention ? variant.heads : 0))
        let history = max(variant.convolution - 1, 0) * 3 * configuration.width
        #expect(before == configuration.layers * (floats + history) * 4)
        for count in [1, 50, 1, 1] { _ = model.decode([tokens(count)], states: &states) }
        #expect(size() == before)
    }

    // MARK: Segments

    @Test("Tensors that are no carry are named")
    func carriesThatDoNotFitAreNamed() throws {
        let (_, carries) = makeFastWeightsModel().logits(randomTokens([1, 5]), carries: [nil], mode: .inference)
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
            (
                tensors.merging(["layers.0.convolution": .zeros([1, 3, 36])]) { $1 },
                "convolution [[1, 3, 36]]; expected [1, kernel − 1, 3 m] in all 2 layers or none"
            ),
            (
                tensors.merging(
                    ["layers.0.convolution": .zeros([1, 3, 36]), "layers.1.convolution": .zeros([1, 3, 12])]
                ) { $1 },
                "convolution [[1, 3, 36], [1, 3, 12]]; expected [1, kernel − 1, 3 m] in all 2 layers or none"
            ),
        ]
        for (tensors, message) in wrong {
            let error = #expect(throws: InputError.self) { try FastWeightsCarry(tensors: tensors) }
            #expect(error?.description == message)
        }
    }

    // MARK: Saving

    @Test("The carry of another model is refused by name")
    func aCarryOfAnotherModelIsNamed() throws {
        let model = makeFastWeightsModel()
        let carry = try #require(model.carry(of: model.startDecoding()))
        func expectRefusal(_ message: String, _ model: FastWeightsLM, location: SourceLocation = #_sourceLocation) {
            let error = #expect(throws: InputError.self, sourceLocation: location) {
                try model.decodingState(after: carry)
            }
            #expect(error?.message == message, sourceLocation: location)
        }
        let shape = carry.layers[0].memory.shape
        expectRefusal(
            "has the memories of \(carry.layers.count) layers; expected 1",
            makeFastWeightsModel(FastWeightsVariant()) { $0.layers = 1 })
        expectRefusal(
            "layers.0.memory: expected \([1, shape[1], 3 * shape[2], shape[3]]), found \(shape)",
            makeFastWeightsModel(FastWeightsVariant(nu: 3)))
        expectRefusal(
            "layers.0.key_sum: expected \([1, shape[1], shape[2], 1]), found none",
            makeFastWeightsModel(FastWeightsVariant(normalizesAttention: true)))
        expectRefusal(
            "layers.0.convolution: expected [1, 3, 36], found none",
            makeFastWeightsModel(FastWeightsVariant(convolution: 4)))
        expectRefusal(
            "expected nothing, as softmax attention carries no memory",
            makeFastWeightsModel(FastWeightsVariant(map: .softmax)))
        let softmax = makeFastWeightsModel(FastWeightsVariant(map: .softmax))
        #expect(softmax.carry(of: softmax.startDecoding()) == nil)
    }

    @Test("Positions beyond the whole numbers of a float survive")
    func farPositionsAreExact() throws {
        let carry = FastWeightsCarry(
            layers: [FastWeights(memory: .zeros([1, 1, 2, 2]))], position: 3_000_000_001)
        #expect(try FastWeightsCarry(tensors: carry.tensors).position == 3_000_000_001)
    }
}
