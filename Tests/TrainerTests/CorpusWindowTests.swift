import Foundation
import Testing
import Trainer

@Suite struct CorpusWindowTests {
    /// Sums of some thousands of terms in another order.
    private static let rounding = 1e-9

    @Test(
        "The entropy in windows is the sum over their sentences",
        arguments: [47, 97, 512, 5000, 40_000, 60_000], [0..<50_000, 1234..<45_678, 49_000..<49_600])
    func againstEachSentence(windowLength: Int, range: Range<Int>) throws {
        let corpus = Corpus(seed: 11, length: 60_000)
        let parsed = try ParsedCorpus(bytes(corpus))
        var (bits, length) = (0.0, 0)
        for start in stride(from: range.lowerBound, to: range.upperBound, by: windowLength) {
            let window = start..<min(start + windowLength, range.upperBound)
            for sentence in parsed.sentences where sentence.range.clamped(to: window) == sentence.range {
                bits += parsed.bits(sentence, seenFrom: start)
                length += sentence.range.count
            }
        }
        let found = try #require(corpus.bitsPerByte(in: range, windowLength: windowLength))
        #expect(abs(found - bits / Double(length)) < Self.rounding)
    }

    @Test("The entropy of two sentences, together and alone, is that computed by hand")
    func twoSentences() throws {
        let corpus = Corpus(seed: 0, length: 80)
        let lines = String(decoding: bytes(corpus), as: UTF8.self).split(separator: "\n")
        #expect(
            lines == [
                "Cleo keeps the brass fork in Oslo.",
                "Where does Cleo keep the brass fork? Cleo keeps the brass fork in Oslo.",
            ])
        func expect(_ bitsPerByte: Double?, bits: Double, bytes: Double) throws {
            #expect(abs(try #require(bitsPerByte) - bits / bytes) < Self.rounding)
        }
        let (keyAndPlace, kind) = (14.0, log2(8.0 / 3))
        // A question is no news where there is one fact, but a kind of sentence.
        try expect(corpus.bitsPerByte(in: 0..<107), bits: log2(5.0 / 3) + keyAndPlace + kind, bytes: 107)
        try expect(corpus.bitsPerByte(in: 35..<107), bits: kind, bytes: 72)
        // One who does not know that there is one fact only expects the latest to be asked for in half of the questions.
        try expect(
            corpus.bitsPerByte(in: 0..<107, windowLength: 107), bits: kind + keyAndPlace + kind - log2(0.5), bytes: 107)
        try expect(corpus.bitsPerByte(in: 35..<107, windowLength: 107), bits: kind + keyAndPlace, bytes: 72)
        try expect(corpus.bitsPerByte(in: 0..<107, windowLength: 106), bits: kind + keyAndPlace, bytes: 35)
    }

    @Test("The entropy falls with the length of the windows")
    func moreIsKnownInLongerWindows() throws {
        let corpus = Corpus(seed: 12, length: 1_000_000)
        let range = 100_000..<1_000_000
        let floors = [64, 128, 512, 2048, 8192, 32_768, 131_072].compactMap {
            corpus.bitsPerByte(in: range, windowLength: $0)
        }
        let floor = try #require(corpus.bitsPerByte(in: range))
        try #require(floors.count == 7)
        for (shorter, longer) in zip(floors, floors.dropFirst()) { #expect(shorter > longer) }
        #expect(floors.last! > floor)
        // Without a memory the questions alone cost their keys and places: 13.6 bits or so for one of 120 bytes.
        #expect(floors[0] > floor + 0.08)
        #expect(floors.last! < floor + 0.01)
    }

    /// This reader expects questions before there are facts, and questions about facts before the text.
    @Test("A window as long as the text adds only the cost of the beginning")
    func aWindowAsLongAsTheText() throws {
        let corpus = Corpus(seed: 13, length: 200_000)
        let length = corpus.text.count
        let startUp = try ParsedCorpus(bytes(corpus)).sentences.reduce(0.0) { sum, sentence in
            if sentence.facts == 0 { return sum + log2(8.0 / 5) }
            guard case .question = sentence.kind else { return sum }
            return sum - log2((1...min(sentence.facts, 300)).reduce(0) { $0 + ParsedCorpus.probability(factsBack: $1) })
        }
        let floor = try #require(corpus.bitsPerByte(in: 0..<length))
        for windowLength in [length, length + 1, 10 * length] {
            let found = try #require(corpus.bitsPerByte(in: 0..<length, windowLength: windowLength))
            #expect(abs(found - floor - startUp / Double(length)) < Self.rounding)
        }
        #expect(startUp > 10 && startUp < 200)
    }

    @Test("Parts and windows without a whole sentence have no entropy")
    func nothingToMeasure() {
        let corpus = Corpus(seed: 14, length: 1000)
        #expect(corpus.bitsPerByte(in: 0..<0) == nil)
        #expect(corpus.bitsPerByte(in: 0..<0, windowLength: 100) == nil)
        #expect(corpus.bitsPerByte(in: 0..<1000, windowLength: 20) == nil)
    }
}
