import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

/// Rotary positions in both forms against their definition, and their tables.
@Suite("Rotary positions") struct RotaryTests {
    private func normal(_ shape: [Int], seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }

    /// The columns of a pair, of d that are turned.
    private func columns(_ pair: Int, _ d: Int, _ pairs: RotaryPairs) -> (Int, Int) {
        switch pairs {
        case .interleaved: (2 * pair, 2 * pair + 1)
        case .halves: (pair, pair + d / 2)
        }
    }

    /// A row at a position: each pair times e^(i · position · 10000^(−2j/d)), in float64.
    private func turned(_ row: [Float], _ position: Int, _ d: Int, _ pairs: RotaryPairs) -> [Double] {
        var result = row.map(Double.init)
        for (j, rate) in inverseFrequencies(max(d, 1)).prefix(d / 2).enumerated() {
            let (low, high) = columns(j, d, pairs)
            let angle = Double(position) * Double(rate)
            result[low] = Double(row[low]) * Foundation.cos(angle) - Double(row[high]) * Foundation.sin(angle)
            result[high] = Double(row[high]) * Foundation.cos(angle) + Double(row[low]) * Foundation.sin(angle)
        }
        return result
    }

    @Test(
        "Both forms turn each pair of the first columns by its angle, tokens or heads first",
        arguments: [RotaryPairs.interleaved, .halves], [(d: 6, c: 6), (4, 7), (0, 3), (2, 2)])
    func definition(_ pairs: RotaryPairs, _ size: (d: Int, c: Int)) {
        let rotary = Rotary(size.d, pairs: pairs)
        let positions = [0, 3, 1, 40, 7]
        let x = normal([2, 5, 3, size.c], seed: 1)
        let expected = (0..<2).flatMap { b in
            (0..<5).flatMap { n in
                (0..<3).flatMap { turned(x.at(0, b).at(0, n).at(0, $0).values, positions[n], size.d, pairs) }
            }
        }
        let table = rotary.table(positions)
        for form in Implementation.allCases {
            let y = table.rotate(x, implementation: form)
            // Angles up to 40 radians are off by a rounding of 40, the rest by a few roundings of products.
            expectClose(y.values, expected, within: Rounding.bound(64, of: 4), "\(form)")
            let swapped = table.rotate(x.transposed(1, 2), headsFirst: true, implementation: form)
            #expect(swapped.transposed(1, 2).contiguous().values == y.values, "\(form), heads first")
            let single = table.rotate(x.at(2, 1), implementation: form)
            #expect(single.values == y.at(2, 1).contiguous().values, "\(form), without heads")
        }
    }

    @Test("Gradients turn back, in both forms", arguments: [RotaryPairs.interleaved, .halves], Implementation.allCases)
    func gradient(_ pairs: RotaryPairs, _ form: Implementation) throws {
        let table = Rotary(4, pairs: pairs).table([5, 9])
        let x = normal([1, 2, 3, 5], seed: 1).requiringGradient()
        let probe = normal([1, 2, 3, 5], seed: 2)
        let all = gradients(of: (table.rotate(x, implementation: form) * probe).sum())
        let back = Rotary(4, pairs: pairs).table([-5, -9]).rotate(probe)
        expectClose(try #require(all[x]).values, back.values, terms: 8)
    }

    @Test("Rows on memory are turned as those of a tensor", arguments: [RotaryPairs.interleaved, .halves])
    func memory(_ pairs: RotaryPairs) {
        let table = Rotary(4, pairs: pairs).table([2, 3, 4])
        let x = normal([1, 3, 6], seed: 1)
        var rows = Array(x.values[6...])
        table.rotate(&rows, rows: 2, width: 6, from: 1)
        #expect(rows == Array(table.rotate(x).values[6...]))
        table.rotate(&rows, rows: 2, width: 6, from: 1, sign: -1)
        expectClose(rows, Array(x.values[6...]), terms: 8)
        let heads = normal([1, 1, 2, 4], seed: 2)
        var two = heads.values
        table.rotate(&two, heads: 2, row: 1)
        #expect(two == Rotary(4, pairs: pairs).table([3]).rotate(heads).values)
    }

    @Test("A table of consecutive positions is kept, and serves its parts", arguments: [nil, 8.0])
    func kept(_ scaleBase: Double?) {
        let rotary = Rotary(4, scaleBase: scaleBase)
        let x = normal([1, 6, 1, 4], seed: 1)
        func table(_ positions: Range<Int>, decay: Double = 1) -> [Float] {
            rotary.table(Array(positions), window: 3, decay: decay, isKept: true).rotate(
                x.sliced(1, to: positions.count)
            ).values
        }
        /// By a layer that has kept nothing.
        func fresh(_ positions: Range<Int>, decay: Double = 1) -> [Float] {
            Rotary(4, scaleBase: scaleBase).table(Array(positions), window: 3, decay: decay)
                .rotate(x.sliced(1, to: positions.count)).values
        }
        #expect(table(0..<6) == fresh(0..<6))
        for positions in [2..<5, 0..<6, 0..<2, 4..<9, 20..<26, 3..<4, 5..<7] {
            #expect(table(positions) == fresh(positions), "\(positions)")
            #expect(table(positions, decay: -1) == fresh(positions, decay: -1), "\(positions), keys")
        }
        let windows = Rotary(4, scaleBase: scaleBase)
        let other = [3, 2].map { windows.table(Array(0..<6), window: $0, isKept: true).rotate(x).values }
        #expect(other[1] == Rotary(4, scaleBase: scaleBase).table(Array(0..<6), window: 2).rotate(x).values)
        #expect((other[0] == other[1]) == (scaleBase == nil), "xpos goes by the place in the window")
    }

    @Test("Angles of single precision are the products of float32")
    func single() {
        let rotary = Rotary(4, angles: .single, name: "freqs")
        #expect(rotary.state.map(\.key) == ["freqs"])
        let (position, x) = (10_007, Tensor([1, 1, 0, 0], shape: [1, 1, 4]))
        let angles = Tensor(inverseFrequencies(4).map { Float(position) * $0 })
        let y = rotary.table([position]).rotate(x).values
        #expect(y == cos(angles).values + sin(angles).values)
        #expect(y != Rotary(4).table([position]).rotate(x).values, "reduced angles are rounded less")
    }

    @Test("Xpos decays scores by distance, within windows and between them")
    func decay() {
        let (base, w, d) = (4.0, 4, 2)
        let rotary = Rotary(d, scaleBase: base)
        // Both columns of a pair decay alike, so the score of a vector with itself, turned back, is the decay.
        func score(_ query: Int, _ key: Int) -> Double {
            let q = rotary.table([query], window: w, decay: 1).rotate(Tensor([1, 0], shape: [1, 1, 2]))
            let k = rotary.table([key], window: w, decay: -1).rotate(Tensor([1, 0], shape: [1, 1, 2]))
            let between = rotary.windowFactors([query / w - key / w], window: w)!.values
            return zip(zip(q.values, k.values), between).reduce(0) { $0 + Double($1.0.0 * $1.0.1 * $1.1) }
        }
        for (query, key) in [(3, 0), (5, 2), (11, 11), (13, 2)] {
            let distance = Double(query - key)
            let decay = Foundation.pow(0.4 * Double(d) / (1.4 * Double(d)), distance / base)
            let expected = decay * Foundation.cos(distance)
            #expect(abs(score(query, key) - expected) < Rounding.bound(64, of: 8), "\(query), \(key)")
        }
        #expect(Rotary(d).windowFactors([1], window: w) == nil)
    }
}
