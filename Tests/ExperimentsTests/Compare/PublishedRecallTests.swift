import Foundation
import ModelZoo
import Testing

@testable import AttentionZooExperiments

/// The sequences of recall at published settings.
@Suite struct PublishedRecallTests {
    private static let settings = [(16, 1), (64, 4), (128, 8), (256, 16), (512, 64)]
    private let key = RandomKey(seed: 5)

    @Test("A sequence has pairs first, then each key once more, and nothing else", arguments: settings)
    func layout(_ length: Int, _ pairs: Int) {
        let task = PublishedRecall(length: length, pairs: pairs)
        for index in 0..<50 {
            let sequence = task.sequence(key.child(index))
            let tokens = sequence.tokens
            let keys = (0..<pairs).map { tokens[2 * $0] }
            let values = (0..<pairs).map { tokens[2 * $0 + 1] }
            #expect(tokens.count == length && sequence.questions.count == pairs)
            #expect(Set(keys).count == pairs && keys.allSatisfy { (1..<4096).contains($0) })
            #expect(Set(values).count == pairs && values.allSatisfy { (4096..<8192).contains($0) })
            #expect(Set(sequence.questions.map { tokens[$0.place] }) == Set(keys))
            let places = Set(sequence.questions.map(\.place))
            #expect(places.count == pairs && places.allSatisfy { $0 >= 2 * pairs && $0 % 2 == 0 })
            #expect((2 * pairs..<length).allSatisfy { places.contains($0) || tokens[$0] == 0 })
        }
    }

    @Test("The answer to a query is the value behind its key, at the distance given", arguments: settings)
    func answers(_ length: Int, _ pairs: Int) {
        let task = PublishedRecall(length: length, pairs: pairs)
        for index in 0..<50 {
            let sequence = task.sequence(key.child(index))
            for question in sequence.questions {
                let value = question.place - question.distance
                #expect(question.answer == [sequence.tokens[value]])
                #expect(sequence.tokens[value - 1] == sequence.tokens[question.place] && value < 2 * pairs)
            }
            #expect(sequence.questions.map(\.place) == sequence.questions.map(\.place).sorted())
        }
    }

    /// Slots of the first two pairs, counted from 1, by the law and in 20,000 sequences.
    @Test("Slots follow the power law g^(a−1), the first pair drawing first")
    func powerLaw() {
        let (length, pairs, count) = (64, 4, 20_000)
        let task = PublishedRecall(length: length, pairs: pairs)
        let weights = (1...(length - 2 * pairs) / 2).map { pow(Double($0), -0.99) }
        let total = weights.reduce(0, +)
        let first = weights.map { $0 / total }
        // The second draw has the weights that the first one has left.
        let second = first.indices.map { slot in
            first.indices.filter { $0 != slot }.reduce(0) { $0 + first[$1] * first[slot] / (1 - first[$1]) }
        }
        var found = [[Int]](repeating: [Int](repeating: 0, count: weights.count), count: 2)
        for index in 0..<count {
            let tokens = task.sequence(key.child(index)).tokens
            for pair in 0..<2 {
                let place = tokens[(2 * pairs)...].firstIndex(of: tokens[2 * pair])!
                found[pair][(place - 2 * pairs) / 2] += 1
            }
        }
        for (expected, found) in zip([first, second], found) {
            for (probability, times) in zip(expected, found) {
                let deviation = (Double(count) * probability * (1 - probability)).squareRoot()
                #expect(abs(Double(times) - Double(count) * probability) < 5 * deviation)
            }
        }
    }

    @Test("Keys and values are drawn evenly from all there are")
    func evenTokens() {
        let task = PublishedRecall(length: 64, pairs: 4)
        let tokens = (0..<10_000).flatMap { task.sequence(key.child($0)).tokens[..<8] }
        let keys = tokens.filter { $0 < 4096 }
        let values = tokens.filter { $0 >= 4096 }
        for (drawn, least, most) in [(keys, 1.0, 4095.0), (values, 4096, 8191)] {
            #expect(drawn.count == 40_000 && Set(drawn).count > 4090)
            let mean = drawn.reduce(0) { $0 + Double($1) } / Double(drawn.count)
            // Five standard errors of the mean of even draws.
            #expect(abs(mean - (least + most) / 2) < 5 * (most - least) / (12 * 40_000).squareRoot())
        }
    }

    private func examples(seed: UInt64, length: Int = 64) -> PublishedRecall.Examples {
        .init(PublishedRecall(length: length, pairs: length / 16), count: 20_000, testCount: 3000, seed: seed)
    }

    @Test("Examples depend on seed, setting and number alone")
    func determinism() {
        let (one, same, other) = (examples(seed: 1), examples(seed: 1), examples(seed: 2))
        for index in [0, 1, 19_999] {
            #expect(one.training(index) == same.training(index) && one.test(index) == same.test(index))
            #expect(one.training(index) != other.training(index) && one.training(index) != one.test(index))
        }
        #expect(one.training(0) != one.training(1))
        #expect(one.training(0).tokens != examples(seed: 1, length: 128).training(0).tokens)
    }

    @Test("No test example is in the training, and pairs recur as often as by chance")
    func noLeakage() {
        let examples = examples(seed: 3)
        let training = (0..<examples.count).map { examples.training($0).tokens }
        let tests = (0..<examples.testCount).map { examples.test($0).tokens }
        #expect(Set(training).count == training.count && Set(tests).count == tests.count)
        #expect(Set(training).isDisjoint(with: tests))
        func pairs(_ tokens: [Int32]) -> [[Int32]] { (0..<4).map { [tokens[2 * $0], tokens[2 * $0 + 1]] } }
        let known = Set(training.flatMap(pairs))
        let found = tests.flatMap(pairs).count { known.contains($0) }
        let expected = 4 * 3000 * Double(known.count) / (4095 * 4096)
        #expect(abs(Double(found) - expected) < 5 * expected.squareRoot())
    }

    @Test("Each epoch has every example once, in an order of its own")
    func epochs() {
        let examples = PublishedRecall.Examples(
            PublishedRecall(length: 64, pairs: 4), count: 1000, testCount: 10, seed: 4)
        let orders = (0..<3).map { examples.order(inEpoch: $0) }
        #expect(orders.allSatisfy { $0.sorted() == Array(0..<1000) } && Set(orders).count == 3)
        #expect(orders[0] == examples.order(inEpoch: 0) && examples.batches == 2)
    }

    @Test("Batches are those of the figure's configurations")
    func batchSizes() {
        let sizes = Self.settings.map { PublishedRecall(length: $0, pairs: $1).batchSize }
        #expect(sizes == [512, 512, 512, 256, 128])
    }

    @Test("Few of many are different, and all equally likely")
    func fewDistinct() {
        var random = SplitMix64(seed: 9)
        var counts = [Int](repeating: 0, count: 8)
        for _ in 0..<8000 {
            let drawn = random.fewDistinct(4, below: 8)
            #expect(Set(drawn).count == 4)
            for number in drawn { counts[number] += 1 }
        }
        #expect(counts.allSatisfy { abs($0 - 4000) < 225 })  // five standard deviations of a half of 8000
    }
}
