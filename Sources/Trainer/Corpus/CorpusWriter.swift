/// A sentence of a corpus, in as much as its cost to any reader depends on.
struct CorpusSentence: Sendable {
    enum Kind: Sendable {
        case fact
        /// - Parameter shape: which of `CorpusGrammar.fillers`.
        case filler(shape: UInt8)
        case question(factsBack: Int16)
    }

    let kind: Kind
    /// The end of the sentence, its newline included, where the next one begins.
    let end: Int32
    /// The number of facts in the text before the sentence.
    let factsBefore: Int32
}

/// Writes a text choice by choice.
struct CorpusWriter {
    private(set) var text: [UInt8] = []
    private(set) var sentences: [CorpusSentence] = []
    private(set) var questions: [Corpus.Question] = []

    /// The stream of the seed's random numbers; far from those of training windows, which count from 0.
    private static let stream: UInt64 = 1 << 63

    private var random: SplitMix64
    private var facts: [Fact] = []
    /// True for every key that one of the last facts has.
    private var isInUse = [Bool](repeating: false, count: CorpusGrammar.keyCount)

    private struct Fact {
        let key: Int16
        let place: Int16
        /// The start of the place in the text.
        let start: Int32
    }

    /// Writes sentences until there are at least `length` bytes.
    init(seed: UInt64, length: Int) {
        random = SplitMix64(seed: seed, stream: Self.stream)
        text.reserveCapacity(length + 64)
        defer { ReadingProgress.report("writing the built-in corpus", length, of: length) }
        while text.count < length {
            let factsBefore = facts.count
            let kind = writeSentence()
            sentences.append(.init(kind: kind, end: Int32(text.count), factsBefore: Int32(factsBefore)))
            if sentences.count % 4096 == 0 {
                ReadingProgress.report("writing the built-in corpus", text.count, of: length)
            }
        }
    }

    private mutating func writeSentence() -> CorpusSentence.Kind {
        typealias Grammar = CorpusGrammar
        let kind = random.next(
            below: facts.isEmpty ? Grammar.kindWeights - Grammar.questionWeight : Grammar.kindWeights)
        if kind < Grammar.factWeight { return writeFact() }
        return kind < Grammar.factWeight + Grammar.fillerWeight ? writeFiller() : writeQuestion()
    }

    private mutating func writeFact() -> CorpusSentence.Kind {
        var key = random.next(below: CorpusGrammar.keyCount)
        while isInUse[key] { key = random.next(below: CorpusGrammar.keyCount) }
        let place = random.next(below: CorpusGrammar.placeCount)
        let start = CorpusGrammar.fact.append(to: &text) { $0 == 3 ? place : CorpusGrammar.word($0, ofKey: key) }
        facts.append(Fact(key: Int16(key), place: Int16(place), start: Int32(start)))
        isInUse[key] = true
        if facts.count > CorpusGrammar.furthestFact {
            isInUse[Int(facts[facts.count - 1 - CorpusGrammar.furthestFact].key)] = false
        }
        return .fact
    }

    private mutating func writeFiller() -> CorpusSentence.Kind {
        let number = random.next(below: CorpusGrammar.fillers.count)
        let shape = CorpusGrammar.fillers[number]
        shape.append(to: &text) { random.next(below: shape.lists[$0].count) }
        return .filler(shape: UInt8(number))
    }

    private mutating func writeQuestion() -> CorpusSentence.Kind {
        var factsBack = chooseFactsBack()
        while factsBack > facts.count { factsBack = chooseFactsBack() }
        let fact = facts[facts.count - factsBack]
        let start = CorpusGrammar.question.append(to: &text) {
            $0 == 6 ? Int(fact.place) : CorpusGrammar.word($0, ofKey: Int(fact.key))
        }
        let length = CorpusGrammar.question.lists[6][Int(fact.place)].count
        questions.append(
            .init(
                answer: start..<start + length, fact: Int(fact.start)..<Int(fact.start) + length, factsBack: factsBack))
        return .question(factsBack: Int16(factsBack))
    }

    private mutating func chooseFactsBack() -> Int {
        var rest = random.next(below: CorpusGrammar.factsBackWeights)
        var classes = CorpusGrammar.factsBack[...]
        while let (range, weight) = classes.popFirst() {
            if rest < weight { return range.lowerBound + random.next(below: range.count) }
            rest -= weight
        }
        fatalError("CorpusWriter: the weights of the classes do not add up")
    }
}
