import Foundation
import Testing
import Trainer

@Suite struct CorpusEntropyTests {
    private static let corpus = Corpus(seed: 1, length: 2_000_000)
    private static let parsed = Result { try ParsedCorpus(bytes(corpus)) }

    /// Sums of some 55,000 terms in another order.
    private static let rounding = 1e-9

    @Test("The corpus and an independent parser agree on its questions and its entropy")
    func aTextHasOneReading() throws {
        let (corpus, parsed) = (Self.corpus, try Self.parsed.get())
        #expect(parsed.questions == corpus.questions)
        let bits = parsed.sentences.reduce(0) { $0 + parsed.bits($1) }
        let length = corpus.text.count
        let floor = try #require(corpus.bitsPerByte(in: 0..<length))
        #expect(abs(floor - bits / Double(length)) < Self.rounding)
    }

    @Test(
        "The bits per byte of a part are those of the whole sentences in it",
        arguments: [0..<1, 0..<60, 10..<200, 1000..<1100, 30_001..<1_999_999, 1_999_900..<2_000_000])
    func partsOfAText(range: Range<Int>) throws {
        let parsed = try Self.parsed.get()
        let inside = parsed.sentences.filter { $0.range.clamped(to: range) == $0.range }
        let bits = inside.reduce(0) { $0 + parsed.bits($1) }
        let found = Self.corpus.bitsPerByte(in: range)
        #expect((found == nil) == inside.isEmpty)
        if let found { #expect(abs(found - bits / Double(inside.reduce(0) { $0 + $1.range.count })) < Self.rounding) }
    }

    /// The information in a sample of 16 MB against the entropy. The standard error is that of the ratio estimator on the
    /// parsed sample, r = Σ bits / Σ bytes over N sentences with the error √(Σ (bits − r · bytes)²) / Σ bytes, scaled to the
    /// longer one. It takes the sentences for independent: their bits are, their lengths nearly (a question repeats the
    /// words of a fact), and sums over blocks of 200 sentences vary by no more than this says.
    @Test("The information in a sample of 16 MB agrees with the entropy")
    func theSampleAgreesWithTheEntropy() throws {
        let parsed = try Self.parsed.get()
        let stationary = parsed.sentences.filter { $0.facts >= 300 }
        let sample = stationary.map { (bits: parsed.bits($0), bytes: Double($0.range.count)) }
        let bytes = sample.reduce(0) { $0 + $1.bytes }
        let ratio = sample.reduce(0) { $0 + $1.bits } / bytes
        let long = Corpus(seed: 2, length: 16_000_000)
        let range = 200_000..<long.text.count  // the first 300 facts lie before
        let error =
            sample.reduce(0) { $0 + pow($1.bits - ratio * $1.bytes, 2) }.squareRoot() / bytes
            * (bytes / Double(range.count)).squareRoot()
        #expect(abs(try #require(long.bitsPerByte(in: range)) - Corpus.entropyPerByte) < 4 * error)
        // The tolerance is less than a quarter of what one bit more a question would be.
        let questions = stationary.filter { if case .question = $0.kind { true } else { false } }
        #expect(4 * error < 0.25 * Double(questions.count) / bytes)
        #expect(Corpus.entropyPerByte > 0.2 && Corpus.entropyPerByte < 0.25)
    }

    // MARK: What is drawn is what is reckoned with

    /// Pearson's statistic has the mean d and the variance 2d for d degrees of freedom; five standard deviations above
    /// leave room for its skewness.
    private func expectFrequencies(_ counts: [Int], _ probabilities: [Double], _ name: String) {
        let total = Double(counts.reduce(0, +))
        let statistic = zip(counts, probabilities).reduce(0) { sum, pair in
            sum + pow(Double(pair.0) - total * pair.1, 2) / (total * pair.1)
        }
        let freedom = Double(counts.count - 1)
        #expect(abs(probabilities.reduce(0, +) - 1) < 1e-12, "\(name)")
        #expect(statistic < freedom + 5 * (2 * freedom).squareRoot(), "\(name)")
    }

    @Test("Each word of a list is equally frequent")
    func words() throws {
        let words = try Self.parsed.get().words
        for (kind, lists) in ParsedCorpus.lists {
            for (gap, list) in lists.enumerated() {
                let counts = list.map { words[kind]?[gap][$0] ?? 0 }
                expectFrequencies(counts, list.map { _ in 1 / Double(list.count) }, "\(kind) \(gap)")
            }
        }
    }

    @Test("Facts, fillers, and questions have their frequencies")
    func kindsOfSentences() throws {
        var counts = [0, 0, 0, 0]
        for sentence in try Self.parsed.get().sentences where sentence.facts > 0 {
            switch sentence.kind {
            case .fact: counts[0] += 1
            case .filler(let shape): counts[1 + shape] += 1
            case .question: counts[3] += 1
            }
        }
        expectFrequencies(counts, [3.0 / 8, 1.0 / 8, 1.0 / 8, 3.0 / 8], "kinds")
    }

    @Test("Questions ask for the latest facts with their probabilities")
    func factsAskedFor() throws {
        var counts = [Int](repeating: 0, count: 300)
        for sentence in try Self.parsed.get().sentences where sentence.facts >= 300 {
            if case .question(let m) = sentence.kind { counts[m - 1] += 1 }
        }
        expectFrequencies(counts, (1...300).map(ParsedCorpus.probability), "facts back")
    }

    @Test("All 1,024 keys are equally frequent")
    func keysOfFacts() throws {
        let parsed = try Self.parsed.get()
        var counts: [String: Int] = [:]
        for index in parsed.facts {
            guard case .fact(let key, _) = parsed.sentences[index].kind else { continue }
            counts[key, default: 0] += 1
        }
        #expect(counts.count == 1024)
        expectFrequencies(Array(counts.values), [Double](repeating: 1.0 / 1024, count: 1024), "keys")
    }
}
