import Foundation
import Tensors
import Testing

@testable import Trainer

@Suite struct CorpusTests {
    @Test("A seed determines the text, and a longer text begins with the shorter one")
    func aSeedIsAText() {
        let text = bytes(Corpus(seed: 0, length: 100_000))
        #expect(text == bytes(Corpus(seed: 0, length: 100_000)))
        #expect(text != bytes(Corpus(seed: 1, length: 100_000)))
        #expect(text.count >= 100_000 && text.count < 100_060)
        #expect(text.last == UInt8(ascii: "\n"))
        let longer = bytes(Corpus(seed: 0, length: 150_000))
        #expect(Array(longer.prefix(text.count)) == text)
    }

    @Test("Writing a long corpus tells how far it has come, a short one nothing")
    func progress() {
        let told = Guarded<[ReadingProgress]>([])
        let add: @Sendable (ReadingProgress) -> Void = { event in told.withLock { $0.append(event) } }
        ReadingProgress.observe(add) {
            _ = CorpusWriter(seed: 0, length: 1 << 14)
            #expect(told.withLock { $0.isEmpty })
            _ = CorpusWriter(seed: 0, length: 1 << 24)
        }
        let events = told.withLock { $0 }
        let shares = events.compactMap { event in
            if case .share(let share, "writing the built-in corpus") = event { share } else { nil }
        }
        #expect(shares.count > 50 && shares.count == events.count)
        #expect(shares == shares.sorted() && shares.last == 1)
    }

    /// Results for another text could not be compared with earlier ones.
    @Test("The text of seed 0 never changes")
    func theTextDoesNotChange() {
        let text = bytes(Corpus(seed: 0, length: 100_000))
        let lines = String(decoding: text.prefix(500), as: UTF8.self).split(separator: "\n").prefix(7)
        #expect(
            lines == [
                "Cleo keeps the brass fork in Oslo.",
                "Where does Cleo keep the brass fork? Cleo keeps the brass fork in Oslo.",
                "Where does Cleo keep the brass fork? Cleo keeps the brass fork in Oslo.",
                "Where does Cleo keep the brass fork? Cleo keeps the brass fork in Oslo.",
                "Cleo keeps the steel fork in Izmir.", "Ivan keeps the glass ring in Izmir.",
                "Where does Ivan keep the glass ring? Ivan keeps the glass ring in Izmir.",
            ])
        // FNV-1a, 64 bits
        let checksum = text.prefix(100_000).reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
            ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3
        }
        #expect(checksum == 9_953_319_078_851_854_314)
    }

    @Test("The shortest text is one line")
    func lengths() {
        let shortest = Corpus(seed: 3, length: 1)
        #expect(bytes(shortest).filter { $0 == UInt8(ascii: "\n") }.count == 1)
        #expect(shortest.questions.isEmpty)
        #expect(shortest.text.name == "the built-in corpus")
    }

    // MARK: Questions

    @Test("Every answer repeats the fact that it asks for")
    func answersAreWhatTheFactsSay() throws {
        let corpus = Corpus(seed: 5, length: 500_000)
        try #require(corpus.questions.count > 4000)
        for question in corpus.questions {
            let (answer, fact) = try (corpus.text[question.answer], corpus.text[question.fact])
            #expect(answer == fact && answer.count >= 4)
            #expect(try corpus.text[question.answer.lowerBound - 4..<question.answer.lowerBound] == Array(" in ".utf8))
            #expect(try corpus.text[question.fact.lowerBound - 4..<question.fact.lowerBound] == Array(" in ".utf8))
            #expect(try corpus.text[question.answer.upperBound] == UInt8(ascii: "."))
        }
    }

    /// Each class of facts has a group of distances of its own.
    @Test("Distances from fact to answer reach from tens of bytes to tens of thousands")
    func distances() {
        let questions = Corpus(seed: 6, length: 1_000_000).questions
        var counts = [Int](repeating: 0, count: Question.distanceBounds.count)
        for question in questions { counts[Question.distanceBounds.firstIndex { question.distance <= $0 }!] += 1 }
        // The rarest classes are a twentieth of the questions each.
        for count in counts { #expect(count * 40 > questions.count) }
        let distances = questions.map(\.distance)
        #expect(distances.min()! < 70 && distances.min()! > 50)
        #expect(distances.max()! > 25_000 && distances.max()! < 50_000)
    }

    @Test(
        "The questions of a part are those whose answers lie in it",
        arguments: [0..<20_000, 5000..<5001, 5000..<5200, 5003..<12_345, 19_000..<20_000])
    func questionsInAPart(range: Range<Int>) {
        let corpus = Corpus(seed: 7, length: 20_000)
        let inside = corpus.questions.filter {
            range.contains($0.answer.lowerBound) && $0.answer.upperBound <= range.upperBound
        }
        #expect(Array(corpus.questions(in: range)) == inside)
        #expect(range.count < 100 || !inside.isEmpty)
    }
}

func bytes(_ corpus: Corpus) -> [UInt8] { corpus.bytes }
