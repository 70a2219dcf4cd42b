import AttentionZooTestSupport
import NN
import Tensors

/// The inputs of a case, in the layout [b, h, n, d].
struct CaseInputs {
    let test: WindowAttentionTests.Case
    /// q, k, v and a bias, if any.
    let leaves: [Tensor]
    private let options: WindowAttentionOptions
    private var pattern: WindowPattern { test.pattern }

    init(_ test: WindowAttentionTests.Case) {
        self.test = test
        func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }
        let (b, h, n, w) = (test.b, test.h, test.n, test.pattern.window)
        var leaves = [
            random([b, h, n, test.d], 1), random([b, h, n, test.d], 2), random([b, h, n, test.dv], 3),
        ]
        if test.bias == "place" { leaves.append(random([h, w, w * test.pattern.windows], 4)) }
        if test.bias == "distance" { leaves.append(random([h, 2 * Self.reach(test.pattern) + 1], 4)) }
        self.leaves = leaves
        var options = WindowAttentionOptions(test.pattern, scale: 0.6)
        // A third of the keys is masked, and every key of the second row's first two windows: some queries see nothing.
        if test.masked { options.mask = (random([b, n], 5) .> -0.5) * Self.gap(b, n, 2 * w) }
        if test.factors {
            options.windowFactors = .uniform(
                [test.pattern.windows, test.d], low: 0.5, high: 1.5, key: RandomKey(seed: 6))
        }
        options.attendsSelfLast = test.selfLast
        if test.drops { (options.dropout, options.key) = (0.25, RandomKey(seed: 7)) }
        self.options = options
    }

    /// 0 for the first tokens of every row but the first, else 1: [b, n].
    private static func gap(_ b: Int, _ n: Int, _ length: Int) -> Tensor {
        Tensor((0..<b * n).map { $0 >= n && $0 % n < length ? 0 : 1 }, shape: [b, n])
    }

    private static func reach(_ pattern: WindowPattern) -> Int {
        (max(pattern.lookBackward, pattern.lookForward) + 1) * pattern.window
    }

    func options(bias: Tensor?) -> WindowAttentionOptions {
        var options = options
        if let bias {
            options.bias = test.bias == "place" ? .byPlace(bias) : .byDistance(bias, origin: Self.reach(pattern))
        }
        return options
    }

    /// The largest sum of scores' magnitudes [b, h, n, n] that share an element of the bias.
    func largestOfBias(_ scores: Tensor) -> Double {
        let (values, n, width) = (scores.values, test.n, leaves[3].count / test.h)
        var sums = [Double](repeating: 0, count: test.h * width)
        for (place, value) in values.enumerated() where value != 0 {
            let (head, i, j) = (place / (n * n) % test.h, place / n % n, place % n)
            // A query that sees nothing takes of places that no bias belongs to.
            if let element = placeOfBias(i, j) { sums[head * width + element] += Double(value) }
        }
        return sums.max() ?? 0
    }

    /// The element of a head's bias that belongs to a query and a key of its windows.
    private func placeOfBias(_ i: Int, _ j: Int) -> Int? {
        if test.bias == "distance" { return Self.reach(pattern) + j - i }
        let (w, c) = (pattern.window, pattern.window * pattern.windows)
        let place = j - (i / w - pattern.lookBackward) * w
        return (0..<c).contains(place) ? i % w * c + place : nil
    }
}
