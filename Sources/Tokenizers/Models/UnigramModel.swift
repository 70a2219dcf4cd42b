/// The most probable tokens (Unigram language model, 1804.10959), by Viterbi's algorithm.
struct UnigramModel: Sendable {
    let vocabulary: Vocabulary
    private let scores: [Double]
    private let unknown: Int32
    private let unknownScore: Double
    private let byteTokens: [Int32?]?
    private let trie: ByteTrie

    /// How much less than the least probable token an unknown character scores.
    private static let penalty = 10.0

    init(_ component: Component) throws {
        var (vocabulary, scores, trie) = (Vocabulary(), [Double](), ByteTrie())
        for (id, entry) in try component.required("vocab").elements().enumerated() {
            let parts = try entry.elements()
            guard parts.count == 2 else { throw entry.error("expected a token and its score") }
            let token = Array(try parts[0].string().utf8)
            guard vocabulary.add(token, id: id) else {
                throw entry.error("expected different tokens, found \(try parts[0].string().debugDescription) again")
            }
            scores.append(try parts[1].number())
            trie.insert(token, Int32(id))
        }
        let unknown = try component.required("unk_id")
        guard try unknown.count() < scores.count else {
            throw unknown.error("expected the number of one of the \(scores.count) tokens")
        }
        (self.vocabulary, self.scores, self.trie) = (vocabulary, scores, trie)
        self.unknown = Int32(try unknown.count())
        unknownScore = (scores.min() ?? 0) - Self.penalty
        byteTokens = try component.bool("byte_fallback", default: false) ? vocabulary.byteTokens : nil
    }

    /// The last token of the best way to a position.
    private struct Step {
        var token: Int32 = -1
        var start = -1
        var score = 0.0
    }

    func append(_ word: Bytes, to tokens: inout [Int32]) {
        let steps = bestSteps(of: word)
        var path: [(token: Int32, range: Range<Int>)] = []
        var end = word.count
        while end > 0 {
            let step = steps[end]
            // Unknown characters side by side are one unknown token.
            if step.token == unknown, let last = path.last, last.token == unknown {
                path[path.count - 1].range = step.start..<last.range.upperBound
            } else {
                path.append((step.token, step.start..<end))
            }
            end = step.start
        }
        for (token, range) in path.reversed() {
            guard token == unknown else {
                tokens.append(token)
                continue
            }
            appendUnknown(word.part(range), to: &tokens)
        }
    }

    private func bestSteps(of word: Bytes) -> [Step] {
        var steps = [Step](repeating: Step(), count: word.count + 1)
        func offer(_ token: Int32, _ range: Range<Int>, _ score: Double) {
            let total = steps[range.lowerBound].score + score
            guard steps[range.upperBound].start < 0 || total > steps[range.upperBound].score else { return }
            steps[range.upperBound] = Step(token: token, start: range.lowerBound, score: total)
        }
        var start = 0
        while start < word.count {
            let length = word.scalar(at: start).length
            var isKnown = false
            trie.forEachPrefix(of: word, from: start) { token, end in
                offer(token, start..<end, scores[Int(token)])
                if end == start + length { isKnown = true }
            }
            if !isKnown { offer(unknown, start..<start + length, unknownScore) }
            start += length
        }
        return steps
    }

    private func appendUnknown(_ bytes: Bytes, to tokens: inout [Int32]) {
        if let token = vocabulary.id(of: bytes) { return tokens.append(token) }
        if byteTokens?.append(bytes, to: &tokens) == true { return }
        tokens.append(unknown)
    }

    var json: JSON {
        [
            "type": "Unigram", "unk_id": .number(Double(unknown)),
            "vocab": .array(scores.indices.map { [.string(vocabulary.text(of: Int32($0))), .number(scores[$0])] }),
            "byte_fallback": .bool(byteTokens != nil),
        ]
    }
}
