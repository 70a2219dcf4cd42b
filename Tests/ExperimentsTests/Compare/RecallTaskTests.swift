import ModelZoo
import Testing

@testable import AttentionZooExperiments

@Suite("Sequences of the recall tasks, by rules read off the tokens alone") struct RecallTaskTests {
    static let tasks: [any RecallTask] = RecallTaskName.allCases.compactMap(\.task)
    let key = RandomKey(seed: 5)

    /// Sequences of the training and of the tests, of all lengths but the longest.
    func sequences(_ task: some RecallTask, _ count: Int = 40) -> [RecallSequence] {
        let asked = task.testLengths.filter { $0 <= 1024 }
        return (0..<count).flatMap { index in
            task.trainingLengths.map { task.trainingSequence(of: $0, key: key.child(index)) }
                + asked.map { length in
                    let depth = task.depths[index % task.depths.count]
                    return task.testSequence(of: length, depth: depth, key: key.child(index).child(length))
                }
        }
    }

    @Test("Every sequence has its length, and answers where its questions say", arguments: tasks.indices)
    func sequencesAreWhatTheySay(_ index: Int) {
        let task = Self.tasks[index]
        for length in task.testLengths {
            let some = (0..<3).map { task.testSequence(of: length, depth: task.depths[0], key: key.child($0)) }
            #expect(some.allSatisfy { $0.tokens.count == length })
            #expect(Set(some.map { $0.questions.map(\.answer.count) }).count == 1, "they have equally many places")
            #expect(some[0] != some[1])
            #expect(some[0] == task.testSequence(of: length, depth: task.depths[0], key: key.child(0)))
        }
        for sequence in sequences(task) {
            #expect(sequence.tokens.allSatisfy { $0 >= 0 && $0 < task.vocabulary })
            let places = sequence.questions.flatMap { Array($0.places) }
            #expect(places == Set(places).sorted() && sequence.tokens.indices.contains(places.last!))
            for question in sequence.questions {
                // The answer stands where the distance says.
                let first = question.place - question.distance
                #expect(Array(sequence.tokens[first..<first + question.answer.count]) == question.answer)
                #expect(first + question.answer.count <= question.place)
            }
        }
    }

    @Test("A solver that knows the rules answers every question from the text before it", arguments: tasks.indices)
    func theTextBeforeAnswers(_ index: Int) {
        let task = Self.tasks[index]
        for sequence in sequences(task) {
            for question in sequence.questions {
                for (place, token) in zip(question.places, question.answer) {
                    #expect(Solver(task).answer(Array(sequence.tokens[...place])) == token)
                }
            }
        }
    }

    @Test("A batch holds sequences of one length")
    func batchesAreSequencesOfOneLength() {
        for task in Self.tasks {
            var lengths: Set<Int> = []
            for step in 0..<30 {
                let batch = task.trainingBatch(key: key.child(step))
                lengths.insert(batch.shape[1])
                #expect(batch.shape[0] * batch.shape[1] == 4096)
                #expect(batch.startsDocument.allSatisfy { $0 })
                let row = task.trainingSequence(of: batch.shape[1], key: key.child(step).child(1))
                let range = batch.shape[1]..<2 * batch.shape[1]
                #expect(Array(batch.inputs[range]) == row.tokens)
                var targets = [Int32](repeating: ignoredTarget, count: row.tokens.count)
                for question in row.questions {
                    for (place, token) in zip(question.places, question.answer) { targets[place] = token }
                }
                #expect(Array(batch.targets[range]) == targets)
            }
            #expect(lengths == Set(task.trainingLengths))
            #expect(task.trainingBatch(key: key.child(0)) != task.trainingBatch(key: key.child(1)))
        }
    }

    // MARK: Each task's own

    @Test("Pairs have distinct keys and values, each asked for once")
    func pairsHaveDifferentKeysAndValues() {
        let task = AssociativeRecall()
        let half = Int32(task.vocabulary / 2)
        for length in task.testLengths {
            let sequence = task.trainingSequence(of: length, key: key.child(length))
            let pairs = task.pairs(in: length)
            let (keys, values) = (
                (0..<pairs).map { sequence.tokens[2 * $0] }, (0..<pairs).map { sequence.tokens[2 * $0 + 1] }
            )
            #expect(Set(keys).count == pairs && keys.allSatisfy { $0 < half })
            #expect(Set(values).count == pairs && values.allSatisfy { $0 >= half })
            // Each is asked for once, and stands nowhere else.
            #expect(sequence.questions.map { sequence.tokens[$0.place] }.sorted() == keys.sorted())
            #expect(sequence.tokens.count { keys.contains($0) } == 2 * pairs)
            #expect(sequence.questions.allSatisfy { $0.place % 2 == 0 && $0.place >= 2 * pairs })
        }
    }

    /// The first draw of a slot has probabilities in proportion to g^(a−1): of 24 slots the first has
    /// 1 / Σ g^−0.99 = 0.262, the last 0.0113.
    @Test("The gaps of associative recall follow the power law")
    func gapsFollowThePowerLaw() {
        let task = AssociativeRecall()
        let count = 4000
        var slots = [Int](repeating: 0, count: 24)
        for index in 0..<count {
            let sequence = task.trainingSequence(of: 64, key: key.child(index))
            let first = sequence.questions.first { sequence.tokens[$0.place] == sequence.tokens[0] }!
            slots[(first.place - 16) / 2] += 1
        }
        let weights = (1...24).map { 1 / Float($0) }.map(Double.init)
        for (slot, weight) in weights.enumerated() {
            let expected = weight / weights.reduce(0, +) * Double(count)
            // Five standard deviations; g^−0.99 for g^−1 is less than one.
            #expect(abs(Double(slots[slot]) - expected) < 5 * expected.squareRoot(), "slot \(slot): \(slots[slot])")
        }
    }

    @Test("The follower of the special token is asked for at the end")
    func theSpecialTokenIsAskedAtTheEnd() {
        let task = InductionHeads()
        var (counts, places): (Set<Int>, [Int]) = ([], [])
        for index in 0..<400 {
            let training = task.trainingSequence(of: 64, key: key.child(index))
            let special = training.tokens.indices.filter { training.tokens[$0] == Int32(task.special) }
            counts.insert(special.count - 1)
            #expect(training.questions.map(\.place) == Array(special.dropFirst()) && special.last == 63)
            #expect(Set(training.questions.flatMap(\.answer)).count == 1)
            let test = task.testSequence(of: 64, depth: nil, key: key.child(index))
            #expect(test.tokens.count { $0 == Int32(task.special) } == 2 && test.questions.map(\.place) == [63])
            places.append(test.tokens.firstIndex(of: Int32(task.special))!)
        }
        #expect(counts == Set(1...8))
        // Anywhere: each of 62 places 6.5 times on average.
        #expect(Set(places).count > 55 && places.allSatisfy { $0 < 62 })
    }

    @Test("The tokens to copy come anywhere before the markers")
    func dataStandAnywhereBeforeTheMarkers() {
        let task = SelectiveCopying()
        for index in 0..<50 {
            let sequence = task.trainingSequence(of: 128, key: key.child(index))
            #expect(sequence.tokens.indices.filter { sequence.tokens[$0] == task.beginning } == [0])
            #expect(sequence.tokens.count { $0 == task.noise } == 111)
            #expect(sequence.tokens.suffix(8).allSatisfy { $0 == task.marker })
            #expect(sequence.tokens.prefix(120).count { $0 < task.kinds } == 8)
        }
    }

    @Test("A passkey is at its depth")
    func keysStandWhereTheDepthSays() {
        let task = Passkey()
        for (depth, first) in [(0.0, 0), (0.25, 61), (0.5, 122), (0.75, 183), (1, 244)] {
            let sequence = task.testSequence(of: 256, depth: depth, key: key)
            #expect(sequence.tokens.firstIndex(of: 10) == first)
            #expect(sequence.questions.count == 1 && sequence.questions[0].place == 251)
        }
        let counts = (0..<100).map { task.trainingSequence(of: 64, key: key.child($0)).questions.count }
        #expect(Set(counts) == Set(1...4))
    }

    @Test("The chances of a guess are those of the tasks")
    func chances() {
        let chances: [Double] = [1.0 / 64, 1.0 / 15, 1.0 / 14, 1e-5, 1.0 / 16, 1.0 / 8]
        #expect(Self.tasks.map(\.chance) == chances)
        #expect(Self.tasks.map(\.trainingLength) == [256, 256, 256, 256, 512, 512])
    }

    @Test("A fact is told once in the first block, and asked for over the distance of the length")
    func factsAreToldOnce() {
        let task = FactDistance()
        for (length, distance) in zip(task.testLengths, FactDistance.distances).prefix(7) {
            let sequence = task.testSequence(of: length, depth: nil, key: key.child(length))
            #expect(sequence.questions.map(\.distance) == [distance])
            #expect(sequence.tokens.count { $0 < 16 } == 1 && sequence.tokens.prefix(32).contains { $0 < 16 })
        }
        for length in task.trainingLengths {
            let sequence = task.trainingSequence(of: length, key: key.child(length))
            #expect(sequence.tokens.count { $0 < 16 } == 1 && sequence.tokens.count { $0 == task.key(0) } == 1)
            // One a block, but for those that the first block's fact comes after.
            #expect(sequence.questions.count >= length / 32 - 1 && sequence.questions.count <= length / 32)
            #expect(Set(sequence.questions.flatMap(\.answer)).count == 1)
        }
        #expect(
            Set((0..<200).map { task.testSequence(of: 48, depth: nil, key: key.child($0)).questions[0].answer }).count
                == 16)
    }

    @Test("Of several facts each has its key, and questions ask for all of them, over the distance of the length")
    func severalFacts() {
        let task = FactDistance(facts: 4)
        var asked: Set<Int32> = []
        for index in 0..<60 {
            let sequence = task.testSequence(of: 96, depth: nil, key: key.child(index))
            #expect(sequence.questions.map(\.distance) == [64])
            asked.insert(sequence.tokens[sequence.questions[0].place])
            let told = sequence.tokens.prefix(32)
            #expect((0..<4).allSatisfy { fact in told.count { $0 == task.key(fact) } == 1 })
            #expect(told.count { $0 < 8 } == 4 && sequence.tokens.count { $0 < 8 } == 4)
        }
        #expect(asked == Set((0..<4).map(task.ask)))
        let row = task.trainingSequence(of: 256, key: key)
        #expect((28...32).contains(row.questions.count))
        #expect(Set(row.questions.map { row.tokens[$0.place] }).count == 4)
    }
}

/// Answers by the rules of a task.
private struct Solver {
    private let task: any RecallTask

    init(_ task: any RecallTask) { self.task = task }

    /// Returns the token that follows others.
    func answer(_ tokens: [Int32]) -> Int32? {
        switch task {
        case is AssociativeRecall, is InductionHeads:
            return tokens.firstIndex(of: tokens.last!).map { tokens[$0 + 1] }
        case let task as FactDistance:
            let asked = Int(tokens.last! - task.ask(0))
            return tokens.firstIndex(of: task.key(asked)).map { tokens[$0 + 1] }
        case let task as SelectiveCopying:
            let data = tokens.filter { $0 < task.kinds }
            return data[tokens.count { $0 == task.marker } - 1]
        default:
            // After KEY d₁ … as many digits as since the last KEY.
            let since = tokens.count - tokens.lastIndex(of: 10)!
            return tokens[tokens.firstIndex(of: 10)! + since]
        }
    }
}
