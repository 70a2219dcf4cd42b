import ModelZoo

/// Selective copying: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
/// https://arxiv.org/abs/2312.00752, section 4.1.1, after the copying memory task of https://arxiv.org/abs/1511.06464.
///
/// Data tokens, any of 14, are at random places among noise, which is a token of its own. As many markers follow, all
/// the same token, at which the data have to come in their order. Nothing but its number tells a marker which token it is
/// to give.
///
/// Eight data tokens instead of the paper's 16, so that minutes are enough.
///
/// The first token of all, which comes nowhere else, is not in the paper. Softmax attention is a mean: without something
/// that is there once it cannot count, and models without absolute positions could not tell the third token from the fourth.
struct SelectiveCopying: RecallTask {
    let name = RecallTaskName.copying
    /// 14 data tokens, noise, the marker, the beginning.
    let vocabulary = 17
    let trainingLengths = [32, 64, 128, 256]
    let testLengths = [32, 64, 128, 256, 512, 1024]
    /// Data tokens of a sequence, and markers.
    let count = 8

    var kinds: Int { vocabulary - 3 }
    var noise: Int32 { Int32(kinds) }
    var marker: Int32 { Int32(kinds + 1) }
    var beginning: Int32 { Int32(kinds + 2) }
    var chance: Double { 1 / Double(kinds) }

    func trainingSequence(of length: Int, key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        let first = length - count
        let places = random.distinct(count, below: first - 1).sorted().map { $0 + 1 }
        var tokens = [beginning] + [Int32](repeating: noise, count: first - 1)
        tokens += [Int32](repeating: marker, count: count)
        let questions = places.enumerated().map { index, place in
            tokens[place] = Int32(random.next(below: kinds))
            return RecallSequence.Question(
                place: first + index, answer: [tokens[place]], distance: first + index - place)
        }
        return RecallSequence(tokens: tokens, questions: questions)
    }

    /// The data token that comes most often, at every marker; about 27 % with 8 of 14.
    func guess(in sequence: RecallSequence) -> Double {
        let data = sequence.tokens.filter { $0 < Int32(kinds) }
        return Double(data.counts.values.max() ?? 0) / Double(data.count)
    }

    func testSequence(of length: Int, depth: Double?, key: RandomKey) -> RecallSequence {
        trainingSequence(of: length, key: key)
    }
}
