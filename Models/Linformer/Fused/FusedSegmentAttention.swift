import CKernels
import NN
import Tensors

// Attention by segments as one operation, in tiles like sliding-window attention's: the keys that a few queries see are
// neighbors, and so are the slots, so each is one small product, and both share a running softmax (1805.02867). Nothing by
// query and key is stored: backward computes the weights again from each query's log-sum-exp (2205.14135).
//
// b batch, h heads, n queries, m keys, d columns of queries and keys, e columns of values, c segments, r slots of each

/// The fused form of `segmentAttention`.
func fusedSegmentAttention(_ inputs: SegmentAttentionInputs) -> Tensor { SegmentAttention(inputs).record() }

/// Attention by segments: its inputs, and the split of the work.
struct SegmentAttention: Sendable {
    let inputs: SegmentAttentionInputs
    let options: SegmentAttentionOptions
    let queries: HeadRows, slotQueries: HeadRows
    let keys: HeadRows, values: HeadRows, slotKeys: HeadRows, slotValues: HeadRows
    let biases: SegmentBiasTables
    /// [b, m] and [b, c · r]
    let keyMask: Tensor?, slotMask: Tensor?
    /// The same in forward and backward.
    let units: [Unit]

    /// Neighboring queries of one head: the work of one thread at a time.
    struct Unit: Sendable {
        let batch: Int, head: Int
        let queries: Range<Int>
    }

    /// Queries of a tile.
    static let rows = 64

    init(_ inputs: SegmentAttentionInputs) {
        let options = inputs.options
        (self.inputs, self.options) = (inputs, options)
        func rows(_ x: Tensor) -> HeadRows { HeadRows(x, headsFirst: false) }
        queries = rows(inputs.q)
        slotQueries = rows(inputs.slotQueries ?? inputs.q)
        (keys, values) = (rows(inputs.k), rows(inputs.v))
        (slotKeys, slotValues) = (rows(inputs.slotKeys), rows(inputs.slotValues))
        keyMask = options.mask?.contiguous()
        slotMask = options.slotMask.map {
            $0.unsqueezed(2).expanded(to: [inputs.b, inputs.segments, options.slots])
                .reshaped([inputs.b, inputs.slotRows]).contiguous()
        }
        biases = SegmentBiasTables(inputs)
        units = Self.makeUnits(inputs)
    }

    /// Some units for each thread: where several share a head, each has keys and slots of its own beside those that others
    /// see too, which costs memory and sums.
    private static func makeUnits(_ inputs: SegmentAttentionInputs) -> [Unit] {
        let (n, sequences) = (inputs.n, inputs.b * inputs.h)
        let wanted = sequences == 0 ? 1 : (4 * Threads.count + sequences - 1) / sequences
        let shortest = max(256, min(2 * inputs.options.window, 2048))
        let step = (max((n + wanted - 1) / wanted, shortest) + rows - 1) / rows * rows
        return (0..<sequences).flatMap { sequence in
            stride(from: 0, to: n, by: step).map {
                Unit(batch: sequence / inputs.h, head: sequence % inputs.h, queries: $0..<min($0 + step, n))
            }
        }
    }

    // MARK: What queries see

    /// Batch × heads counted through.
    func sequence(_ unit: Unit) -> Int { unit.batch * inputs.h + unit.head }

    /// The place of a query's own token among the keys.
    func ownKey(_ query: Int) -> Int { inputs.m - inputs.n + query }

    /// Counts the segments in reach of a query, from the sequence's first.
    func segmentsInReach(_ query: Int) -> Int { options.segmentsInReach(of: inputs.firstQuery + query) }

    /// The keys that a query sees; both bounds grow with the query.
    func keys(_ query: Int) -> Range<Int> {
        let own = ownKey(query)
        return max(0, own + 1 - options.window)..<own + 1
    }

    /// The slots that a query sees; both bounds grow with the query.
    func slots(_ query: Int) -> Range<Int> {
        options.slotsInReach(of: inputs.firstQuery + query, of: inputs.slotRows)
    }

    /// The keys or slots that any of several neighboring queries sees.
    func seen(_ part: SegmentPart, _ queries: Range<Int>) -> Range<Int> {
        let (first, last) = (seen(part, queries.lowerBound), seen(part, queries.upperBound - 1))
        return first.lowerBound..<last.upperBound
    }

    func seen(_ part: SegmentPart, _ query: Int) -> Range<Int> { part == .window ? keys(query) : slots(query) }

    // MARK: Forward

    func record() -> Tensor {
        let (b, n, h) = (inputs.b, inputs.n, inputs.h)
        let output = Tensor(uninitialized: [b, n, h, inputs.e])
        let rows = HeadRows(output, headsFirst: false)
        let logSums = Tensor(uninitialized: [b * h, n])
        forward(into: rows, logSums: logSums.mutablePointer)
        let listed = [inputs.q, inputs.k, inputs.v, inputs.slotKeys, inputs.slotValues]
        let others = [inputs.slotQueries, options.windowBias, options.slotBias]
        return .record("segmentAttention", output, inputs: listed + others.compactMap { $0 }) { gradient, slots in
            SegmentAttentionBackward(
                self, output: rows, logSums: logSums, gradient: HeadRows(gradient, headsFirst: false)
            ).run(SegmentGradientSlots(slots, others.map { $0 != nil }))
        }
    }

    private func forward(into output: HeadRows, logSums: UnsafeMutablePointer<Float>) {
        parallelFor(units.count) { index in
            let unit = units[index]
            let tile = SegmentTile(self, unit)
            forEachTile(unit) { queries in
                tile.attend(
                    queries, into: output.target(unit.batch, unit.head, queries.lowerBound),
                    stride: output.stride, logSums: logSums + sequence(unit) * inputs.n + queries.lowerBound)
            }
        }
    }

    /// Calls `body` with the queries of each tile.
    func forEachTile(_ unit: Unit, _ body: (Range<Int>) -> Void) {
        for start in stride(from: unit.queries.lowerBound, to: unit.queries.upperBound, by: Self.rows) {
            body(start..<min(start + Self.rows, unit.queries.upperBound))
        }
    }
}

/// The two kinds of keys a query sees.
enum SegmentPart { case window, slots }
