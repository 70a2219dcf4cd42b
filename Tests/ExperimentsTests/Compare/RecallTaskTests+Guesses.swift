import ModelZoo
import Testing

@testable import AttentionZooExperiments

extension RecallTaskTests {
    // MARK: Guesses

    @Test("A guess at one of several facts names the value that was told most often")
    func guessesAmongToldValues() {
        let task = FactDistance(facts: 4)
        for index in 0..<40 {
            let sequence = task.testSequence(of: 96, depth: nil, key: key.child(index))
            let values = (0..<4).map { fact in
                sequence.tokens[sequence.tokens.firstIndex(of: task.key(fact))! + 1]
            }
            let most = values.map { value in values.count { $0 == value } }.max()!
            #expect(task.guess(in: sequence) == Double(most) / 4)
        }
        // Of four draws of 8 values the most frequent comes 1.65 times on average.
        #expect(abs(guess(task, 96, 2000) - 0.4121) < 0.02)
    }

    /// The mean over sequences of a length that are asked.
    private func guess(_ task: some RecallTask, _ length: Int, _ count: Int = 400) -> Double {
        (0..<count).reduce(0) { sum, index in
            sum + task.guess(in: task.testSequence(of: length, depth: 0.5, key: key.child(index)))
        } / Double(count)
    }

    @Test("A guess in associative recall picks among the values of the text")
    func guessesAmongTheTextsValues() {
        // D is n / 8, and no two values are the same; keys are left for the random tokens to avoid.
        let task = AssociativeRecall()
        let expected: [Double] = [1.0 / 4, 1.0 / 8, 1.0 / 32, 1.0 / 48]
        let found = [32, 64, 256, 384].map { guess(task, $0, 1) }
        #expect(found == expected)
        #expect(task.testLengths.allSatisfy { task.pairs(in: $0) < task.vocabulary / 2 })
    }

    /// One token named at all markers finds as many as there are of it.
    @Test("A guess in copying and induction picks the most frequent token")
    func guessesOfTheMostFrequent() {
        let (copying, induction) = (SelectiveCopying(), InductionHeads())
        for index in 0..<20 {
            let sequence = copying.testSequence(of: 64, depth: nil, key: key.child(index))
            let found = (0..<14).map { token in sequence.questions.count { $0.answer == [token] } }
            #expect(copying.guess(in: sequence) == Double(found.max()!) / 8)
        }
        // The follower is one of the 62 tokens that are not special: a token that comes k times is it with k / 62. What
        // guesses find is what they are expected to find: 2000 trials, four deviations of at most √(0.2 · 0.8 / 2000).
        let count = 2000
        let found = (0..<count).count { index in
            let sequence = induction.testSequence(of: 64, depth: nil, key: key.child(index))
            let others = sequence.tokens.filter { $0 != Int32(induction.special) }
            return others.counts.max { ($0.value, $0.key) < ($1.value, $1.key) }!.key == sequence.questions[0].answer[0]
        }
        #expect(abs(Double(found) / Double(count) - guess(induction, 64)) < 4 * 0.009)
        // With more tokens they come equally often.
        #expect(guess(induction, 64, 100) > 0.11 && guess(induction, 16_384, 4) < 0.075)
    }

    /// 100,000 keys have 2002 different sets of digits with repetition, C(14, 5): each is found once.
    @Test("A guess of the passkey's digits in any order has the expected chance")
    func guessesOfTheDigitsInAnyOrder() {
        // The standard deviation is that of 5! / (orders of equal digits), mostly 1 / 120 or 2 / 120: 0.03 at most.
        #expect(abs(guess(Passkey(), 64, 4000) - 0.02002) < 4 * 0.03 / 4000.squareRoot())
    }

    @Test("A blind guess excludes the values within the model's reach")
    func blindGuesses() {
        let task = AssociativeRecall()
        let sequence = task.testSequence(of: 128, depth: nil, key: key)
        for question in sequence.questions {
            for reach in [1, 20, question.distance - 1] where reach < question.distance {
                let seen = Set(sequence.tokens[max(0, question.place - reach)..<max(question.place, 32)].indices)
                let values = stride(from: 1, to: 32, by: 2).filter(seen.contains).map { sequence.tokens[$0] }
                #expect(!values.contains(question.answer[0]))
                #expect(task.guess(question, in: sequence, seeing: reach) == 1 / Double(64 - values.count))
            }
        }
        // The others' tokens say nothing of each other.
        let others: [any RecallTask] = [InductionHeads(), SelectiveCopying(), Passkey()]
        for task in others {
            let sequence = task.testSequence(of: 128, depth: 0, key: key)
            #expect(task.guess(sequence.questions[0], in: sequence, seeing: 30) == task.chance)
        }
    }
}
