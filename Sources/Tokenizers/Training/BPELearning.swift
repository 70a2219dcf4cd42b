/// The learning of merges: counts of pairs that are brought up to date where a merge changes words, and a queue of them.
struct BPELearning {
    private(set) var vocabulary: Vocabulary
    private(set) var merges = BPEMerges()
    /// The tokens of all words one after another; a word's end moves down as it is merged.
    private var tokens: [Int32] = []
    private var starts: [Int] = []
    private var lengths: [Int32] = []
    private let wordCounts: [Int]
    private var pairs = PairTable()
    /// The occurrences of each pair of the table. A pair's own count stays when it is merged, as in the Python package, whose
    /// order it decides where a token is made a second time.
    private var pairCounts: [Int] = []
    private var queue = BinaryHeap<Candidate>()

    /// A pair with its count when it was queued, and the words that it occurs in.
    private struct Candidate: Comparable {
        let pair: TokenPair
        let index: Int
        var count: Int
        let words: [Int32]

        static func < (a: Candidate, b: Candidate) -> Bool {
            a.count != b.count ? a.count > b.count : a.pair < b.pair
        }
    }

    init(_ words: WordCounts, vocabulary: [[UInt8]], tokenOfByte: [Int32]) {
        self.vocabulary = Vocabulary(vocabulary)
        wordCounts = words.counts
        tokens.reserveCapacity(words.words.byteCount)
        for index in words.counts.indices {
            starts.append(tokens.count)
            lengths.append(Int32(words.words[index].count))
            for byte in words.words[index] { tokens.append(tokenOfByte[Int(byte)]) }
        }
    }

    mutating func learn(vocabularySize: Int, minimumFrequency: Int) {
        queueAllPairs()
        while vocabulary.endIndex < vocabularySize, var best = queue.pop() {
            if best.count != pairCounts[best.index] {
                best.count = pairCounts[best.index]
                if best.count > 0 { queue.push(best) }
                continue
            }
            guard best.count > 0, best.count >= minimumFrequency else { break }
            merge(best)
        }
    }

    private mutating func queueAllPairs() {
        var wordsOfPair: [[Int32]] = []
        for word in starts.indices {
            for i in starts[word]..<starts[word] + max(0, Int(lengths[word]) - 1) {
                let index = number(of: TokenPair(left: tokens[i], right: tokens[i + 1]))
                if index == wordsOfPair.count { wordsOfPair.append([]) }
                pairCounts[index] += wordCounts[word]
                if wordsOfPair[index].last != Int32(word) { wordsOfPair[index].append(Int32(word)) }
            }
        }
        queue = BinaryHeap(
            wordsOfPair.indices.map {
                Candidate(pair: pairs.pairs[$0], index: $0, count: pairCounts[$0], words: wordsOfPair[$0])
            })
    }

    private mutating func number(of pair: TokenPair) -> Int {
        let index = pairs.insert(pair)
        if index == pairCounts.count { pairCounts.append(0) }
        return index
    }

    private mutating func merge(_ best: Candidate) {
        let bytes = Array(vocabulary.token(of: Int(best.pair.left))!) + vocabulary.token(of: Int(best.pair.right))!
        let product = vocabulary.id(of: bytes) ?? Int32(vocabulary.endIndex)
        if Int(product) == vocabulary.endIndex { _ = vocabulary.add(bytes, id: Int(product)) }
        merges.append(best.pair, product: product)
        var changes = Changes()
        for word in best.words { merge(best.pair, into: product, in: Int(word), &changes) }
        for slot in changes.words.indices where pairCounts[changes.indices[slot]] > 0 {
            let index = changes.indices[slot]
            queue.push(
                Candidate(
                    pair: pairs.pairs[index], index: index, count: pairCounts[index], words: changes.words[slot]))
        }
    }

    /// The pairs that a merge makes, with the words they occur in.
    private struct Changes {
        private(set) var indices: [Int] = []
        private(set) var words: [[Int32]] = []
        private var slots: [Int: Int] = [:]

        mutating func add(_ index: Int, _ word: Int32) {
            if let slot = slots[index] {
                if words[slot].last != word { words[slot].append(word) }
            } else {
                slots[index] = indices.count
                indices.append(index)
                words.append([word])
            }
        }
    }

    /// Merges a pair from left to right in a word, and counts the pairs that vanish and appear.
    private mutating func merge(_ pair: TokenPair, into product: Int32, in word: Int, _ changes: inout Changes) {
        let (start, count) = (starts[word], wordCounts[word])
        let end = start + Int(lengths[word])
        var (read, write) = (start, start)
        while read < end {
            guard tokens[read] == pair.left, read + 1 < end, tokens[read + 1] == pair.right else {
                tokens[write] = tokens[read]
                (read, write) = (read + 1, write + 1)
                continue
            }
            if write > start {
                let left = tokens[write - 1]
                pairCounts[number(of: TokenPair(left: left, right: pair.left))] -= count
                appear(TokenPair(left: left, right: product), word, &changes)
            }
            if read + 2 < end {
                let right = tokens[read + 2]
                pairCounts[number(of: TokenPair(left: pair.right, right: right))] -= count
                appear(TokenPair(left: product, right: right), word, &changes)
            }
            tokens[write] = product
            (read, write) = (read + 2, write + 1)
        }
        lengths[word] = Int32(write - start)
    }

    private mutating func appear(_ pair: TokenPair, _ word: Int, _ changes: inout Changes) {
        let index = number(of: pair)
        pairCounts[index] += wordCounts[word]
        changes.add(index, Int32(word))
    }
}
