import Synchronization

/// The tokens of words that were met before.
struct WordCache {
    private var words = ByteStringTable()
    private var ends: [Int] = [0]
    private var tokens: [Int32] = []

    /// Longer words are rare, and would fill the cache.
    static let longestWord = 64
    /// Some 20 MB with the tokens; what comes later is computed each time.
    private static let mostWords = 1 << 18

    /// Appends the tokens of a word.
    /// - Parameter compute: appends them where the word is new.
    @inline(__always)
    mutating func append(_ word: Bytes, to result: inout [Int32], _ compute: (inout [Int32]) -> Void) {
        guard word.count <= Self.longestWord else { return compute(&result) }
        if let index = words.index(of: word) {
            for i in ends[index]..<ends[index + 1] { result.append(tokens[i]) }
            return
        }
        let start = result.count
        compute(&result)
        guard words.count < Self.mostWords else { return }
        _ = words.insert(word)
        tokens.append(contentsOf: result[start...])
        ends.append(tokens.count)
    }
}

/// A cache that one caller has at a time; another that comes meanwhile gets an empty one.
final class SharedWordCache: Sendable {
    private let cache = Mutex<WordCache?>(WordCache())

    func use<Result>(_ body: (inout WordCache) -> Result) -> Result {
        var taken = cache.withLock { $0.take() } ?? WordCache()
        defer { cache.withLock { [taken] in $0 = taken } }
        return body(&taken)
    }
}
