import ModelZoo

/// Passkey retrieval: Mohtashami and Jaggi, "Landmark Attention: Random-Access Infinite Context Length for Transformers",
/// https://arxiv.org/abs/2305.16300, section 4.2, with tokens for words.
///
/// A text that repeats itself, a cycle of 20 tokens, begins anywhere in the cycle. Somewhere in it stands KEY and five
/// digits. The text ends with ASK KEY, and all digits have to be foreseen, one after another, each with those before it.
///
/// So it is asked. In training up to 3 questions more, with their answers, stand at random places behind the key: a step
/// learns from several questions a sequence instead of one.
struct Passkey: RecallTask {
    let name = RecallTaskName.passkey
    let trainingLengths = [64, 128, 256]
    let testLengths = [64, 256, 1024, 4096]
    let depths: [Double?] = [0, 0.25, 0.5, 0.75, 1]

    /// Digits of a key.
    let digits = 5
    /// Tokens of the text that repeats itself.
    let cycle = 20

    /// The digits, KEY, ASK, the text's.
    var vocabulary: Int { 12 + cycle }
    /// The chance of all digits at once.
    var chance: Double { 1e-5 }

    func trainingSequence(of length: Int, key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        let questions = 1 + random.next(below: 4)
        let filler = fillerCount(length, questions: questions)
        // Behind how much of the text the key and all but the last question stand.
        let places = (0..<questions).map { _ in random.next(below: filler + 1) }.sorted()
        return sequence(of: length, places: places, &random)
    }

    func testSequence(of length: Int, depth: Double?, key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        let filler = Double(fillerCount(length, questions: 1))
        return sequence(of: length, places: [Int((filler * (depth ?? random.unit())).rounded())], &random)
    }

    /// The key's digits in any order: as likely as the order of equal digits does not matter.
    func guess(in sequence: RecallSequence) -> Double {
        func orders(_ count: Int) -> Int { (1...count).reduce(1, *) }
        let equal = sequence.questions[0].answer.counts.values.map(orders).reduce(1, *)
        return Double(equal) / Double(orders(digits))
    }

    /// Returns the number of fillers left beside the key and the questions, the last without its last digit.
    private func fillerCount(_ length: Int, questions: Int) -> Int {
        let (key, question) = (1 + digits, 2 + digits)
        let count = length - key - questions * question + 1
        require(count >= 0, "Passkey: \(length) tokens for \(questions) questions")
        return count
    }

    /// - Parameter places: of the key and of all but the last question, in tokens of the text before it.
    private func sequence(of length: Int, places: [Int], _ random: inout SplitMix64) -> RecallSequence {
        let (keyToken, askToken, text) = (Int32(10), Int32(11), 12)
        let secret = (0..<digits).map { _ in Int32(random.next(below: 10)) }
        let phase = random.next(below: cycle)
        let filler = (0..<fillerCount(length, questions: places.count)).map { Int32(text + (phase + $0) % cycle) }
        var tokens = Array(filler[..<places[0]]) + [keyToken]
        var last = tokens.count
        tokens += secret
        var questions: [RecallSequence.Question] = []
        for (place, next) in zip(places, places.dropFirst() + [filler.count]) {
            tokens += filler[place..<next] + [askToken, keyToken]
            questions.append(.init(place: tokens.count - 1, answer: secret, distance: tokens.count - 1 - last))
            last = tokens.count
            tokens += secret
        }
        return RecallSequence(tokens: Array(tokens.dropLast()), questions: questions)
    }
}
