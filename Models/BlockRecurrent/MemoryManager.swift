import NN
import Tensors

// Which keys and values a layer keeps when a block is complete: those of the block (Transformer-XL, 1901.02860), and where
// that is wanted, of half a block's width more, compressed ones of the blocks before (Compressive Transformers, 1911.05507).
//
// b batch, n tokens, d columns of a head, f compression factor

/// Makes f neighbouring tokens one, keys and values by themselves: a convolution of width and stride f in two groups. Keys:
/// 1.weight [2 d, d, f], 1.bias [2 d].
public struct MemoryCompression: Module {
    public let weight: Parameter
    public let bias: Parameter
    let factor: Int

    init(_ d: Int, factor: Int, key: RandomKey) {
        let bound = 1 / Float(d * factor).squareRoot()
        weight = Parameter(.uniform([2 * d, d, factor], low: -bound, high: bound, key: key.child(0)))
        bias = Parameter(.uniform([2 * d], low: -bound, high: bound, key: key.child(1)))
        self.factor = factor
    }

    /// x: [b, n, 2 d], keys beside values → [b, ⌊n / f⌋, 2 d]. What is left over when n is divided by f is dropped at the
    /// beginning.
    func callAsFunction(_ x: Tensor) -> Tensor {
        let (b, d) = (x.shape[0], x.shape[2] / 2)
        let count = x.shape[1] / factor
        let taken = x.sliced(1, from: x.shape[1] - count * factor).reshaped([b, count, factor, 2 * d])
        let parts = (0..<2).map { part in
            let rows = taken.sliced(3, from: part * d, to: (part + 1) * d).reshaped([b, count, factor * d])
            // [d, d, f] → [d, f · d]: a row has the columns of one token after another.
            let own = weight.value.sliced(0, from: part * d, to: (part + 1) * d).permuted([0, 2, 1])
            return linear(
                rows, weight: own.reshaped([d, factor * d]),
                bias: bias.value.sliced(0, from: part * d, to: (part + 1) * d))
        }
        return concatenate(parts, axis: 2)
    }

    public func collect(into state: inout StateCollector) {
        state.add("1.weight", weight)
        state.add("1.bias", bias)
    }
}

/// What each layer remembers of the blocks before. Keys: layers.i.1.* where memories are compressed.
public struct MemoryManager: Module {
    /// One a layer; none where nothing is compressed.
    public let compressions: [MemoryCompression]
    private let width: Int, compressedLength: Int

    init(_ configuration: BlockRecurrentConfiguration, key: RandomKey) {
        width = configuration.blockWidth
        compressedLength = configuration.compressedLength
        let factor = configuration.compressedMemoryFactor
        let compresses = configuration.compressesMemory && factor > 1
        compressions = (0..<(compresses ? configuration.depth : 0)).map {
            MemoryCompression(configuration.headDimension, factor: factor, key: key.child($0))
        }
    }

    /// What a layer remembers once a block is complete.
    /// - Parameters:
    ///   - before: what it remembered during the block, [b, n, 2 d].
    ///   - block: the block's, [b, w, 2 d].
    func memory(_ layer: Int, after block: Tensor, _ before: Tensor?) -> Tensor {
        guard compressedLength > 0, let before else { return block }
        let kept = max(0, before.shape[1] - width)
        let leaving = before.sliced(1, from: kept)
        let new = compressions.isEmpty ? leaving : compressions[layer](leaving)
        let compressed = concatenate([before.sliced(1, to: kept), new], axis: 1)
        let surplus = max(0, compressed.shape[1] - compressedLength)
        return concatenate([compressed.sliced(1, from: surplus), block], axis: 1)
    }

    public func collect(into state: inout StateCollector) {
        for (index, compression) in compressions.enumerated() { state.add("layers.\(index).1", compression) }
    }
}
