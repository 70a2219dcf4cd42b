import CKernels
import Tensors

/// The keys and values of one sequence that its next tokens can see in causal sliding-window attention: a ring of whole
/// windows, 1 + look_backward of them, in which each new window takes the place of the oldest. Until so many tokens have been
/// read its memory grows with them, by doubling. A value: a copy is a branch of the text.
public struct KeyValueRing: Sendable {
    /// Tokens appended so far.
    public private(set) var position = 0
    /// [h, rows, d] and the same of e columns; (1 + look_backward) · W rows in the end.
    private var keys: Tensor, values: Tensor
    private let pattern: WindowPattern

    /// - Parameters:
    ///   - d, e: the columns of keys and of values.
    public init(_ pattern: WindowPattern, heads h: Int, _ d: Int, _ e: Int) {
        require(pattern.isCausal, "KeyValueRing: only causal attention can be run token by token")
        self.pattern = pattern
        keys = Tensor(uninitialized: [h, 0, d])
        values = Tensor(uninitialized: [h, 0, e])
    }

    /// Makes room for more tokens.
    private mutating func reserve(_ count: Int) {
        let (all, rows) = (pattern.windows * pattern.window, keys.shape[1])
        if rows >= min(all, position + count) { return }
        let more = min(all, max(position + count, 2 * rows))
        keys = keys.padded(axis: 1, after: more - rows)
        values = values.padded(axis: 1, after: more - rows)
    }

    /// A ring that holds nothing, to stand where another was taken from.
    private init(placeholder pattern: WindowPattern) {
        self.pattern = pattern
        (keys, values) = (.zeros([0]), .zeros([0]))
    }

    /// Moves the ring out, so that it has one owner and may be written in place.
    public mutating func taken() -> KeyValueRing {
        let ring = self
        self = KeyValueRing(placeholder: pattern)
        return ring
    }

    /// Memory held.
    public var bytes: Int { keys.heldBytes + values.heldBytes }

    /// Appends the tokens of several sequences, each to its ring, and attends.
    ///
    /// - Parameters:
    ///   - q, k: [rows, h, d]; v: [rows, h, e]; the rows of sequence i in spans[i]. Scores are taken of them as they are.
    ///   - options: without mask and dropout.
    /// - Returns: [rows, h, e], as `windowAttention` gives it for these tokens of the whole sequences.
    public static func attend(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, spans: [Range<Int>], rings: inout [KeyValueRing],
        options: WindowAttentionOptions
    ) -> Tensor {
        require(
            q.rank == 3 && q.shape == k.shape && v.rank == 3 && v.shape.prefix(2) == k.shape.prefix(2)
                && spans.count == rings.count,
            "KeyValueRing.attend: q \(q.shape), k \(k.shape), v \(v.shape), \(spans.count) spans, \(rings.count) rings")
        let (h, d, e) = (q.shape[1], q.shape[2], v.shape[2])
        let parts = [q, k, v].map { HeadRows($0.unsqueezed(0), headsFirst: false) }
        let output = Tensor(uninitialized: [1] + v.shape)
        let target = HeadRows(output, headsFirst: false)
        let rules = options.checked(h, .max, d)
        let writers = spans.indices.map { index in
            rings[index].reserve(spans[index].count)
            rings[index].keys.ensureUnique()
            rings[index].values.ensureUnique()
            return RingWriter(
                parts, output: target, span: spans[index], first: rings[index].position, rules, d: d, e: e, h: h,
                length: rings[index].keys.shape[1], keys: rings[index].keys.mutablePointer,
                values: rings[index].values.mutablePointer)
        }
        func run(_ index: Int) { writers[index / h].run(head: index % h) }
        let work = zip(spans, rings).reduce(0) {
            $0 + $1.0.count * min($1.1.position + $1.0.count, options.pattern.windows * options.pattern.window)
                * (d + e) * h
        }
        if work < smallest {
            for index in 0..<spans.count * h { run(index) }
        } else {
            parallelFor(spans.count * h, run)
        }
        for index in spans.indices { rings[index].position += spans[index].count }
        return output.squeezed(0)
    }

    /// Multiply-adds that are not worth waking another thread for.
    private static let smallest = 1 << 17
}

/// Appends rows of one sequence to its ring, and attends, head by head.
private struct RingWriter: @unchecked Sendable {
    let q: HeadRows, k: HeadRows, v: HeadRows, output: HeadRows
    let span: Range<Int>
    /// The position of the first row.
    let first: Int
    let options: WindowAttentionOptions
    let d: Int, e: Int, h: Int
    /// Rows of the ring: all, or more than have been read.
    let length: Int
    let keys: UnsafeMutablePointer<Float>, values: UnsafeMutablePointer<Float>
    private var pattern: WindowPattern { options.pattern }

    init(
        _ parts: [HeadRows], output: HeadRows, span: Range<Int>, first: Int, _ options: WindowAttentionOptions,
        d: Int, e: Int, h: Int, length: Int, keys: UnsafeMutablePointer<Float>,
        values: UnsafeMutablePointer<Float>
    ) {
        (q, k, v) = (parts[0], parts[1], parts[2])
        (self.output, self.span, self.first, self.options) = (output, span, first, options)
        (self.d, self.e, self.h, self.length) = (d, e, h, length)
        (self.keys, self.values) = (keys, values)
    }

    func run(head: Int) {
        let end = first + span.count
        let tile = AttentionTile(options, tokens: end, sequences: h, d, e)
        var start = first
        // A window at a time: what it overwrites none of its own tokens sees.
        while start < end {
            let piece = start..<min(end, (start / pattern.window + 1) * pattern.window)
            let row = span.lowerBound + start - first
            write(k.row(0, head, row), stride: k.stride, width: d, piece, to: keys + head * length * d)
            write(v.row(0, head, row), stride: v.stride, width: e, piece, to: values + head * length * e)
            AttentionTile.forEachTile(piece, options) { tokens in
                let row = span.lowerBound + tokens.lowerBound - first
                let queries = QueryRows(
                    pointer: q.row(0, head, row), stride: q.stride, tokens: tokens, sequence: head)
                tile.attend(
                    queries, segments(tokens, head), into: output.target(0, head, row), stride: output.stride,
                    logSums: nil)
            }
            start = piece.upperBound
        }
    }

    private func write(
        _ rows: UnsafePointer<Float>, stride: Int, width: Int, _ tokens: Range<Int>,
        to ring: UnsafeMutablePointer<Float>
    ) {
        az_copy_2d(tokens.count, width, rows, stride, 1, ring + tokens.lowerBound % length * width, width, 1)
    }

    /// The keys that tokens of one window see, cut where the ring ends and, where windows have factors of their own, at
    /// windows (which the tile does).
    private func segments(_ tokens: Range<Int>, _ head: Int) -> [KeySegment] {
        var segments: [KeySegment] = []
        let all = pattern.keys(tokens, of: tokens.upperBound)
        var start = all.lowerBound
        while start < all.upperBound {
            let place = start % length
            let end = min(all.upperBound, start + length - place)
            segments.append(
                KeySegment(
                    keys: keys + (head * length + place) * d, values: values + (head * length + place) * e,
                    keyStride: d,
                    valueStride: e, tokens: start..<end))
            start = end
        }
        return segments
    }
}
