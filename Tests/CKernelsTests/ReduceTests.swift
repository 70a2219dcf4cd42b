import CKernels
import Testing

@Suite struct ReduceTests {
    /// outer, n, inner
    static let shapes = [
        (1, 1, 1), (3, 17, 1), (2, 1000, 1), (1, 2500, 1), (2, 3, 17), (3, 17, 5), (2, 100, 300), (1, 1, 40),
        (2, 70, 2),
    ]

    /// The values of x along the middle axis, for every (outer, inner).
    private func lines(_ outer: Int, _ n: Int, _ inner: Int, _ x: [Float]) -> [[Float]] {
        (0..<outer * inner).map { i in (0..<n).map { x[(i / inner * n + $0) * inner + i % inner] } }
    }

    @Test("Sums along any axis agree with float64", arguments: shapes)
    func sums(_ outer: Int, _ n: Int, _ inner: Int) {
        let x = values(outer * n * inner, offset: 1)
        let y = output(outer * inner) { az_sum(outer, n, inner, x, $0) }
        let lines = lines(outer, n, inner, x)
        // At most 64 additions in a lane: 64 half-ulps of the sum of magnitudes, far less in practice.
        for (sum, line) in zip(y, lines) {
            let scale = line.doubles.reduce(0) { $0 + abs($1) }
            expectClose([sum], [line.doubles.reduce(0, +)], absolute: 4e-7 * scale)
        }
    }

    /// Added one after the other in float32, a million tenths are wrong by 1 %.
    @Test("Long sums keep their accuracy")
    func longSumsKeepTheirAccuracy() {
        let count = 1_000_000
        let x = values(count, scale: 0.05, offset: 0.1)
        let exact = x.doubles.reduce(0, +)
        expectClose(output(1) { az_sum(1, count, 1, x, $0) }, [exact], relative: 2e-7, "row")
        expectClose(
            output(2) { az_sum(1, count / 2, 2, x, $0) },
            [0, 1].map { start in stride(from: start, to: count, by: 2).reduce(0) { $0 + Double(x[$1]) } },
            relative: 4e-7, "columns")
        expectClose(output(1, initially: [3]) { az_sum_rows(count, 1, x, 1, $0) }, [exact + 3], relative: 4e-7, "rows")
        // float64 throughout; the reference's own order of addition is all that differs.
        let squares = x.doubles.reduce(0) { $0 + $1 * $1 }
        #expect(abs(az_sum_squares(count, x) - squares) <= 1e-12 * squares)
    }

    @Test("A sum of squares does not overflow")
    func sumSquaresDoesNotOverflow() {
        #expect(az_sum_squares(3, [1e30, -1e30, 1e30]) > 2.99e60)
        #expect(az_sum_squares(0, []) == 0)
        #expect(az_sum_squares(3, [1, .nan, 1]).isNaN)
    }

    /// Around the ends of blocks and vectors; the largest and smallest floats are finite.
    @Test("The first element that is not finite is found")
    func theFirstElementThatIsNotFiniteIsFound() {
        let ordinary: [Float] = [.greatestFiniteMagnitude, -.greatestFiniteMagnitude, .leastNonzeroMagnitude, -0, 0, 1]
        for count in [0, 1, 7, 1023, 1024, 1025, 5000] {
            let finite = (0..<count).map { ordinary[$0 % ordinary.count] }
            #expect(az_first_not_finite(count, finite) == count)
            for place in [0, 5, 15, 1022, 1023, 1024, 1500, 2048, 4999] where place < count {
                for value in [Float.nan, -.nan, .infinity, -.infinity, .signalingNaN] {
                    var x = finite
                    (x[place], x[count - 1]) = (value, value)
                    #expect(az_first_not_finite(count, x) == place)
                }
            }
        }
    }

    @Test("Sums pass infinity and NaN on")
    func sumsPassInfinityAndNaN() {
        for position in [0, 20, 999] {
            for (value, expected) in [(Float.infinity, Double.infinity), (.nan, .nan), (-.infinity, -.infinity)] {
                var x = values(1000)
                x[position] = value
                expectClose(output(1) { az_sum(1, 1000, 1, x, $0) }, [expected])
            }
        }
    }

    @Test("Maxima and their first places are found along any axis, NaN first", arguments: shapes)
    func maxima(_ outer: Int, _ n: Int, _ inner: Int) {
        // Few distinct numbers, so that the first of several maxima is asked for; one line in three has NaN.
        var x = values(outer * n * inner).map { ($0 * 4).rounded() }
        for i in x.indices where i % inner % 3 == 1 && (i / inner) % 5 == 3 { x[i] = .nan }
        let expected = lines(outer, n, inner, x).map { line in
            let index =
                line.firstIndex { $0.isNaN } ?? line.indices.reduce(0) { line[$1] > line[$0] ? $1 : $0 }
            return (value: line[index], index: Int32(index))
        }
        var indices = [Int32](repeating: -1, count: outer * inner)
        let y = output(outer * inner) { az_max(outer, n, inner, x, $0, &indices) }
        expectClose(y, expected.map { Double($0.value) }, "\(outer) \(n) \(inner)")
        #expect(indices == expected.map(\.index), "\(outer) \(n) \(inner)")
        expectClose(output(outer * inner) { az_max(outer, n, inner, x, $0, nil) }, expected.map { Double($0.value) })
    }

    /// A maximum, a NaN, or only −∞.
    @Test("The maximum of a row is found at every position")
    func maximumOfARowAtEveryPosition() {
        for count in [1, 15, 16, 17, 63, 64, 65, 130] {
            for position in 0..<count {
                for special in [Float(5), .nan, .infinity] {
                    var x = values(count)
                    x[position] = special
                    var index: Int32 = -1
                    let y = output(1) { az_max(1, count, 1, x, $0, &index) }
                    expectClose(y, [Double(special)])
                    #expect(index == position)
                }
            }
            var index: Int32 = -1
            let lowest = [Float](repeating: -.infinity, count: count)
            expectClose(output(1) { az_max(1, count, 1, lowest, $0, &index) }, [-.infinity])
            #expect(index == 0)
        }
    }

    @Test("Cumulative sums agree with float64, either way and in place", arguments: shapes)
    func cumulativeSums(_ outer: Int, _ n: Int, _ inner: Int) {
        let x = values(outer * n * inner)
        let lines = lines(outer, n, inner, x)
        for reverse in [false, true] {
            let y = output(x.count) { az_cumulative_sum(outer, n, inner, reverse ? 1 : 0, x, $0) }
            let inPlace = output(x.count, initially: x) {
                az_cumulative_sum(outer, n, inner, reverse ? 1 : 0, $0, $0)
            }
            expectSame(inPlace, y, "in place")
            for (line, sums) in zip(lines, self.lines(outer, n, inner, y)) {
                var total = 0.0
                let ordered = (reverse ? line.reversed() : line).map { value in
                    total += Double(value)
                    return total
                }
                // Added in float64, rounded once.
                expectClose(sums, reverse ? ordered.reversed() : ordered, relative: 6e-8, absolute: 1e-12)
            }
        }
    }
}
