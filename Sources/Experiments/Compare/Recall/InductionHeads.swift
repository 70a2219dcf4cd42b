import ModelZoo

/// Induction heads: the task of Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
/// https://arxiv.org/abs/2312.00752, section 4.1.2, after Olsson et al., https://arxiv.org/abs/2209.11895.
///
/// Random tokens out of 15, and a special one. The special token comes once somewhere, followed by any token; it comes again
/// at the very end, and the token that followed it is to be foreseen.
///
/// That is what is asked. In training the special token comes up to 8 times before the end, always with the same follower,
/// which is to be foreseen each time but the first: the task is the same, and a step learns from several questions a
/// sequence instead of one. Where it comes is random, once in eight sequences only once.
struct InductionHeads: RecallTask {
    let name = RecallTaskName.induction
    /// That of the paper; the last token is the special one.
    let vocabulary = 16
    let trainingLengths = [64, 128, 256]
    let testLengths = [64, 256, 1024, 4096, 16_384]

    var chance: Double { 1 / Double(special) }
    var special: Int { vocabulary - 1 }

    func trainingSequence(of length: Int, key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        return sequence(of: length, occurrences: 1 + random.next(below: 8), &random)
    }

    func testSequence(of length: Int, depth: Double?, key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        return sequence(of: length, occurrences: 1, &random)
    }

    /// The follower is any of the tokens but for the special ones; of those tokens, the one that comes most often.
    func guess(in sequence: RecallSequence) -> Double {
        let others = sequence.tokens.filter { $0 != Int32(special) }
        return Double(others.counts.values.max() ?? 0) / Double(others.count)
    }

    private func sequence(of length: Int, occurrences: Int, _ random: inout SplitMix64) -> RecallSequence {
        var tokens = (0..<length).map { _ in Int32(random.next(below: special)) }
        let follower = Int32(random.next(below: special))
        // Each takes two places, and the last token of all is one more.
        let starts = random.distinct(occurrences, below: length - 1 - occurrences).sorted()
        let places = starts.enumerated().map { $1 + $0 } + [length - 1]
        for place in places { tokens[place] = Int32(special) }
        for place in places.dropLast() { tokens[place + 1] = follower }
        let questions = zip(places, places.dropFirst()).map { before, place in
            RecallSequence.Question(place: place, answer: [follower], distance: place - (before + 1))
        }
        return RecallSequence(tokens: tokens, questions: questions)
    }
}
