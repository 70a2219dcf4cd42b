import Tensors

// d columns of a head

/// Keys and values of a layer in one place, to which tokens are appended.
struct DecodingLayer: Sendable {
    /// Without positions, keys beside values: [capacity, 2 d].
    var keysAndValues: Tensor
    /// With positions, as scores are taken of them: [capacity, d].
    var keys: Tensor
    /// Tokens before the block, and all.
    var before: Int, count: Int
}

extension DecodingLayer {
    /// What stands where a layer's memory was taken from.
    static var empty: DecodingLayer { DecodingLayer(d: 0, before: 0) }

    init(d: Int, before: Int) {
        (keysAndValues, keys) = (.zeros([0, 2 * d]), .zeros([0, d]))
        (self.before, count) = (before, 0)
    }

    mutating func reserve(_ capacity: Int) {
        keysAndValues = keysAndValues.padded(axis: 0, after: capacity - keysAndValues.shape[0])
        keys = keys.padded(axis: 0, after: capacity - keys.shape[0])
    }

    /// rows: [n, 2 d], keys: [1, n, d]
    mutating func append(_ rows: Tensor, _ keys: Tensor) {
        keysAndValues.write(rows, at: count)
        self.keys.write(keys.squeezed(0), at: count)
        count += rows.shape[0]
    }

    /// Of all tokens so far, as a batch of one.
    var seen: (keysAndValues: Tensor, keys: Tensor) {
        (keysAndValues.sliced(0, to: count).unsqueezed(0), keys.sliced(0, to: count).unsqueezed(0))
    }
}

extension Tensor {
    /// Overwrites rows of [capacity, columns] in place.
    fileprivate mutating func write(_ rows: Tensor, at first: Int) {
        ensureUnique()
        let source = rows.contiguous()
        (mutablePointer + first * shape[1]).update(from: source.pointer, count: source.count)
    }
}
