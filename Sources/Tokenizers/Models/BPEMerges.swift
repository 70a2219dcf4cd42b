/// The merges of byte pair encoding, and their application to the tokens of a word.
struct BPEMerges: Sendable {
    private var table = PairTable()
    /// Rank and product of each pair of the table.
    private var rules: [(rank: Int32, product: Int32)] = []
    /// All pairs by rank, as the file lists them.
    private(set) var pairs: [TokenPair] = []

    init() {}

    mutating func append(_ pair: TokenPair, product: Int32) {
        let rule = (rank: Int32(pairs.count), product: product)
        let index = table.insert(pair)
        // Of a pair that is listed twice the last counts, as in the Python package.
        if index == rules.count { rules.append(rule) } else { rules[index] = rule }
        pairs.append(pair)
    }

    /// Reads merges as arrays of two tokens, or in the older form of one string with a space.
    init(_ component: Component, _ vocabulary: Vocabulary, prefix: String) throws {
        for merge in try component.elements() {
            let (left, right) = try Self.parts(of: merge)
            let product =
                Array(left.utf8) + Array(right.utf8).dropFirst(right.hasPrefix(prefix) ? prefix.utf8.count : 0)
            func id(_ token: [UInt8]) throws -> Int32 {
                guard let id = vocabulary.id(of: token) else {
                    throw merge.error(
                        "expected tokens of the vocabulary, found \(String(decoding: token, as: UTF8.self).debugDescription)"
                    )
                }
                return id
            }
            append(
                TokenPair(left: try id(Array(left.utf8)), right: try id(Array(right.utf8))),
                product: try id(product))
        }
    }

    private static func parts(of merge: Component) throws -> (String, String) {
        let parts: [String] =
            if case .string(let text) = merge.json {
                text.utf8.split(separator: 0x20, omittingEmptySubsequences: false).map { String(Substring($0)) }
            } else {
                try merge.elements().map { try $0.string() }
            }
        guard parts.count == 2 else { throw merge.error("expected two tokens") }
        return (parts[0], parts[1])
    }

    @inline(__always)
    private func rule(_ left: Int32, _ right: Int32) -> (rank: Int32, product: Int32)? {
        table.index(of: TokenPair(left: left, right: right)).map { rules[$0] }
    }

    // MARK: Application

    /// Merges the tokens from a position on: always the pair of the lowest rank, of several the leftmost.
    func merge(_ tokens: inout [Int32], from start: Int) {
        if tokens.count - start > Self.longestShortWord {
            mergeLong(&tokens, from: start)
        } else if tokens.count - start > 1 {
            mergeShort(&tokens, from: start)
        }
    }

    /// Beyond this a queue is faster than a search among all pairs.
    private static let longestShortWord = 48

    /// Searches all pairs for each merge, in a few cache lines.
    private func mergeShort(_ tokens: inout [Int32], from start: Int) {
        let left = tokens.withUnsafeMutableBufferPointer { tokens in
            withUnsafeTemporaryAllocation(of: Rule.self, capacity: tokens.count - start) { found in
                var word = ShortWord(merges: self, tokens: .init(rebasing: tokens[start...]), found: found)
                while word.mergeBest() {}
                return word.count
            }
        }
        tokens.removeLast(tokens.count - start - left)
    }

    private typealias Rule = (rank: Int32, product: Int32)

    /// A word with the rule for each token and its right neighbor.
    private struct ShortWord {
        let merges: BPEMerges
        let tokens: UnsafeMutableBufferPointer<Int32>
        let found: UnsafeMutableBufferPointer<Rule>
        var count: Int

        init(merges: BPEMerges, tokens: UnsafeMutableBufferPointer<Int32>, found: UnsafeMutableBufferPointer<Rule>) {
            (self.merges, self.tokens, self.found, count) = (merges, tokens, found, tokens.count)
            for i in 0..<count { look(i) }
        }

        @inline(__always)
        func look(_ i: Int) {
            found[i] = i + 1 < count ? merges.rule(tokens[i], tokens[i + 1]) ?? (.max, -1) : (.max, -1)
        }

        mutating func mergeBest() -> Bool {
            var (best, rank) = (-1, Int32.max)
            for i in 0..<count where found[i].rank < rank { (best, rank) = (i, found[i].rank) }
            guard best >= 0 else { return false }
            tokens[best] = found[best].product
            count -= 1
            var i = best + 1
            while i < count {
                (tokens[i], found[i]) = (tokens[i + 1], found[i + 1])
                i += 1
            }
            look(best)
            if best > 0 { look(best - 1) }
            return true
        }
    }

    // MARK: Long words

    /// Keeps candidates in a queue and tokens in a linked list: n log n steps for n tokens.
    private func mergeLong(_ tokens: inout [Int32], from start: Int) {
        var word = Array(tokens[start...])
        var previous = word.indices.map { Int32($0 - 1) }
        var next = word.indices.map { Int32($0 + 1 < word.count ? $0 + 1 : -1) }
        var queue = BinaryHeap<Candidate>()
        func offer(_ left: Int32) {
            guard left >= 0, case let right = next[Int(left)], right >= 0,
                let rule = rule(word[Int(left)], word[Int(right)])
            else { return }
            queue.push(Candidate(rank: rule.rank, position: left, product: rule.product))
        }
        for i in word.indices { offer(Int32(i)) }
        while let best = queue.pop() {
            let left = Int(best.position)
            // Tokens that were merged since have left the list, or make another product.
            guard word[left] >= 0, case let right = Int(next[left]), right >= 0,
                let rule = rule(word[left], word[right]), rule.product == best.product
            else { continue }
            word[left] = best.product
            word[right] = -1
            next[left] = next[right]
            if next[left] >= 0 { previous[Int(next[left])] = best.position }
            offer(previous[left])
            offer(best.position)
        }
        tokens.removeSubrange(start...)
        tokens.append(contentsOf: word.lazy.filter { $0 >= 0 })
    }

    private struct Candidate: Comparable {
        let rank: Int32
        let position: Int32
        let product: Int32

        static func < (a: Candidate, b: Candidate) -> Bool {
            a.rank != b.rank ? a.rank < b.rank : a.position < b.position
        }
    }
}
