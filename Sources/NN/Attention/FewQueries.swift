import CKernels
import Tensors

// Attention of the few queries of a token that share keys and values, for decoding: the heads of multi-query attention.
//
// h queries, d columns of queries and keys, e columns of values

/// Keys in the order in which few queries read them, to which tokens are appended: [blocks, d, 16].
public struct KeyBlocks: Sendable {
    private var memory: Tensor
    /// d
    public let width: Int
    /// The number of keys.
    public private(set) var count = 0

    private static let block = Int(AZ_KEY_BLOCK)

    /// Creates an empty list of keys of a width, with room for some.
    public init(width d: Int, capacity: Int = 0) {
        width = d
        memory = .zeros([(capacity + Self.block - 1) / Self.block, d, Self.block])
    }

    /// Makes blocks of rows, [n, d].
    public init(_ rows: Tensor, capacity: Int = 0) {
        self.init(width: rows.shape[1], capacity: max(capacity, rows.shape[0]))
        let dense = rows.contiguous()
        for row in 0..<rows.shape[0] { append(dense.pointer + row * width) }
    }

    /// Memory held, in bytes.
    public var heldBytes: Int { memory.heldBytes }

    /// Appends a key, [d].
    public mutating func append(_ key: UnsafePointer<Float>) {
        if count == memory.shape[0] * Self.block {
            memory = memory.padded(axis: 0, after: max(1, memory.shape[0]))
        }
        memory.ensureUnique()
        let target = memory.mutablePointer + count / Self.block * width * Self.block + count % Self.block
        for column in 0..<width { target[column * Self.block] = key[column] }
        count += 1
    }

    /// The first block; valid while the keys are alive and nothing is appended.
    fileprivate var pointer: UnsafePointer<Float> { memory.pointer }
}

/// Queries that see the same keys. Pointers are valid as long as the tensors behind them.
public struct FewQueries {
    fileprivate let queries: UnsafePointer<Float>, keys: UnsafePointer<Float>, values: UnsafePointer<Float>
    fileprivate let valueStride: Int
    fileprivate let bias: UnsafePointer<Float>?
    fileprivate let biasStride: Int
    fileprivate let seen: Range<Int>
    fileprivate let scale: Float
    fileprivate let output: UnsafeMutablePointer<Float>

    /// - Parameters:
    ///   - queries: [h, d].
    ///   - reach: the number of keys, the last ones, that are seen; nil for all.
    ///   - bias: of the first query and key, [h, keys] with `biasStride` floats from a query's to the next; nil for none.
    ///   - values: of the first key; `valueStride` floats from one to the next.
    ///   - output: softmax(scale · q kᵀ + bias) v, [h, e].
    public init(
        _ queries: UnsafePointer<Float>, _ keys: KeyBlocks, reach: Int? = nil, bias: UnsafePointer<Float>? = nil,
        biasStride: Int = 0, values: UnsafePointer<Float>, valueStride: Int, scale: Float,
        output: UnsafeMutablePointer<Float>
    ) {
        require(keys.count > 0, "FewQueries: no keys")
        (self.queries, self.keys, self.values, self.valueStride) = (queries, keys.pointer, values, valueStride)
        (self.bias, self.biasStride) = (bias, biasStride)
        seen = max(0, keys.count - (reach ?? keys.count))..<keys.count
        (self.scale, self.output) = (scale, output)
    }

    /// Keys that a thread takes at a time.
    private static let part = 128
    /// Multiply-adds that are not worth handing to another thread.
    private static let smallest = 1 << 16

    /// Computes the outputs of several: threads share the keys of all.
    public static func attend(_ all: [FewQueries], h: Int, d: Int, e: Int) {
        let parts = all.indices.flatMap { index in
            stride(from: all[index].seen.lowerBound / part * part, to: all[index].seen.upperBound, by: part).map {
                (index: index, keys: all[index].seen.clamped(to: $0..<$0 + part), origin: $0)
            }
        }
        let keys = all.reduce(0) { $0 + $1.seen.count }
        let (results, scores) = (parts.count * h, min(h, 8) * part)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: results * (e + 2) + parts.count * scores) { memory in
            guard let maxima = memory.baseAddress else { return }
            let sums = maxima + results
            let outputs = sums + results
            let scratch = outputs + results * e
            func run(_ number: Int) {
                let (index, seen, origin) = parts[number]
                let one = all[index]
                az_few_queries(
                    h, d, e, one.scale, one.queries, one.keys + origin * d, seen.lowerBound - origin,
                    seen.upperBound - origin, one.bias.map { $0 + origin }, one.biasStride,
                    one.values + origin * one.valueStride, one.valueStride,
                    scratch + number * scores, maxima + number * h, sums + number * h, outputs + number * h * e)
            }
            if keys * h * (d + e) < smallest {
                for number in parts.indices { run(number) }
            } else {
                parallelFor(parts.count, run)
            }
            var first = 0
            for (index, one) in all.enumerated() {
                let count = parts[first...].prefix { $0.index == index }.count
                az_merge_few_queries(
                    count, h, e, maxima + first * h, sums + first * h, outputs + first * h * e, one.output)
                first += count
            }
        }
    }
}
