import ModelZoo

/// A fact that is told once and asked for over a distance: the task that only what is carried from block to block can solve,
/// once the distance is more than layers × window (section 4.3 of Block-Recurrent Transformers, 2203.07852, finds such names
/// in books).
///
/// FACT and one of 16 values stand somewhere in the first 32 tokens of a document, noise of 16 other tokens follows. At ASK
/// the value is to be foreseen. The value itself does not follow, so that no question brings it nearer.
///
/// What is tested is one question over a known distance. In training each 32 tokens have one at a random place: from inside
/// the window to the end of the document, whose length is drawn, so that short distances lead to long ones.
struct FactDistance: RecallTask {
    let name = RecallTaskName.distance
    let trainingLengths = [64, 128, 256, 512]
    /// 16, 64 and so on, tokens from the answer to the question, behind the block in which the fact stands.
    let testLengths = distances.map { $0 + block }

    static let distances = [16, 64, 128, 256, 512, 1024, 4096, 16_384, 65_536]
    /// Tokens at the beginning that hold the fact, and in training for each question: the window of the models.
    static let block = 32

    let values = 16, noises = 16
    var vocabulary: Int { values + noises + 2 }
    var chance: Double { 1 / Double(values) }
    var fact: Int32 { Int32(values + noises) }
    var ask: Int32 { Int32(values + noises + 1) }

    func trainingSequence(of length: Int, key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        let place = random.next(below: Self.block - 1)
        let questions = (0..<length / Self.block).map { $0 * Self.block + random.next(below: Self.block) }
        return sequence(of: length, fact: place, questions: questions.filter { $0 > place + 1 }, &random)
    }

    func testSequence(of length: Int, depth: Double?, key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        let place = random.next(below: Self.block - 1)
        return sequence(of: length, fact: place, questions: [place + 1 + length - Self.block], &random)
    }

    /// There is but one value, which is known or not: nothing needs to be bound, it needs to be kept.
    func guess(in sequence: RecallSequence) -> Double { chance }

    private func sequence(
        of length: Int, fact place: Int, questions places: [Int], _ random: inout SplitMix64
    ) -> RecallSequence {
        var tokens = (0..<length).map { _ in Int32(values + random.next(below: noises)) }
        let value = Int32(random.next(below: values))
        (tokens[place], tokens[place + 1]) = (fact, value)
        let questions = places.map { asked in
            tokens[asked] = ask
            return RecallSequence.Question(place: asked, answer: [value], distance: asked - (place + 1))
        }
        return RecallSequence(tokens: tokens, questions: questions)
    }
}
