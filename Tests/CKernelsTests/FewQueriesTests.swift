import CKernels
import Foundation
import Testing

@Suite("Kernels of few queries") struct FewQueriesKernelTests {
    private static let block = Int(AZ_KEY_BLOCK)

    /// Keys in blocks, NaN behind the last one.
    private func blocks(_ keys: [Float], _ d: Int) -> [Float] {
        let count = keys.count / d
        var blocks = [Float](repeating: .nan, count: (count + Self.block - 1) / Self.block * Self.block * d)
        for key in 0..<count {
            for column in 0..<d {
                blocks[(key / Self.block * d + column) * Self.block + key % Self.block] = keys[key * d + column]
            }
        }
        return blocks
    }

    @Test(
        "Part by part they give the attention over all", arguments: [1, 2, 3, 7, 8, 13],
        [(1, true), (5, false), (16, true), (40, false)])
    func partByPart(_ h: Int, _ columns: (count: Int, isBiased: Bool)) {
        let e = columns.count
        let (d, count, scale, stride) = (6, 75, Float(0.8), e + 2)
        let (q, keys) = (values(h * d), values(count * d, seed: 2))
        let rows = values(count * e, seed: 3)
        let v = (0..<count).flatMap { rows[$0 * e..<($0 + 1) * e] + [.nan, .nan] }
        let laid = blocks(keys, d)
        // Rows of a bias that are longer than there are keys.
        let bias = columns.isBiased ? values(h * (count + 4), seed: 4) : nil
        // The first two parts share a block; from the third key on.
        let parts = [(0, 3, 10), (0, 10, 33), (32, 1, 43)]
        var (maxima, sums, outputs) = ([Float](), [Float](), [Float]())
        for (origin, first, last) in parts {
            var scores = [Float](repeating: .nan, count: 8 * (last + Self.block - 1) / Self.block * Self.block + 8 * 16)
            var sum = [Float](repeating: .nan, count: h)
            var maximum = sum
            outputs += output(h * e) { y in
                let own = bias.map { Array($0.dropFirst(origin)) }
                laid.withUnsafeBufferPointer { laid in
                    v.withUnsafeBufferPointer { v in
                        az_few_queries(
                            h, d, e, scale, q, laid.baseAddress! + origin * d, first, last, own, count + 4,
                            v.baseAddress! + origin * stride, stride, &scores, &maximum, &sum, y)
                    }
                }
            }
            maxima += maximum
            sums += sum
        }
        let y = output(h * e) { az_merge_few_queries(parts.count, h, e, maxima, sums, outputs, $0) }
        var expected = [Double](repeating: 0, count: h * e)
        for i in 0..<h {
            let weights = (3..<count).map { key in
                exp(
                    Double(bias?[i * (count + 4) + key] ?? 0) + Double(scale)
                        * (0..<d).reduce(0.0) { $0 + Double(q[i * d + $1]) * Double(keys[key * d + $1]) })
            }
            let total = weights.reduce(0, +)
            for j in 0..<e {
                expected[i * e + j] =
                    zip(3..<count, weights).reduce(0) { $0 + $1.1 * Double(rows[$1.0 * e + j]) } / total
            }
        }
        // A score of up to 20 is rounded by 1e-6, and so is its exponential; means of numbers up to 2.
        expectClose(y, expected, relative: 0, absolute: 1e-5, "\(h) queries of \(e) columns")
    }

    @Test("A part of scores that are all −∞ counts for nothing") func vanishingPart() {
        let maxima: [Float] = [-.infinity, 0.5, 1, -.infinity]
        let sums: [Float] = [0, 2, 4, 0]
        let parts: [Float] = [0, 0, 3, 5, 8, 4, 0, 0]
        let y = output(4) { az_merge_few_queries(2, 2, 2, maxima, sums, parts, $0) }
        expectClose(y, [2, 1, 1.5, 2.5], relative: 1e-6, absolute: 0, "two parts of two queries")
    }
}
