import AttentionZooExperiments
import Tensors
import Testing

@Suite struct RetrievalTaskTests {
    private let key = RandomKey(seed: 1)

    private func rows(_ tokens: TokenTensor) -> [[Int32]] {
        stride(from: 0, to: tokens.count, by: tokens.shape[1]).map { Array(tokens.values[$0..<$0 + tokens.shape[1]]) }
    }

    @Test("Without replacement every key and value comes once")
    func withoutReplacementEveryKeyAndValueComesOnce() {
        let batch = RetrievalTask(.distinctKeys, keys: 9).trainingBatch(6, key: key)
        #expect(batch.keys.shape == [6, 9] && batch.queries.shape == [6, 1])
        for row in rows(batch.keys) + rows(batch.values) { #expect(row.sorted() == Array(0..<9)) }
        #expect(Set(rows(batch.keys)).count == 6)
        #expect(rows(batch.keys) != rows(batch.values))
        expectTargets(batch)
    }

    @Test("With replacement the last value of a key counts")
    func withReplacementTheLastValueCounts() {
        let batch = RetrievalTask(.repeatedKeys, keys: 5).trainingBatch(40, key: key)
        #expect(batch.keys.shape == [40, 10])
        expectTargets(batch)
        // Among 40 times 10 draws of 5 numbers, all come, and a key with different values too.
        #expect(Set(batch.keys.values) == Set(0..<5) && Set(batch.values.values) == Set(0..<5))
        let overwritten = zip(
            zip(rows(batch.keys), rows(batch.values)), zip(batch.queries.values, batch.targets.values)
        )
        .count { sequence, answer in
            let first = sequence.0.firstIndex(of: answer.0)!
            return sequence.1[first] != answer.1
        }
        #expect(overwritten > 0)
    }

    private func expectTargets(_ batch: RetrievalBatch) {
        for (index, (keys, values)) in zip(rows(batch.keys), rows(batch.values)).enumerated() {
            for (query, target) in zip(rows(batch.queries)[index], rows(batch.targets)[index]) {
                let last = keys.lastIndex(of: query)
                #expect(last != nil && values[last!] == target)
            }
        }
    }

    @Test(
        "Evaluations ask for every key",
        arguments: [RetrievalTask(.distinctKeys, keys: 30), RetrievalTask(.repeatedKeys, keys: 30)])
    func evaluationsAskForEveryKey(_ task: RetrievalTask) {
        let batch = task.evaluationSequence(of: 30, key: key)
        #expect(batch.queries.values == Set(batch.keys.values).sorted())
        #expect(batch.keys.shape == [1, 30])
        expectTargets(batch)
        let some = task.evaluationSequence(of: 30, mostQueries: 4, key: key)
        #expect(some.queries.values == Array(batch.queries.values.prefix(4)) && some.keys == batch.keys)
        expectTargets(some)
    }

    @Test("The random key decides the batch, and every key is asked for")
    func theKeyDecides() {
        let task = RetrievalTask(.repeatedKeys, keys: 12)
        #expect(task.trainingBatch(4, key: key) == task.trainingBatch(4, key: key))
        #expect(task.trainingBatch(4, key: key) != task.trainingBatch(4, key: key.child(1)))
        // A query is the key of any pair: over 400 sequences of 24 pairs each of 12 keys is asked for some 33 times.
        let queries = task.trainingBatch(400, key: key).queries.values
        for number in 0..<12 { #expect(queries.count { $0 == number } > 10) }
    }
}
