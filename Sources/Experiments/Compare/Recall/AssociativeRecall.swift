import Foundation
import ModelZoo

/// Multi-query associative recall: Arora, Eyuboglu, Timalsina, Johnson, Poli, Zou, Rudra, Ré, "Zoology: Measuring and
/// Improving Recall in Efficient Language Models", https://arxiv.org/abs/2312.04927, section 4 and appendix.
///
/// D different keys, each followed by its value (all different too), fill the first 2 D places of a sequence of n tokens.
/// Behind them are (n − 2 D) / 2 slots of two tokens. Each key comes once more as the first token of a slot, and there its
/// value is to be foreseen. Slots are drawn without replacement with probabilities in proportion to g^(a−1), g = 1, 2, …
/// being the slot's number and a = 0.01; the first pair has the first draw. All other tokens are random.
///
/// D is n / 8. The training has short sequences beside long ones.
///
/// Scaled down from the paper's 8192 tokens to 128: the lower half are keys, the upper values. With so few, a random token
/// would often be one of the sequence's keys and its follower a second value; so random tokens are any but those keys.
struct AssociativeRecall: RecallTask {
    let name = RecallTaskName.mqar
    let vocabulary = 128
    let trainingLengths = [32, 64, 128, 256]
    /// Not beyond 384, where 48 of the 64 keys are taken: with all of them the random tokens could be nothing but values.
    let testLengths = [32, 64, 128, 256, 384]

    /// As many values as there are.
    var chance: Double { 2 / Double(vocabulary) }

    /// D, of sequences of a length.
    func pairs(in length: Int) -> Int { length / 8 }

    /// a
    private static let exponent = 0.01

    func trainingSequence(of length: Int, key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        let (pairs, half) = (pairs(in: length), vocabulary / 2)
        let keys = random.distinct(pairs, below: half)
        let values = random.distinct(pairs, below: half).map { Int32(half + $0) }
        let slots = random.distinct(
            pairs, weights: (1...(length - 2 * pairs) / 2).map { pow(Double($0), Self.exponent - 1) })
        let others = Array(Set(0..<vocabulary).subtracting(keys)).sorted()
        var tokens = zip(keys, values).flatMap { [Int32($0), $1] }
        tokens += (2 * pairs..<length).map { _ in Int32(others[random.next(below: others.count)]) }
        let questions = (0..<pairs).map { pair in
            let place = 2 * pairs + 2 * slots[pair]
            tokens[place] = Int32(keys[pair])
            return RecallSequence.Question(place: place, answer: [values[pair]], distance: place - (2 * pair + 1))
        }
        return RecallSequence(tokens: tokens, questions: questions.sorted { $0.place < $1.place })
    }

    func testSequence(of length: Int, depth: Double?, key: RandomKey) -> RecallSequence {
        trainingSequence(of: length, key: key)
    }

    /// Each of the D values is right once: 1 / D.
    func guess(in sequence: RecallSequence) -> Double { 1 / Double(sequence.questions.count) }

    /// As all values are different, those of the pairs that are seen can be left out: one of the others.
    func guess(_ question: RecallSequence.Question, in sequence: RecallSequence, seeing reach: Int) -> Double {
        let values = (0..<sequence.questions.count).map { 2 * $0 + 1 }
        let seen = values.count { $0 >= question.place - reach && $0 != question.place - question.distance }
        return 1 / Double(vocabulary / 2 - seen)
    }
}
