import Foundation
import Tensors
import Testing

extension ProjectedCrossEntropyTests {
    // MARK: Numbers

    /// Integers up to 2²⁴, so that the products are exact and what is compared is the softmax alone.
    @Test("Logits of 10,000 classes agree with float64") func extremeLogits() {
        let (x, classes) = (Tensor([1, 0, 0, 1, 1, 1, -1, 2], shape: [4, 2]).requiringGradient(), 5)
        let entries: [Float] = [10_000, -10_000, -10_000, 10_000, 9_999, 3, 0, 0, 5_000, -4_999]
        let weight = Tensor(entries, shape: [classes, 2]).requiringGradient()
        let targets: [Int32] = [0, 0, 4, 3]
        let loss = crossEntropy(x, projection: Projection(weight: weight), targets: TokenTensor(targets))
        var (total, dz) = (0.0, [[Double]]())
        for row in 0..<4 {
            let z = (0..<classes).map { c in
                (0..<2).reduce(0.0) { $0 + x.element([row, $1]) * weight.element([c, $1]) }
            }
            let sum = z.reduce(0.0) { $0 + Foundation.exp($1 - z.max()!) }
            total += z.max()! + Foundation.log(sum) - z[Int(targets[row])]
            dz.append(
                z.enumerated().map { (Foundation.exp($1 - z.max()!) / sum - ($0 == Int(targets[row]) ? 1 : 0)) / 4 })
        }
        expectClose(loss, [total / 4], tolerance: 1e-6)
        let all = gradients(of: loss)
        let dx = expected([4, 2]) { at in
            (0..<classes).reduce(0.0) { $0 + dz[at[0]][$1] * weight.element([$1, at[1]]) }
        }
        let dw = expected([classes, 2]) { at in (0..<4).reduce(0.0) { $0 + dz[$1][at[0]] * x.element([$1, at[1]]) } }
        // Where terms of thousands cancel, dz rounded to float32 shows: a few 2⁻²⁴ of their magnitudes.
        for (place, at) in indices([4, 2]).enumerated() {
            let sum = (0..<classes).reduce(0.0) { $0 + abs(dz[at[0]][$1] * weight.element([$1, at[1]])) }
            #expect(abs(Double(all[x]!.values[place]) - dx[place]) <= 8 * 0x1p-24 * sum)
        }
        expectClose(all[weight]!, dw, tolerance: 1e-6)
    }

    @Test("Each row has its loss and its likeliest class", arguments: Kind.allCases) func rowByRow(_ kind: Kind) {
        for (rows, classes) in [([2, 3], 4), ([150], 257)] {
            let one = Case(kind, rows, 7, classes, bias: true, ignoring: 1)
            let (losses, likeliest) = classLosses(
                one.leaves[0], norm: kind.norm(Array(one.leaves[1..<1 + one.count])),
                projection: one.projection(one.leaves), targets: one.targets, ignoreIndex: -1)
            let logits = one.logits(one.leaves)
            let (plain, plainLikeliest) = classLosses(logits, one.targets, ignoreIndex: -1)
            #expect(likeliest == logits.argmax() && plainLikeliest == likeliest)
            #expect(!losses.requiresGradient)
            let probabilities = logSoftmax(logits)
            let expected = one.targets.values.enumerated().map { row, target in
                target == -1 ? 0 : -Double(probabilities.values[row * classes + Int(target)])
            }
            expectClose(losses, expected, shape: rows, tolerance: 3e-6)
            expectClose(plain, expected, shape: rows, tolerance: 3e-6)
            // What counts is what the mean is of.
            let counted = one.targets.values.count { $0 != -1 }
            let mean = losses.values.reduce(0) { $0 + Double($1) } / Double(counted)
            expectClose(one.fused(one.leaves), [mean], tolerance: 1e-6)
        }
    }

    // MARK: Memory

    /// In a process of its own: the memory of tensors is everybody's.
    @Test("Nothing of the size of the logits is stored") func memory() async {
        await #expect(processExitsWith: .success) {
            let (d, classes, megabyte) = (16, 20_000, 1 << 20)
            let weight = sample([classes, d], seed: 2).requiringGradient()
            for rows in [2048, 8192] {
                let x = sample([rows, d]).requiringGradient()
                let targets = TokenTensor((0..<Int32(rows)).map { $0 % Int32(classes) })
                func peak(_ body: () -> Void) -> Int {
                    let before = MemoryPool.shared.statistics.current
                    MemoryPool.shared.resetPeak()
                    body()
                    return MemoryPool.shared.statistics.peak - before
                }
                func loss() -> Tensor { crossEntropy(x, projection: Projection(weight: weight), targets: targets) }
                // A panel of 67 MB, the gradient of the weight, 1.2 MB, and that of x; logits are 164 and 655 MB.
                let limit = 68 * megabyte + 8 * rows * d
                let training = peak { _ = gradients(of: loss()) }
                require(training <= limit, "\(rows) rows: \(training) bytes with gradients")
                let evaluation = peak { _ = withoutGradients(loss) }
                require(evaluation <= limit, "\(rows) rows: \(evaluation) bytes without gradients")
                let each = peak {
                    _ = classLosses(x, projection: Projection(weight: weight), targets: targets)
                }
                require(each <= limit, "\(rows) rows: \(each) bytes for the loss of each")
            }
        }
    }
}
