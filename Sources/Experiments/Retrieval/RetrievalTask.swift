import Tensors

// The synthetic retrieval tasks of Linear Transformers Are Secretly Fast Weight Memory Systems (Schlag, Irie, Schmidhuber,
// 2102.11174, section 6.1): pairs of a key and a value are read one after another, then the value of one key is asked for.
//
// S distinct keys and values, b sequences, n pairs of a sequence, m queries of a sequence

/// The setting: one of the paper's two tasks.
package enum RetrievalSetting: Int, CaseIterable, Sendable {
    /// S pairs, every key and every value once: how much a memory can hold.
    case distinctKeys = 1
    /// 2 S pairs, keys and values drawn with replacement, of which the last value of a key counts: whether a memory can
    /// be written over.
    case repeatedKeys = 2
}

/// A task: a setting and its number of keys.
package struct RetrievalTask: Sendable, Hashable {
    /// The setting.
    package let setting: RetrievalSetting
    /// S, the number of distinct keys, and of values.
    package let keys: Int

    /// Creates a task of a setting with S keys.
    package init(_ setting: RetrievalSetting, keys: Int) {
        require(keys > 0, "RetrievalTask: \(keys) keys; expected at least 1")
        (self.setting, self.keys) = (setting, keys)
    }

    /// Pairs in a sequence of training.
    package var pairs: Int { setting == .distinctKeys ? keys : 2 * keys }
}

/// Sequences of pairs with queries, all by their numbers below S.
package struct RetrievalBatch: Sendable, Equatable {
    /// [b, n]
    package let keys: TokenTensor
    /// [b, n]
    package let values: TokenTensor
    /// Keys that are asked for, [b, m].
    package let queries: TokenTensor
    /// The last value of each, [b, m].
    package let targets: TokenTensor
}

extension RetrievalTask {
    /// Sequences for training, each with one query: the key of any of its pairs.
    package func trainingBatch(_ count: Int, key: RandomKey) -> RetrievalBatch {
        var (keys, values, queries, targets): ([Int32], [Int32], [Int32], [Int32]) = ([], [], [], [])
        for index in 0..<count {
            let sequence = sequence(of: pairs, key: key.child(index))
            let query = sequence.keys[Self.below(sequence.keys.count, key.child(index).child(2))]
            keys += sequence.keys
            values += sequence.values
            queries.append(query)
            targets.append(sequence.values[sequence.keys.lastIndex(of: query)!])
        }
        return RetrievalBatch(
            keys: TokenTensor(keys, shape: [count, pairs]), values: TokenTensor(values, shape: [count, pairs]),
            queries: TokenTensor(queries, shape: [count, 1]), targets: TokenTensor(targets, shape: [count, 1]))
    }

    /// One sequence in which every key there is is asked for, those with the lowest numbers where there are many.
    /// - Parameters:
    ///   - length: pairs in it; at most S where every key comes once.
    ///   - mostQueries: 200 in the authors' evaluation.
    package func evaluationSequence(of length: Int, mostQueries: Int = 200, key: RandomKey) -> RetrievalBatch {
        let (keys, values) = sequence(of: length, key: key)
        var last: [Int32: Int32] = [:]
        for (key, value) in zip(keys, values) { last[key] = value }
        let queries = Array(last.keys.sorted().prefix(mostQueries))
        return RetrievalBatch(
            keys: TokenTensor(keys, shape: [1, length]), values: TokenTensor(values, shape: [1, length]),
            queries: TokenTensor(queries, shape: [1, queries.count]),
            targets: TokenTensor(queries.map { last[$0]! }, shape: [1, queries.count]))
    }

    private func sequence(of length: Int, key: RandomKey) -> (keys: [Int32], values: [Int32]) {
        (draw(length, key: key.child(0)), draw(length, key: key.child(1)))
    }

    /// Numbers below S, all different in the first setting.
    private func draw(_ length: Int, key: RandomKey) -> [Int32] {
        let words = key.integers(length)
        guard setting == .distinctKeys else { return words.map { Int32($0 % UInt64(keys)) } }
        require(length <= keys, "RetrievalTask: \(length) pairs of \(keys) different keys")
        // The first elements of a shuffled list (Fisher and Yates).
        var numbers = Array(0..<Int32(keys))
        for (index, word) in words.enumerated() {
            numbers.swapAt(index, index + Int(word % UInt64(keys - index)))
        }
        return Array(numbers.prefix(length))
    }

    private static func below(_ limit: Int, _ key: RandomKey) -> Int { Int(key.value % UInt64(limit)) }
}
