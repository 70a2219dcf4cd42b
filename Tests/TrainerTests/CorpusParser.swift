import Foundation
import Testing

@testable import Trainer

/// Reads a text of the built-in corpus back into the choices that made it. Shares nothing with the generator: words,
/// sentences and probabilities are written down here a second time.
struct ParsedCorpus {
    enum Kind: Equatable {
        case fact(key: String, place: String)
        case filler(shape: Int)
        case question(factsBack: Int)
    }

    struct Sentence {
        let kind: Kind
        /// Its bytes, newline included.
        let range: Range<Int>
        /// The number of facts before it.
        let facts: Int
    }

    private(set) var sentences: [Sentence] = []
    /// Indices of the facts in `sentences`.
    private(set) var facts: [Int] = []
    private(set) var questions: [Corpus.Question] = []
    /// The count of each word in each gap of each kind of sentence.
    private(set) var words: [String: [[String: Int]]] = [:]
    private var latest: [String: Int] = [:]
    private var places: [Range<Int>] = []

    /// Fails with the line that has no reading, or more than it may have.
    init(_ bytes: [UInt8]) throws {
        var start = 0
        while start < bytes.count {
            let newline = try #require(bytes[start...].firstIndex(of: 0x0A), "the text must end with a sentence")
            let line = String(decoding: bytes[start..<newline], as: UTF8.self)
            let facts = facts.count
            let kind = try read(line, start..<newline)
            sentences.append(Sentence(kind: kind, range: start..<newline + 1, facts: facts))
            start = newline + 1
        }
    }

    private mutating func read(_ line: String, _ range: Range<Int>) throws -> Kind {
        try #require(line.hasSuffix("."))
        let parts = line.dropLast().split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        let place = range.upperBound - 1 - parts.last!.utf8.count..<range.upperBound - 1
        switch parts[0] {
        case "Where": return try readQuestion(line, parts, place)
        case "The":
            try #require(parts.count == 6 && line == "The \(parts[1]) \(parts[2]) \(parts[3]) at \(parts[5]).")
            try count("animal", [parts[1], parts[2], parts[3], parts[5]])
            return .filler(shape: 0)
        case "On":
            try #require(parts.count == 6 && line == "On \(parts[1]) the \(parts[3]) was \(parts[5]).")
            try count("day", [parts[1], parts[3], parts[5]])
            return .filler(shape: 1)
        default:
            try #require(
                parts.count == 7 && line == "\(parts[0]) keeps the \(parts[3]) \(parts[4]) in \(parts[6]).")
            try count("fact", [parts[0], parts[3], parts[4], parts[6]])
            let key = "\(parts[0]) \(parts[3]) \(parts[4])"
            if let before = latest[key] { try #require(facts.count - before > 300, "\(line): asked for too soon") }
            latest[key] = facts.count
            facts.append(sentences.count)
            places.append(place)
            return .fact(key: key, place: parts[6])
        }
    }

    private mutating func readQuestion(_ line: String, _ parts: [String], _ place: Range<Int>) throws -> Kind {
        try #require(parts.count == 14 && parts[6].hasSuffix("?"))
        let (name, material, object) = (parts[2], parts[5], String(parts[6].dropLast()))
        let key = "\(name) \(material) \(object)"
        try #require(
            line == "Where does \(name) keep the \(material) \(object)?"
                + " \(name) keeps the \(material) \(object) in \(parts[13]).")
        let index = try #require(latest[key], "\(line): no such fact")
        let factsBack = facts.count - index
        try #require((1...300).contains(factsBack), "\(line): \(factsBack) facts back")
        try #require(sentences[facts[index]].kind == .fact(key: key, place: parts[13]), "\(line): a wrong answer")
        questions.append(.init(answer: place, fact: places[index], factsBack: factsBack))
        return .question(factsBack: factsBack)
    }

    private mutating func count(_ kind: String, _ found: [String]) throws {
        for (gap, word) in found.enumerated() {
            try #require(Self.lists[kind]![gap].contains(word), "\(kind) \(gap): \(word)")
            words[kind, default: [[:], [:], [:], [:]]][gap][word, default: 0] += 1
        }
    }

    /// The words of each kind, gap by gap.
    static let lists: [String: [[String]]] = [
        "fact": [
            [
                "Ada", "Ben", "Cleo", "Dora", "Emil", "Finn", "Gina", "Hugo", "Ivan", "Jana", "Kai", "Lena", "Mira",
                "Nils", "Paul", "Rosa",
            ],
            ["brass", "clay", "glass", "iron", "paper", "steel", "tin", "wooden"],
            ["bell", "cup", "dish", "fork", "key", "lamp", "mask", "ring"],
            [
                "Athens", "Berlin", "Cairo", "Delhi", "Essen", "Faro", "Genoa", "Hanoi", "Izmir", "Kyoto", "Lima",
                "Milan", "Oslo", "Paris", "Rome", "Tokyo",
            ],
        ],
        "animal": [
            ["old", "young", "small", "big", "grey", "white", "quick", "lazy"],
            ["cat", "dog", "fox", "hen", "owl", "pig", "mouse", "sheep"], ["sleeps", "eats", "waits", "sings"],
            ["dawn", "noon", "dusk", "night"],
        ],
        "day": [
            ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
            ["sea", "sky", "road", "wind"], ["calm", "cold", "dark", "warm"],
        ],
    ]
}

// MARK: Costs

extension ParsedCorpus {
    /// The probability that a question asks for the m-th fact back.
    static func probability(factsBack m: Int) -> Double {
        switch m {
        case 1: 0.5
        case 2...3: 0.2 / 2
        case 4...10: 0.1 / 7
        case 11...30: 0.1 / 20
        case 31...100: 0.05 / 70
        case 101...300: 0.05 / 200
        default: 0
        }
    }

    /// The information in a sentence, in bits, to one who has read the text before it.
    func bits(_ sentence: Sentence) -> Double {
        let kinds = sentence.facts == 0 ? 5.0 : 8.0  // no questions without facts
        switch sentence.kind {
        case .fact: return -log2(3 / kinds) + log2(Double(1024 - min(sentence.facts, 300)) * 16)
        case .filler(let shape): return -log2(2 / kinds / 2) + log2(shape == 0 ? 8.0 * 8 * 4 * 4 : 7.0 * 4 * 4)
        case .question(let m):
            let possible = (1...min(sentence.facts, 300)).reduce(0) { $0 + Self.probability(factsBack: $1) }
            return -log2(3 / kinds) - log2(Self.probability(factsBack: m) / possible)
        }
    }

    /// The information in a sentence to one who has seen the text from `start` on only, and does not know what was before.
    func bits(_ sentence: Sentence, seenFrom start: Int) -> Double {
        let before = facts[..<sentence.facts]
        let seen = min(before.filter { sentences[$0].range.lowerBound >= start }.count, 300)
        let keyAndPlace = log2(Double(1024 - seen) * 16)
        switch sentence.kind {
        case .fact: return -log2(3.0 / 8) + keyAndPlace
        case .filler(let shape): return -log2(1.0 / 8) + log2(shape == 0 ? 1024.0 : 112)
        case .question(let m) where sentences[before[before.count - m]].range.lowerBound >= start:
            return -log2(3.0 / 8) - log2(Self.probability(factsBack: m))
        case .question:
            let unseen = (seen + 1...300).reduce(0) { $0 + Self.probability(factsBack: $1) }
            return -log2(3.0 / 8) - log2(unseen) + keyAndPlace
        }
    }
}
