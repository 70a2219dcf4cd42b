import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

// MARK: Decoding

extension LanguageModelContractTests {
    /// Reads a text in calls that end at `cuts`, and expects the logits of the forward pass after each.
    private func expectDecodes<Model: LanguageModel>(_ model: Model, _ text: [Int32], cuts: [Int]) {
        func forward() -> Tensor { model.read(TokenTensor(text, shape: [1, text.count])).logits.at(0, 0) }
        let all = forward()
        var states = [model.startDecoding()]
        var start = 0
        for cut in cuts + [text.count] where cut > start {
            let logits = model.decode([Array(text[start..<cut])], states: &states)
            expectClose(
                logits, all.sliced(0, from: cut - 1, to: cut), through: model, positions: text.count,
                "position \(cut - 1) of calls that end at \(cuts)"
            ) { forward().sliced(0, from: cut - 1, to: cut) }
            start = cut
        }
    }

    @Test(
        "Decoding equals the forward pass, wherever the calls end, over several segments",
        arguments: ContractModel.causal)
    func decoding(_ entry: ContractModel) throws {
        let model = try entry.make()
        let count = model.carriesState ? 2 * n + 3 : min(37, model.maximumLength ?? 37)
        let text = entry.tokens(count)
        for cuts in [Array(1..<count), [], [3, 4, 9, 17], [5, 8, 13, 14, 20]] { expectDecodes(model, text, cuts: cuts) }
        for cut in 1..<count { expectDecodes(model, text, cuts: [cut]) }
    }

    @Test("Sequences of a ragged batch decode as alone", arguments: ContractModel.causal)
    func raggedBatches(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            // Twice one token of each, so that what the first of these leaves is read by the second.
            let counts = [[9, 5, 1, 1], [1, 1, 1, 1], [11, 11, 1, 1], [4, 2, 1, 1]]
            var states = counts.map { _ in model.startDecoding() }
            var alone = states
            for call in 0..<4 {
                let texts = counts.enumerated().map { row, counts in
                    entry.tokens(counts[call], seed: UInt64(10 * call + row))
                }
                let together = model.decode(texts, states: &states)
                for (row, text) in texts.enumerated() {
                    var state = [alone[row]]
                    let logits = model.decode([text], states: &state)
                    alone[row] = state[0]
                    expectClose(
                        together.sliced(0, from: row, to: row + 1), logits, through: model, positions: n,
                        "row \(row) of call \(call)")
                }
            }
        }
    }

    @Test("A copied state is a branch", arguments: ContractModel.causal)
    func branches(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            for length in [3, 7, 10, 18] {
                func begun() -> [Model.DecodingState] {
                    var states = [model.startDecoding()]
                    _ = model.decode([entry.tokens(length)], states: &states)
                    return states
                }
                func read(_ texts: [[Int32]]) -> [[Float]] {
                    var states = begun()
                    return texts.map { model.decode([$0], states: &states).values }
                }
                // In turns, so that what one writes in place the other would read.
                var trunk = begun()
                var branch = trunk
                var (one, other) = ([[Float]](), [[Float]]())
                for (token, changed) in [(1, 4), (2, 5), (3, 6)] as [(Int32, Int32)] {
                    one.append(model.decode([[token]], states: &trunk).values)
                    other.append(model.decode([[changed]], states: &branch).values)
                }
                #expect(read([[1], [2], [3]]) == one, "the trunk after \(length) tokens")
                #expect(read([[4], [5], [6]]) == other, "the branch after \(length) tokens")
                #expect(one[2] != other[2])
                // Several tokens in a call.
                trunk = begun()
                branch = trunk
                let first = model.decode([[1, 2, 3]], states: &trunk).values
                let second = model.decode([[4, 5, 6]], states: &branch).values
                let next = model.decode([[7, 8]], states: &trunk).values
                #expect(read([[1, 2, 3], [7, 8]]) == [first, next], "the trunk after \(length) tokens")
                #expect(read([[4, 5, 6]]) == [second], "the branch after \(length) tokens")
            }
        }
    }

    @Test("The state does not grow with the text, full attention excepted", arguments: ContractModel.causal.indices)
    func stateSize(_ index: Int) async {
        // In a process of its own: the memory of tensors is everybody's.
        await #expect(processExitsWith: .success) { [index] in
            try ContractModel.causal[index].requireBoundedState()
        }
    }

    @Test("A text as long as can be decoded has numbers at its end", arguments: ContractModel.causal)
    func longestTexts(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            let most = model.maximumDecodingLength ?? 700
            var states = [model.startDecoding()]
            for count in [most / 3, most - most / 3 - 1, 1] {
                let logits = model.decode([entry.tokens(count)], states: &states)
                #expect(logits.shape == [1, vocabulary])
                #expect(logits.values.allSatisfy { $0.isFinite })
            }
        }
    }
}

// MARK: Segments

extension LanguageModelContractTests {
    @Test("Segments may end anywhere", arguments: ContractModel.carrying)
    func segments(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            let text = entry.tokens(2, by: 40)
            let (whole, carries) = model.read(text)
            for cuts in [[1, 2, 14, 20, 21, 32], [4, 8, 12, 16, 20, 24, 28, 32, 36], [20, 21], [39]] {
                let (logits, others) = model.read(text, cuts: cuts)
                expectClose(logits, whole, through: model, positions: 40, "segments that end at \(cuts)")
                for (carry, other) in zip(carries, others) {
                    try expectSame(#require(other), #require(carry), model, "segments that end at \(cuts)")
                }
            }
        }
    }

    @Test(
        "Rows that have read unequally much are as alone, those that begin among them",
        arguments: ContractModel.carrying)
    func rows(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            let lengths = [0, 18, 4, 18, 40, 0, 3, 24]
            let carries = lengths.enumerated().map { row, length in
                length == 0 ? nil : model.read(entry.tokens(1, by: length, seed: UInt64(20 + row))).carries[0]
            }
            let text = entry.tokens(lengths.count, by: 9, seed: 30)
            let (logits, after) = withoutGradients { model.logits(text, carries: carries, mode: .inference) }
            for row in lengths.indices {
                let own = TokenTensor(Array(text.values[row * 9..<(row + 1) * 9]), shape: [1, 9])
                let (alone, carry) = withoutGradients {
                    model.logits(own, carries: [carries[row]], mode: .inference)
                }
                expectClose(logits.at(0, row), alone.at(0, 0), through: model, positions: 49, "row \(row)")
                try expectSame(#require(after[row]), #require(carry[0]), model, "row \(row)")
            }
            let fresh = withoutGradients { model.logits(text, carries: lengths.map { _ in nil }, mode: .inference) }
            #expect(fresh.logits.at(0, 1).values != logits.at(0, 1).values, "a carry tells something")
        }
    }

    @Test("A carry goes through a file into segments and decoding, and back", arguments: ContractModel.carrying)
    func carries(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            let text = entry.tokens(40)
            func forward() -> (logits: Tensor, carries: [Model.Carry?]) {
                model.read(TokenTensor(text, shape: [1, 40]))
            }
            let (whole, end) = forward()
            for count in [3, 6, 18, 20, 24] {
                let begun = model.read(TokenTensor(Array(text[..<count]), shape: [1, count])).carries[0]
                let carry = try restored(#require(begun))
                let rest = withoutGradients {
                    let part = TokenTensor(Array(text[count..<40].prefix(n)), shape: [1, min(n, 40 - count)])
                    return model.logits(part, carries: [carry], mode: .inference).logits.at(0, 0)
                }
                expectClose(
                    rest, whole.at(0, 0).sliced(0, from: count, to: count + rest.shape[0]), through: model,
                    positions: 40, "after \(count) tokens")
                var states = [try model.decodingState(after: carry)]
                for place in count..<40 {
                    let logits = model.decode([[text[place]]], states: &states)
                    expectClose(
                        logits.at(0, 0), whole.at(0, 0).at(0, place), through: model, positions: 40,
                        "token \(place), decoded from \(count) on"
                    ) { forward().logits.at(0, 0).at(0, place) }
                }
                try expectSame(#require(model.carry(of: states[0])), #require(end[0]), model, "from \(count) on")
                // A state and its carry go on with the same bits.
                var others = [try model.decodingState(after: restored(#require(model.carry(of: states[0]))))]
                #expect(
                    model.decode([[1, 2]], states: &others).values == model.decode([[1, 2]], states: &states).values)
            }
        }
    }

    @Test("Models without a carry leave none", arguments: ContractModel.carryless)
    func noCarries(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            #expect(!model.carriesState)
            let (_, carries) = withoutGradients {
                model.logits(entry.tokens(2, by: n), carries: [nil, nil], mode: .inference)
            }
            #expect(carries.allSatisfy { $0 == nil })
            guard entry.isCausal else { return }
            #expect(model.carry(of: model.startDecoding()) == nil)
        }
    }

    /// Writes a carry into a file and reads it.
    private func restored<Carry: SegmentCarry>(_ carry: Carry) throws -> Carry {
        let folder = try TemporaryFolder()
        var writer = SafetensorsWriter()
        for (name, tensor) in carry.tensors { try writer.add(name, tensor) }
        try writer.write(to: folder.path + "/carry.safetensors")
        let file = try SafetensorsFile(path: folder.path + "/carry.safetensors")
        return try Carry(tensors: Dictionary(uniqueKeysWithValues: file.names.map { ($0, try file.tensor($0)) }))
    }

    private func expectSame<Carry: SegmentCarry>(
        _ carry: Carry, _ expected: Carry, _ model: any LanguageModel, _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let tensors = carry.tensors
        #expect(tensors.keys.sorted() == expected.tensors.keys.sorted(), "\(what)", sourceLocation: sourceLocation)
        for (name, tensor) in expected.tensors {
            expectClose(
                try #require(tensors[name]), tensor, through: model, positions: 49, "\(what): \(name)",
                sourceLocation: sourceLocation)
        }
    }
}
