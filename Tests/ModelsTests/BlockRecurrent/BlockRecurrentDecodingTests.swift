import Foundation
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

/// The contents of states and carries. That decoding, segments and forward passes agree is in the contract of language
/// models.
@Suite("Decoding and segments") struct BlockRecurrentDecodingTests {
    private func tokens(_ n: Int, seed: UInt64 = 2) -> [Int32] { randomTokens([n], seed: seed).values }

    @Test("The decoding state does not grow", arguments: BlockRecurrentVariant.some) func theStateDoesNotGrow(
        _ variant: BlockRecurrentVariant
    ) {
        let model = makeBlockRecurrentModel(variant)
        var states = [model.startDecoding()]
        let configuration = model.configuration
        _ = model.decode([tokens(40)], states: &states)
        let size = states[0].bytes
        let rows = 2 * configuration.blockWidth + configuration.compressedLength
        let g = configuration.groups
        // Keys that tokens read are kept in blocks of 16.
        func blocks(_ keys: Int) -> Int { (keys + 15) / 16 * 16 }
        // The states of a recurrent layer, their normalized form, keys and values, and keys for tokens, twice.
        let written = configuration.recurrences.count * (5 * (12 + 12 + 3 * 4 * g) + blocks(5) * 4 * g)
        let bias = configuration.usesRelativeBias ? rows * configuration.heads : 0
        #expect(size == 4 * (3 * (rows * 2 * 4 * g + blocks(rows) * 4 * g + bias) + written))
        for count in [1, 50, 1, 1, 1, 1, 1] { _ = model.decode([tokens(count)], states: &states) }
        #expect(states[0].bytes == size)
    }

    /// The contract's models have temperatures that are positive.
    @Test("Temperatures count by their size in decoding as in the forward pass") func negativeTemperatures() throws {
        let model = makeBlockRecurrentModel(
            try #require(BlockRecurrentVariant.some.first { $0.name == "temperatures" }))
        for (key, parameter) in model.trainable where key.hasSuffix("temperature") {
            parameter.assign(-parameter.value.detached())
        }
        let text = tokens(15)
        let expected = model.read(TokenTensor(text, shape: [1, 15])).logits
        var states = [model.startDecoding()]
        for (place, token) in text.enumerated() {
            expectSameBlockRecurrent(
                model.decode([[token]], states: &states).at(0, 0), expected.at(0, 0).at(0, place), "token \(place)")
        }
    }

    // MARK: Segments

    @Test("Rows whose states are forgotten are read as alone beside others", arguments: BlockRecurrentVariant.some)
    func rowsWithoutStates(_ variant: BlockRecurrentVariant) throws {
        let model = makeBlockRecurrentModel(variant)
        let lengths = [0, 18, 18]
        let before = lengths.enumerated().map { randomTokens([1, $1], seed: UInt64(20 + $0)) }
        var carries = before.map { $0.shape[1] == 0 ? nil : model.read($0).carries[0] }
        carries[2] = carries[2]?.forgetting(["states"])
        let next = randomTokens([lengths.count, 9], seed: 30)
        let (logits, after) = model.logits(next, carries: carries, mode: .inference)
        for row in lengths.indices {
            let own = TokenTensor(Array(next.values[row * 9..<(row + 1) * 9]), shape: [1, 9])
            let (alone, carry) = model.logits(own, carries: [carries[row]], mode: .inference)
            expectSameBlockRecurrent(logits.at(0, row), alone.at(0, 0), "row \(row)")
            for (name, tensor) in try #require(carry[0]).tensors {
                expectSameBlockRecurrent(after[row]!.tensors[name]!, tensor, "row \(row), \(name)")
            }
        }
    }

    @Test("Another model's memories are refused") func memoriesOfOtherModelsAreRefused() throws {
        let model = makeBlockRecurrentModel()
        let wrong: [(BlockRecurrentVariant, Int, String)] = [
            (
                BlockRecurrentVariant("depth") { $0.depth = 2 }, 12,
                "layers: expected 3, 1 of them recurrent, found 2 and 1"
            ),
            (BlockRecurrentVariant.feedback, 12, ""),
            (
                BlockRecurrentVariant("width") { $0.blockWidth = 12 }, 12,
                "memories.0: expected [2, 1, 1…6, 4], found [2, 1, 12, 4]"
            ),
            (
                BlockRecurrentVariant("head") { $0.headDimension = 6 }, 5,
                "blocks.0: expected [2, 1, 1…5, 4], found [2, 1, 5, 6]"
            ),
            (
                BlockRecurrentVariant("states") { $0.stateVectors = 7 }, 12,
                "states.0: expected [1, 5, 12], found [1, 7, 12]"
            ),
        ]
        for (variant, n, message) in wrong {
            let carry = try #require(makeBlockRecurrentModel(variant).read(randomTokens([1, n])).carries[0])
            if message.isEmpty {
                _ = try model.decodingState(after: carry)  // The layers that read states leave no trace in them.
                continue
            }
            let error = #expect(throws: InputError.self) { try model.decodingState(after: carry) }
            #expect(error?.description == message)
        }
    }

    @Test("A carry that misses tensors or has wrong ones is refused") func memoriesThatDoNotFitAreNamed() throws {
        let tensors = try #require(makeBlockRecurrentModel().read(randomTokens([1, 20])).carries[0]).tensors
        let wrong: [([String: Tensor], String)] = [
            (
                tensors.filter { $0.key != "layers" },
                "layers: expected the numbers of layers and of recurrent ones, [2]"
            ),
            (
                tensors.filter { $0.key != "memories.1" },
                "memories.1: expected [2, 1, 6, 4] as memories.0, is missing"
            ),
            (
                tensors.merging(["blocks.2": .zeros([2, 1, 3, 4])]) { $1 },
                "blocks.2: expected [2, 1, 2, 4] as blocks.0, found [2, 1, 3, 4]"
            ),
            (tensors.merging(["states.0": .zeros([5, 12])]) { $1 }, "states.0: expected [1, s, m], found [5, 12]"),
            (
                tensors.merging(["memories.0": .zeros([2, 2, 6, 4])]) { $1 },
                "memories.0: expected [2, 1, n, d], found [2, 2, 6, 4]"
            ),
            (
                tensors.merging(["memories.0": .zeros([3, 1, 6, 4])]) { $1 },
                "memories.0: expected [2, 1, n, d], found [3, 1, 6, 4]"
            ),
        ]
        for (tensors, message) in wrong {
            let error = #expect(throws: InputError.self) { try RecurrentMemory(tensors: tensors) }
            #expect(error?.description == message)
        }
    }
}
