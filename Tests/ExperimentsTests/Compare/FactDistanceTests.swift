import ModelZoo
import Testing

@testable import AttentionZooExperiments

/// The control of what states are worth, on models that have learned nothing.
@Suite("A fact over a distance") struct FactDistanceTests {
    private let task = FactDistance()
    private let key = RandomKey(seed: 3)

    private func model(_ id: String) throws -> any LanguageModel {
        try Zoo.architecture(id).recallModel(
            .recall(vocabulary: task.vocabulary, length: task.trainingLength), key: key)
    }

    private func likeliest(_ model: some LanguageModel, _ sequence: RecallSequence, forgets: Bool) -> Int32? {
        // Whatever the model holds for the likeliest: the answer that it would find.
        (0..<Int32(model.vocabularySize)).first { token in
            var asked = sequence
            asked.questions[0].answer = [token]
            return forgets
                ? model.answersForgettingStates(to: [asked], block: FactDistance.block)! == [true]
                : model.answers(to: [asked])! == [[true]]
        }
    }

    @Test("Only block-recurrent models have states to forget", arguments: Zoo.identifiers)
    func statesAreBlockRecurrent(_ id: String) throws {
        #expect(try model(id).hasStates == (id == "block-recurrent"))
    }

    @Test("Without states what lies beyond the memories changes nothing, with them it does")
    func forgettingCutsTheReach() throws {
        let model = try model("block-recurrent")
        // Two layers of memories reach 2 · 63 tokens back.
        let sequence = task.testSequence(of: 256 + 32, depth: nil, key: key)
        func logits(_ sequence: RecallSequence, forgets: Bool) -> [Int32?] {
            (0..<4).map { shift in
                var moved = sequence
                moved.tokens[sequence.questions[0].place - 1] = Int32(16 + shift)
                return likeliest(model, moved, forgets: forgets)
            }
        }
        var other = sequence
        for place in 0..<32 { other.tokens[place] = Int32(16 + (place * 7) % 16) }
        #expect(logits(sequence, forgets: true) == logits(other, forgets: true))
        #expect(logits(sequence, forgets: true).allSatisfy { $0 != nil })
    }

    @Test("A cell reports distances, and the control where there are states")
    func cellsReportDistances() throws {
        struct Short: RecallTask {
            let task = FactDistance()
            var name: RecallTaskName { .distance }
            var vocabulary: Int { task.vocabulary }
            var chance: Double { task.chance }
            var trainingLengths: [Int] { [64] }
            var testLengths: [Int] { [48, 96, 160] }
            func trainingSequence(of length: Int, key: RandomKey) -> RecallSequence {
                task.trainingSequence(of: length, key: key)
            }
            func testSequence(of length: Int, depth: Double?, key: RandomKey) -> RecallSequence {
                task.testSequence(of: length, depth: depth, key: key)
            }
            func guess(in sequence: RecallSequence) -> Double { chance }
        }
        var options = RecallOptions()
        (options.minutes, options.steps) = (nil, 1)
        for id in ["block-recurrent", "local"] {
            let outcome = try #require(
                try RecallCell(task: .distance, model: id).run(
                    Short(), options, seed: 1, progress: { _, _ in }, stop: { false }))
            #expect(outcome.accuracies.map(\.distance) == [16, 64, 128])
            #expect(outcome.withoutStates?.map(\.distance) == (id == "local" ? nil : [16, 64]))
            // Local attention sees 64 tokens back: what stands farther is a guess.
            #expect(
                outcome.accuracies.map { $0.blindChance != nil }
                    == (id == "local" ? [false, false, true] : [false, false, false]))
        }
    }
}
