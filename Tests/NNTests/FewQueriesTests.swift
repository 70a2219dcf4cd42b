import NN
import Tensors
import Testing

@Suite("Few queries that share keys") struct FewQueriesTests {
    private struct Case: Sendable, CustomTestStringConvertible {
        var keys = 40, h = 3, d = 8, e = 8
        var reach: Int?
        var isBiased = false
        var testDescription: String {
            "\(keys) keys, h \(h), d \(d), e \(e), reach \(reach ?? 0)\(isBiased ? ", biased" : "")"
        }

        /// By distance, the farthest first.
        var bias: Tensor? { isBiased ? sample([h, keys + 2], seed: 4) : nil }
    }

    private static let cases: [Case] = [
        Case(), Case(keys: 1), Case(keys: 15), Case(keys: 16), Case(keys: 17, h: 1), Case(keys: 127, h: 8),
        Case(keys: 128, h: 8, d: 64, e: 64), Case(keys: 129, h: 9), Case(keys: 700, h: 13, d: 64, e: 64),
        Case(keys: 300, h: 2, d: 3, e: 5), Case(keys: 300, h: 4, d: 16, e: 33), Case(keys: 300, h: 8, d: 20, e: 48),
        Case(keys: 300, reach: 2), Case(keys: 300, h: 8, reach: 128), Case(keys: 300, reach: 131),
        Case(keys: 30, h: 5, reach: 100), Case(keys: 1050, h: 8, d: 64, e: 64, reach: 513),
        Case(h: 1, isBiased: true), Case(keys: 300, h: 13, d: 20, isBiased: true),
        Case(keys: 300, h: 8, reach: 131, isBiased: true),
    ]

    /// Values lie beside something else, in rows that are wider than they.
    private static func values(_ c: Case, seed: UInt64) -> Tensor { sample([c.keys, c.e + 3], seed: seed) }

    /// The plain form, of a single token that stands at the last key.
    private static func plain(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ c: Case, scale: Float) -> Tensor {
        groupedQueryAttention(
            q.reshaped([1, 1, c.h, c.d]), k.reshaped([1, c.keys, 1, c.d]),
            v.sliced(1, to: c.e).reshaped([1, c.keys, 1, c.e]), scale: scale, isCausal: true, reach: c.reach,
            bias: c.bias, implementation: .plain
        ).reshaped([c.h, c.e])
    }

    @Test("Agree with the plain form", arguments: cases) private func agree(_ c: Case) {
        let (q, k, v) = (sample([c.h, c.d], seed: 1), sample([c.keys, c.d], seed: 2), Self.values(c, seed: 3))
        let output = Tensor(repeating: .nan, shape: [c.h, c.e])
        let (keys, bias) = (KeyBlocks(k), c.bias)
        let one = FewQueries(
            q.pointer, keys, reach: c.reach, bias: bias.map { $0.pointer + 2 }, biasStride: c.keys + 2,
            values: v.pointer, valueStride: c.e + 3, scale: 0.7, output: output.mutablePointer)
        FewQueries.attend([one], h: c.h, d: c.d, e: c.e)
        withExtendedLifetime((q, keys, v, bias)) {}
        let expected = Self.plain(q, k, v, c, scale: 0.7)
        // Scores of at most some 20 are rounded by 1e-6, and so are their exponentials, relatively.
        #expect((output - expected).values.allSatisfy { abs($0) < 2e-5 })
    }

    @Test("Several are computed at once, each with keys of its own") func severalAtOnce() {
        let cases = [Case(keys: 300, h: 4), Case(keys: 5, h: 4), Case(keys: 513, h: 4, reach: 200)]
        let inputs = cases.enumerated().map { index, c in
            let seed = UInt64(10 * index)
            return (
                sample([c.h, c.d], seed: seed), sample([c.keys, c.d], seed: seed + 1), Self.values(c, seed: seed + 2)
            )
        }
        let outputs = cases.map { Tensor(repeating: .nan, shape: [$0.h, $0.e]) }
        let keys = inputs.map { KeyBlocks($0.1) }
        let all = cases.indices.map { index in
            FewQueries(
                inputs[index].0.pointer, keys[index], reach: cases[index].reach,
                values: inputs[index].2.pointer, valueStride: cases[index].e + 3, scale: 0.5,
                output: outputs[index].mutablePointer)
        }
        FewQueries.attend(all, h: 4, d: 8, e: 8)
        withExtendedLifetime(keys) {}
        for (index, c) in cases.enumerated() {
            let (q, k, v) = inputs[index]
            let expected = Self.plain(q, k, v, c, scale: 0.5)
            #expect((outputs[index] - expected).values.allSatisfy { abs($0) < 2e-5 }, "\(index)")
        }
    }

    @Test("Scores far apart neither overflow nor vanish") func largeScores() {
        let c = Case(keys: 260, h: 3)
        var k = sample([c.keys, c.d], seed: 2)
        k = k * 40
        let (q, v) = (sample([c.h, c.d], seed: 1) * 10, Self.values(c, seed: 3))
        let (keys, output) = (KeyBlocks(k), Tensor(repeating: .nan, shape: [c.h, c.e]))
        let one = FewQueries(
            q.pointer, keys, values: v.pointer, valueStride: c.e + 3, scale: 1, output: output.mutablePointer)
        FewQueries.attend([one], h: c.h, d: c.d, e: c.e)
        withExtendedLifetime((q, keys, v)) {}
        let expected = Self.plain(q, k, v, c, scale: 1)
        // Scores of some 2000 are rounded by 1e-4.
        #expect((output - expected).values.allSatisfy { abs($0) < 2e-3 })
    }

    @Test("Appended keys are those of whole rows, and a copy keeps its own") func appending() {
        let rows = sample([70, 6], seed: 1)
        var grown = KeyBlocks(width: 6)
        var copy = grown
        for row in 0..<70 {
            if row == 33 { copy = grown }
            grown.append(rows.pointer + row * 6)
        }
        copy.append(rows.pointer)
        #expect(grown.count == 70 && copy.count == 34)
        let q = sample([2, 6], seed: 2)
        func attend(_ keys: KeyBlocks) -> [Float] {
            let output = Tensor.zeros([2, 6])
            let one = FewQueries(
                q.pointer, keys, values: rows.pointer, valueStride: 6, scale: 1, output: output.mutablePointer)
            FewQueries.attend([one], h: 2, d: 6, e: 6)
            withExtendedLifetime((q, keys, rows)) {}
            return output.values
        }
        #expect(attend(grown) == attend(KeyBlocks(rows)))
        let branch = concatenate([rows.sliced(0, to: 33), rows.sliced(0, to: 1)])
        #expect(attend(copy) == attend(KeyBlocks(branch)))
    }
}
