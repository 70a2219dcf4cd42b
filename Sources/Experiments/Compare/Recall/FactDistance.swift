import ModelZoo

/// Facts that are told once and asked for over a distance: the task that only what is carried from block to block can solve,
/// once the distance is more than layers × window (section 4.3 of Block-Recurrent Transformers, 2203.07852, finds such names
/// in books).
///
/// Somewhere in the first 32 tokens of a document stand the facts, each a key of its own and one of some values; noise of 16
/// other tokens follows. At the question for a key its value is to be foreseen. The value itself does not follow, so that no
/// question brings it nearer. One fact has to be kept; several have to be told apart as well.
///
/// What is tested is one question over a known distance. In training each 32 tokens have as many questions as there are
/// facts, at random places: from inside the window to the end of the document, whose length is drawn, so that short distances
/// lead to long ones.
struct FactDistance: RecallTask {
    let facts: Int
    let trainingLengths = [64, 128, 256, 512]
    /// 16, 64 and so on, tokens from the answer to the question, behind the block in which the facts stand.
    let testLengths = distances.map { $0 + block }

    static let distances = [16, 64, 128, 256, 512, 1024, 4096, 16_384, 65_536]
    /// Tokens at the beginning that hold the facts, and in training for each round of questions: the window of the models.
    static let block = 32

    init(facts: Int = 1) { self.facts = facts }

    var name: RecallTaskName { facts == 1 ? .distance : .facts }
    var values: Int { facts == 1 ? 16 : 8 }
    let noises = 16
    var vocabulary: Int { values + noises + 2 * facts }
    var chance: Double { 1 / Double(values) }

    /// The token that tells a fact, before its value.
    func key(_ fact: Int) -> Int32 { Int32(values + noises + fact) }

    /// The token that asks for a fact.
    func ask(_ fact: Int) -> Int32 { Int32(values + noises + facts + fact) }

    func trainingSequence(of length: Int, key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        let place = firstPlace(&random)
        let asked = (0..<length / Self.block).flatMap { block in
            random.distinct(facts, below: Self.block).sorted().map { block * Self.block + $0 }
        }
        let questions = asked.filter { $0 >= place + 2 * facts }
        return sequence(of: length, facts: place, &random) { random in
            questions.map { ($0, facts == 1 ? 0 : random.next(below: facts)) }
        }
    }

    func testSequence(of length: Int, depth: Double?, key: RandomKey) -> RecallSequence {
        var random = SplitMix64(key)
        let place = firstPlace(&random)
        return sequence(of: length, facts: place, &random) { random in
            let fact = facts == 1 ? 0 : random.next(below: facts)
            return [(valuePlace(fact, after: place) + length - Self.block, fact)]
        }
    }

    /// Of one value nothing needs to be bound. Of several, the one that was told most often.
    func guess(in sequence: RecallSequence) -> Double {
        guard facts > 1 else { return chance }
        let told = sequence.tokens.prefix(Self.block).filter { $0 < values }.counts
        return Double(told.values.max() ?? 0) / Double(facts)
    }

    /// The place of the first of the facts, which stand in a row.
    private func firstPlace(_ random: inout SplitMix64) -> Int { random.next(below: Self.block - 2 * facts + 1) }

    private func valuePlace(_ fact: Int, after place: Int) -> Int { place + 2 * fact + 1 }

    /// - Parameter asking: the places of the questions and the facts that they ask for.
    private func sequence(
        of length: Int, facts place: Int, _ random: inout SplitMix64,
        asking: (inout SplitMix64) -> [(place: Int, fact: Int)]
    ) -> RecallSequence {
        var tokens = (0..<length).map { _ in Int32(values + random.next(below: noises)) }
        let told = (0..<facts).map { _ in Int32(random.next(below: values)) }
        for fact in 0..<facts {
            let value = valuePlace(fact, after: place)
            (tokens[value - 1], tokens[value]) = (key(fact), told[fact])
        }
        let questions = asking(&random).map { asked, fact in
            tokens[asked] = ask(fact)
            return RecallSequence.Question(
                place: asked, answer: [told[fact]], distance: asked - valuePlace(fact, after: place))
        }
        return RecallSequence(tokens: tokens, questions: questions)
    }
}
