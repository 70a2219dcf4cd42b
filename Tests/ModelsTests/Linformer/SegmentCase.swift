import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

/// Sizes and options of attention by segments.
struct SegmentCase: CustomTestStringConvertible, Sendable {
    var b = 1, n = 40, h = 2, d = 3, e = 3
    var window = 5, length = 4, slots = 2
    var reach = SegmentReach.beforeWindow
    var most: Int?
    var hasWindowBias = false, hasSlotBias = false, hasSlotQueries = false, sharesBiases = false
    /// The entries of the slots' bias.
    var distances = 3
    var isMasked = false
    var dropout: Float = 0
    /// Tokens before the first key, keys before the first query, segments before the first given.
    var skippedKeys = 0, earlierKeys = 0, skippedSegments = 0
    var seed: UInt64 = 1

    init(n: Int = 40) { self.n = n }

    var testDescription: String {
        "\(seed): [\(b), \(n), \(h), \(d) and \(e)] window \(window) segments \(length) slots \(slots) \(reach) "
            + "at most \(most.map(String.init) ?? "all"), biases \(hasWindowBias) \(hasSlotBias), slot queries "
            + "\(hasSlotQueries), masked \(isMasked), dropout \(dropout), keys \(skippedKeys) + \(earlierKeys), "
            + "segments \(skippedSegments)"
    }

    static let scale: Float = 0.6

    /// Keys.
    var m: Int { n + earlierKeys }
    /// Segments given: one is not finished where the last token does not end one.
    var segments: Int { max(0, (skippedKeys + m + length - 1) / length - skippedSegments) }

    /// Draws everything.
    init(drawn seed: UInt64) {
        let draws = RandomKey(seed: seed).integers(20)
        func one<Value>(_ index: Int, of values: [Value]) -> Value { values[Int(draws[index] % UInt64(values.count))] }
        self.seed = seed
        (b, h) = (one(0, of: [1, 2, 3]), one(1, of: [1, 2, 3]))
        n = one(2, of: [1, 2, 7, 16, 33, 63, 64, 65, 70, 128, 131, 200])
        (d, e) = (one(3, of: [1, 3, 4, 8]), one(4, of: [2, 3, 5]))
        window = one(5, of: [1, 2, 3, 8, 16, 17, 64, 100, 300])
        length = one(6, of: [1, 2, 3, 4, 5, 16, 33])
        slots = one(7, of: [1, 1, 2, 3, 4])
        reach = one(8, of: SegmentReach.allCases)
        most = one(9, of: [nil, 1, 2, 5, 30])
        hasWindowBias = one(10, of: [true, false])
        hasSlotBias = one(11, of: [true, false])
        (hasSlotQueries, sharesBiases) = (one(12, of: [true, false]), one(13, of: [true, false]))
        distances = one(14, of: [1, 3, 40])
        isMasked = one(15, of: [true, false, false])
        dropout = one(16, of: [0, 0, 0.3])
        let isContinued = one(17, of: [true, false, false])
        if isContinued {
            (skippedKeys, earlierKeys) = (one(18, of: [0, 1, 9, 50]), one(19, of: [0, 1, 16, 70]))
            skippedSegments = one(18, of: [0, 1, 2])
        }
    }

    /// Names of all inputs, in order.
    var names: [String] {
        ["q", "k", "v", "slotKeys", "slotValues"] + (hasSlotQueries ? ["slotQueries"] : [])
            + (hasWindowBias ? ["windowBias"] : []) + (hasSlotBias ? ["slotBias"] : [])
    }

    func inputs() -> [Tensor] {
        func random(_ shape: [Int], _ index: Int) -> Tensor {
            .normal(shape, key: RandomKey(seed: seed).child(index))
        }
        let (rows, heads) = (segments * slots, sharesBiases ? 1 : h)
        return [
            random([b, n, h, d], 1), random([b, m, h, d], 2), random([b, m, h, e], 3), random([b, rows, h, d], 4),
            random([b, rows, h, e], 5),
        ] + (hasSlotQueries ? [random([b, n, h, d], 6)] : []) + (hasWindowBias ? [random([heads, window], 7)] : [])
            + (hasSlotBias ? [random([heads, distances], 8)] : [])
    }

    func options(_ inputs: [Tensor] = []) -> SegmentAttentionOptions {
        var options = SegmentAttentionOptions(
            window: window, segmentLength: length, slots: slots, scale: Self.scale)
        (options.reach, options.maxSegments) = (reach, most)
        (options.firstKey, options.firstSegment) = (skippedKeys, skippedSegments)
        (options.dropout, options.key) = (dropout, dropout > 0 ? RandomKey(seed: 77) : nil)
        for (name, input) in zip(names, inputs) {
            if name == "windowBias" { options.windowBias = input }
            if name == "slotBias" { options.slotBias = input }
        }
        if isMasked {
            // Whole stretches, so that some queries see nothing.
            options.mask = stretches(m, key: 9)
            options.slotMask = stretches(segments, key: 10)
        }
        return options
    }

    /// 0 in stretches of several, else 1: [b, count].
    private func stretches(_ count: Int, key: Int) -> Tensor {
        let draws = Tensor.uniform([b, count / 3 + 1], key: RandomKey(seed: seed).child(key)) .> 0.4
        return draws.unsqueezed(2).expanded(to: [b, count / 3 + 1, 3]).reshaped([b, (count / 3 + 1) * 3])
            .sliced(1, to: count)
    }

    /// The operation on these inputs.
    func attend(_ x: [Tensor], implementation: Implementation = .fused) -> Tensor {
        segmentAttention(
            x[0], x[1], x[2], slotQueries: hasSlotQueries ? x[5] : nil, slotKeys: x[3], slotValues: x[4],
            options: options(x), implementation: implementation)
    }

    /// A score's sum runs over d columns, an output's over keys and slots.
    var lengths: SumLengths {
        let seen = min(window, m) + segments * slots
        return SumLengths(path: d + e + seen, rows: b * n, widest: max(seen, max(d, e)))
    }

    func expectValues(
        _ got: Tensor, _ expected: Tensor, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(got.shape == expected.shape, "\(what)", sourceLocation: sourceLocation)
        expectClose(
            got.values, expected.values.map(Double.init), within: lengths.tolerance(largest: largest(expected.values)),
            what, sourceLocation: sourceLocation)
    }
}
