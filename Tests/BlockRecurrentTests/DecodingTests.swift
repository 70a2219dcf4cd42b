import Foundation
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

/// Token by token, in segments however they are cut, and in batches of rows at different places are the same.
@Suite("Decoding and segments") struct DecodingTests {
    private func tokens(_ n: Int, seed: UInt64 = 2) -> [Int32] { randomTokens([n], seed: seed).values }

    /// Across blocks and segments: 40 tokens are six blocks and a part, three segments and a part.
    @Test(
        "Decoding equals the forward pass, however the text is cut", arguments: Variant.some,
        [Array(1...40), [40], [5, 7, 12, 13, 26, 27, 40]])
    func equalsTheForward(_ variant: Variant, cuts: [Int]) {
        let model = makeModel(variant)
        let text = tokens(40)
        let all = model.read(TokenTensor(text, shape: [1, 40])).logits
        var states = [model.startDecoding()]
        var start = 0
        for cut in cuts {
            let logits = model.decode([Array(text[start..<cut])], states: &states)
            expectSame(logits.at(0, 0), all.at(0, 0).at(0, cut - 1), "position \(cut - 1)")
            start = cut
        }
    }

    /// Sequences of unequal length in one call, each at its own place, then all a token on.
    @Test("Ragged batches decode as each row alone", arguments: Variant.some) func decodesRaggedBatches(
        _ variant: Variant
    ) {
        let model = makeModel(variant)
        let texts = [tokens(9, seed: 3), tokens(17, seed: 4), tokens(1, seed: 5)]
        let next = [tokens(5, seed: 6), tokens(1, seed: 7), tokens(12, seed: 8)]
        var states = texts.map { _ in model.startDecoding() }
        _ = model.decode(texts, states: &states)
        let logits = model.decode(next, states: &states)
        let last = model.decode([[1], [2], [3]], states: &states)
        for row in texts.indices {
            let text = texts[row] + next[row] + [Int32(row + 1)]
            let all = model.read(TokenTensor(text, shape: [1, text.count])).logits.at(0, 0)
            expectSame(logits.at(0, row), all.at(0, text.count - 2), "row \(row)")
            expectSame(last.at(0, row), all.at(0, text.count - 1), "row \(row), a token on")
        }
    }

    @Test("A copied state is a branch", arguments: Variant.some) func copiesAreBranches(_ variant: Variant) {
        let model = makeModel(variant)
        func begun() -> [BlockRecurrentState] {
            var states = [model.startDecoding()]
            _ = model.decode([tokens(11)], states: &states)
            return states
        }
        var states = begun()
        var branch = states
        // The twelfth token completes a block, the thirteenth reads the states that it wrote.
        let other = [[4], [3]].map { model.decode([$0], states: &branch) }
        let first = [[2], [3]].map { model.decode([$0], states: &states) }
        var (again, third) = (begun(), begun())
        #expect([[4], [3]].map { model.decode([$0], states: &again).values } == other.map(\.values))
        #expect([[2], [3]].map { model.decode([$0], states: &third).values } == first.map(\.values))
        #expect(first[1].values != other[1].values)
    }

    @Test("The decoding state does not grow", arguments: Variant.some) func theStateDoesNotGrow(_ variant: Variant) {
        let model = makeModel(variant)
        var states = [model.startDecoding()]
        let configuration = model.configuration
        _ = model.decode([tokens(40)], states: &states)
        let size = states[0].bytes
        let rows = 2 * configuration.blockWidth + configuration.compressedLength
        // Keys that tokens read are kept in blocks of 16.
        func blocks(_ keys: Int) -> Int { (keys + 15) / 16 * 16 }
        // The states of a recurrent layer, their normalized form, keys and values, and keys for tokens, twice.
        let written = configuration.recurrences.count * (5 * (12 + 12 + 2 * 4 + 4) + blocks(5) * 4)
        #expect(size == 4 * (3 * (rows * 2 * 4 + blocks(rows) * 4) + written))
        for count in [1, 50, 1, 1, 1, 1, 1] { _ = model.decode([tokens(count)], states: &states) }
        #expect(states[0].bytes == size)
    }

    // MARK: Segments

    @Test(
        "Segments may end anywhere, also inside of blocks", arguments: Variant.some,
        [[1, 2, 14, 20, 21, 32, 40], [6, 12, 18, 24, 30, 36, 40]])
    func segmentsAreCutAnywhere(_ variant: Variant, cuts: [Int]) {
        let model = makeModel(variant)
        let text = randomTokens([2, 40])
        let (whole, carries) = model.read(text)
        let (parts, others) = model.read(text, cuts: cuts)
        expectSame(parts, whole, "logits")
        for (first, second) in zip(carries, others) {
            #expect(first?.tensors.keys.sorted() == second?.tensors.keys.sorted())
            for (name, tensor) in first?.tensors ?? [:] { expectSame(second!.tensors[name]!, tensor, name) }
        }
    }

    /// A batch of rows that begin, rows inside a block and rows that have read much.
    @Test("Rows that have read unequally much do not affect each other", arguments: Variant.some)
    func rowsAreEachForThemselves(_ variant: Variant) throws {
        let model = makeModel(variant)
        let lengths = [0, 18, 4, 18, 40, 0]
        let before = lengths.enumerated().map { randomTokens([1, $1], seed: UInt64(20 + $0)) }
        var carries = before.map { $0.shape[1] == 0 ? nil : model.read($0).carries[0] }
        carries[3] = carries[3]?.forgetting(["states"])
        let next = randomTokens([lengths.count, 9], seed: 30)
        let (logits, after) = model.logits(next, carries: carries, mode: .inference)
        for row in lengths.indices {
            let own = TokenTensor(Array(next.values[row * 9..<(row + 1) * 9]), shape: [1, 9])
            let (alone, carry) = model.logits(own, carries: [carries[row]], mode: .inference)
            expectSame(logits.at(0, row), alone.at(0, 0), "row \(row)")
            for (name, tensor) in try #require(carry[0]).tensors {
                expectSame(after[row]!.tensors[name]!, tensor, "row \(row), \(name)")
            }
        }
    }

    @Test("A carry goes through a file into decoding and back", arguments: Variant.some, [18, 20]) func memoriesMove(
        _ variant: Variant, n: Int
    ) throws {
        let model = makeModel(variant)
        let text = tokens(30)
        let begun = model.read(TokenTensor(Array(text[..<n]), shape: [1, n])).carries[0]
        let path = NSTemporaryDirectory() + "block-recurrent-\(variant.name)-\(n).safetensors"
        defer { try? FileManager.default.removeItem(atPath: path) }
        var writer = SafetensorsWriter()
        for (name, tensor) in try #require(begun).tensors { try writer.add(name, tensor) }
        try writer.write(to: path)
        let file = try SafetensorsFile(path: path)
        let carry = try RecurrentMemory(
            tensors: Dictionary(uniqueKeysWithValues: try file.names.map { ($0, try file.tensor($0)) }))
        let whole = model.read(TokenTensor(text, shape: [1, 30])).logits.at(0, 0)
        let rest = TokenTensor(Array(text[n...]), shape: [1, 30 - n])
        expectSame(
            model.logits(rest, carries: [carry], mode: .inference).logits.at(0, 0), whole.sliced(0, from: n), "logits")
        var states = [try model.decodingState(after: carry)]
        for position in n..<30 {
            let logits = model.decode([[text[position]]], states: &states)
            expectSame(logits.at(0, 0), whole.at(0, position), "position \(position)")
        }
        let end = model.read(TokenTensor(text, shape: [1, 30])).carries[0]
        for (name, tensor) in try #require(end).tensors {
            expectSame(try #require(model.carry(of: states[0])?.tensors[name]), tensor, name)
        }
    }

    @Test("Another model's memories are refused") func memoriesOfOtherModelsAreRefused() throws {
        let model = makeModel()
        let wrong: [(Variant, Int, String)] = [
            (Variant("depth") { $0.depth = 2 }, 12, "layers: expected 3, 1 of them recurrent, found 2 and 1"),
            (Variant.feedback, 12, ""),
            (
                Variant("width") { $0.blockWidth = 12 }, 12,
                "memories.0: expected [2, 1, 1…6, 4], found [2, 1, 12, 4]"
            ),
            (
                Variant("head") { $0.headDimension = 6 }, 5,
                "blocks.0: expected [2, 1, 1…5, 4], found [2, 1, 5, 6]"
            ),
            (Variant("states") { $0.stateVectors = 7 }, 12, "states.0: expected [1, 5, 12], found [1, 7, 12]"),
        ]
        for (variant, n, message) in wrong {
            let carry = try #require(makeModel(variant).read(randomTokens([1, n])).carries[0])
            if message.isEmpty {
                _ = try model.decodingState(after: carry)  // The layers that read states leave no trace in them.
                continue
            }
            let error = #expect(throws: InputError.self) { try model.decodingState(after: carry) }
            #expect(error?.description == message)
        }
    }

    @Test("A carry that misses tensors or has wrong ones is refused") func memoriesThatDoNotFitAreNamed() throws {
        let tensors = try #require(makeModel().read(randomTokens([1, 20])).carries[0]).tensors
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
