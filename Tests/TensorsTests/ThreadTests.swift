import Dispatch
import Tensors
import Testing

/// A computation with every kind of operation: loss and gradients.
private func everything() -> [[Float]] {
    let key = RandomKey(seed: 5)
    let x = Tensor.normal([3, 40, 48], key: key.child(0)).requiringGradient()
    let w = Tensor.normal([96, 48], standardDeviation: 0.2, key: key.child(1)).requiringGradient()
    let table = Tensor.normal([50, 48], key: key.child(2)).requiringGradient()
    let g = Tensor.ones([48]).requiringGradient()
    let tokens = TokenTensor((0..<120).map { Int32($0 * 7 % 50) }, shape: [3, 40])
    let normalized = layerNorm(x + embedding(table, tokens), weight: g)
    let gated = dropout(gatedLinear(normalized, weight: w, gate: .silu), probability: 0.1, key: key.child(3))
    let scores = matrixProduct(gated, normalized, transposeB: true, alpha: 0.1)
    let weights = softmax(select(.lowerTriangle(40, 40), scores, -.infinity))
    let mixed = matrixProduct(weights, gated)
    let loss = crossEntropy(matrixProduct(mixed, table, transposeB: true), tokens)
    let result = gradients(of: loss)
    return [[loss.item]] + [x, w, table, g].map { result[$0]!.values }
}

/// Returns results that have the same bits for any number of threads: everything but products, whose order of sums may
/// follow the split.
private func withoutProducts() -> [[Float]] {
    let key = RandomKey(seed: 6)
    let x = Tensor.normal([301, 1001], key: key).requiringGradient()
    let (w, b) = (Tensor.uniform([1001], key: key).requiringGradient(), Tensor.zeros([1001]).requiringGradient())
    let gain = Tensor.ones([1]).requiringGradient()
    let tokens = TokenTensor((0..<301).map { Int32($0 * 3 % 1001) })
    let outputs = [
        dropout(silu(x), probability: 0.2, key: key.child(1)), layerNorm(x, weight: w, bias: b),
        rmsNorm(x * w, weight: w), scaleNorm(x + b, gain: gain), softmax(x, axis: 0), x.cumulativeSum(axis: 0),
        x.taking(tokens.reshaped([7, 43]).reshaped([301]).sliced(from: 300), axis: 1), maximum(x, w),
    ]
    let sums = [
        x.sum().reshaped([1]), x.sum(axes: [0]), x.maximum(axes: [1]), crossEntropy(x, tokens).reshaped([1]),
        x.transposed().sum(axes: [1]),
    ]
    let loss = (outputs.map { tanh($0).sum() } + sums.map { tanh($0 * 1e-3).sum() }).reduce(Tensor(0)) { $0 + $1 }
    let values = (outputs + sums).map(\.values)
    let result = gradients(of: loss)
    return values + [x, w, b, gain].map { result[$0]!.values }
}

extension TokenTensor {
    fileprivate func sliced(from limit: Int32) -> TokenTensor { TokenTensor(values.map { $0 % limit }, shape: shape) }
}

@Suite struct ThreadTests {
    @Test("Every run gives the same bits")
    func theSameBitsAgain() {
        let first = everything()
        for _ in 0..<3 { #expect(everything() == first) }
        #expect(first[0][0].isFinite && first[1].contains { $0 != 0 })
    }

    /// They split it further; nothing is shared but the pool.
    @Test("Several callers at once get the same bits")
    func severalThreadsAtOnce() async {
        let alone = everything()
        await withTaskGroup(of: [[Float]].self) { group in
            for _ in 0..<6 { group.addTask { everything() } }
            for await result in group { #expect(result == alone) }
        }
    }

    @Test("Operations without products give the same bits on any number of threads")
    func anyNumberOfThreadsGivesTheSameBits() async {
        await #expect(processExitsWith: .success) {
            Threads.count = 1
            let one = withoutProducts()
            for threads in [2, 3, 5] {
                Threads.count = threads
                for (i, (values, reference)) in zip(withoutProducts(), one).enumerated() {
                    require(values == reference, "result \(i) differs on \(threads) threads")
                }
            }
        }
    }

    @Test("The same number of threads gives the same bits")
    func theSameNumberOfThreadsGivesTheSameBits() async {
        await #expect(processExitsWith: .success) {
            Threads.count = 1
            let one = everything()
            for threads in [1, 2, 3] {
                Threads.count = threads
                let first = everything()
                require(everything() == first, "two runs on \(threads) threads differ")
                for (a, b) in zip(first, one) {
                    let size = b.reduce(0) { max($0, abs($1)) }
                    // Sums of at most 120 products in another order.
                    require(zip(a, b).allSatisfy { abs($0 - $1) <= 1e-5 * size }, "\(threads) threads differ from one")
                }
            }
        }
    }

    @Test("Parallel ranges cover everything once")
    func rangesCoverEverythingOnce() {
        for (count, grain) in [(0, 5), (1, 5), (5, 5), (6, 5), (1000, 7), (3, 1)] {
            let hits = Tensor.zeros([max(count, 1)])
            parallelRanges(count, grain: grain) { range in
                #expect(range.count <= grain && !range.isEmpty)
                for i in range { hits.mutablePointer[i] += 1 }
            }
            expectEqual(hits, count == 0 ? [0] : Array(repeating: 1, count: count))
        }
        #expect(Threads.hardwareCount >= 1)
    }
}
