import NN
import Tensors

// d columns of a head

/// Keys and values of a layer in one place, to which tokens are appended.
struct DecodingLayer: Sendable {
    /// Without positions, keys beside values: [capacity, 2 d].
    private(set) var keysAndValues: Tensor
    /// With positions, as scores are taken of them.
    private(set) var keys: KeyBlocks
    /// Tokens before the block.
    let before: Int
    /// All tokens.
    var count: Int { keys.count }
    /// The place of the next token in its block.
    var offset: Int { count - before }
}

extension DecodingLayer {
    /// - Parameters:
    ///   - rows: keys and values of the tokens so far, [n, 2 d].
    ///   - keys: with positions, [n, d].
    ///   - capacity: how many tokens there will be.
    init(_ rows: Tensor, keys: Tensor, before: Int, capacity: Int) {
        keysAndValues = rows.padded(axis: 0, after: max(0, capacity - rows.shape[0]))
        self.keys = KeyBlocks(keys, capacity: capacity)
        self.before = before
    }

    /// Appends one token. row: [2 d], key: [d], with positions.
    mutating func append(_ row: UnsafePointer<Float>, key: UnsafePointer<Float>) {
        keysAndValues.ensureUnique()
        let width = keysAndValues.shape[1]
        (keysAndValues.mutablePointer + count * width).update(from: row, count: width)
        keys.append(key)
    }
}
