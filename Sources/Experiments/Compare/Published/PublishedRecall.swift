import Foundation
import ModelZoo

/// Multi-query associative recall at the settings of Zoology's figure 2 (Arora, Eyuboglu, Timalsina, Johnson, Poli, Zou,
/// Rudra, Ré, https://arxiv.org/abs/2312.04927; HazyResearch/zoology, `multiquery_ar`).
///
/// There are 8192 tokens: 0 fills, 1 to 4095 are keys and 4096 to 8191 are values. D different keys, each followed by
/// its value
/// (all different too), are the first 2 D of n tokens. (n − 2 D) / 2 slots of two tokens follow. Each key comes once
/// more, as the first token of a slot, where its value is to be predicted; all else is 0, as in the figure's
/// configurations (`random_non_queries: False`). Slots are drawn without replacement with probabilities in proportion to
/// g^(a−1), g = 1, 2, … being the slot's number and a = 0.01; the first pair has the first draw.
struct PublishedRecall: Sendable, Hashable {
    /// Tokens in a sequence, n.
    let length: Int
    /// Pairs in a sequence, D.
    let pairs: Int
    /// Proportional to the probability of each slot.
    private let slotWeights: [Double]

    static let vocabulary = 8192
    /// 0 and keys, then as many values.
    static let firstValue = vocabulary / 2
    /// The token of places without a key or a value.
    static let filler: Int32 = 0
    /// a
    private static let exponent = 0.01

    init(length: Int, pairs: Int) {
        require(
            length % 2 == 0 && pairs > 0 && 4 * pairs <= length,
            "PublishedRecall: \(pairs) pairs in \(length) tokens; expected an even length of at least 4 a pair")
        (self.length, self.pairs) = (length, pairs)
        slotWeights = (1...(length - 2 * pairs) / 2).map { pow(Double($0), Self.exponent - 1) }
    }

    /// Returns the sequence of a key: the same for the same key.
    func sequence(_ key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        let keys = random.fewDistinct(pairs, below: Self.firstValue - 1).map { Int32($0 + 1) }
        let values = random.fewDistinct(pairs, below: Self.firstValue).map { Int32($0 + Self.firstValue) }
        let slots = random.distinct(pairs, weights: slotWeights)
        var tokens = zip(keys, values).flatMap { [$0, $1] }
        tokens += [Int32](repeating: Self.filler, count: length - tokens.count)
        let questions = (0..<pairs).map { pair in
            let place = 2 * pairs + 2 * slots[pair]
            tokens[place] = keys[pair]
            return RecallSequence.Question(place: place, answer: [values[pair]], distance: place - (2 * pair + 1))
        }
        return RecallSequence(tokens: tokens, questions: questions.sorted { $0.place < $1.place })
    }

    /// Sequences in a batch of the training, as in the figure's configurations.
    var batchSize: Int { length <= 128 ? 512 : max(1, 65_536 / length) }
}

extension PublishedRecall {
    /// The training and test examples of a comparison, of its seed and the setting alone: no model changes them.
    struct Examples {
        let task: PublishedRecall
        /// Examples of the training, which come once an epoch.
        let count: Int
        /// Examples of the test.
        let testCount: Int
        private let key: RandomKey

        init(_ task: PublishedRecall, count: Int, testCount: Int, seed: UInt64) {
            (self.task, self.count, self.testCount) = (task, count, testCount)
            key = RandomKey(seed: seed).child(task.length).child(task.pairs)
        }

        /// Example i of the training.
        func training(_ index: Int) -> RecallSequence { task.sequence(key.child(0).child(index)) }

        /// Example i of the test.
        func test(_ index: Int) -> RecallSequence { task.sequence(key.child(1).child(index)) }

        /// The order of the training's examples in an epoch, counted from 0.
        func order(inEpoch epoch: Int) -> [Int] {
            var random = SplitMix64(key.child(2).child(epoch))
            return random.distinct(count, below: count)
        }

        /// Batches of an epoch; the last one may be smaller.
        var batches: Int { (count + task.batchSize - 1) / task.batchSize }
    }
}

extension SplitMix64 {
    /// Draws few different numbers below a bound, in the order drawn, at a cost that does not grow with the bound.
    mutating func fewDistinct(_ count: Int, below bound: Int) -> [Int] {
        require(2 * count <= bound, "\(count) different numbers below \(bound); expected at most half")
        var numbers: [Int] = []
        while numbers.count < count {
            let number = next(below: bound)
            if !numbers.contains(number) { numbers.append(number) }
        }
        return numbers
    }

    /// Draws different indices one after another, each with its weight among those left: the largest of u^(1/w), in their
    /// order (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).
    mutating func distinct(_ count: Int, weights: [Double]) -> [Int] {
        require(count <= weights.count, "\(count) different indices of \(weights.count) weights")
        let keys = weights.map { log(max(unit(), .leastNonzeroMagnitude)) / $0 }
        return Array(keys.indices.sorted { (keys[$0], $1) > (keys[$1], $0) }.prefix(count))
    }
}
