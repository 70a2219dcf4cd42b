import NN
import Tensors

/// Rotary positions with xpos's decay (2212.10554, base 512), counted from the beginning of the block: only distances
/// matter, so that all blocks rotate alike, however far the text goes.
struct BlockPositions: Sendable {
    private let queries: HalvesTable, keys: HalvesTable
    /// The row of a block's first token.
    private let origin: Int

    init(_ configuration: BlockRecurrentConfiguration) {
        let width = configuration.blockWidth
        let rotary = RotaryHalves(configuration.headDimension, scaleBase: 512)
        origin = width + configuration.compressedLength
        let positions = Array(0..<origin + width)
        // All in one window of xpos: powers stay within the block's reach.
        queries = rotary.table(positions, window: positions.count, decay: 1)
        keys = rotary.table(positions, window: positions.count, decay: -1)
    }

    /// x: [b, n, h, d], tokens of a block from `offset` on.
    func rotate(queries x: Tensor, offset: Int) -> Tensor {
        queries.rows(origin + offset..<origin + offset + x.shape[1]).rotate(x)
    }

    /// x: [b, n, d], of which the last is token `end` − 1 of a block, those before it as far as they go the memory's.
    func rotate(keys x: Tensor, end: Int) -> Tensor {
        let last = origin + end
        return keys.rows(last - x.shape[1]..<last).rotate(x.unsqueezed(2)).squeezed(2)
    }

    /// Token `offset` of a block alone: the queries of h heads, [h, d], and its key, [d], in place.
    func rotate(
        _ offset: Int, queries: UnsafeMutablePointer<Float>, _ h: Int, key: UnsafeMutablePointer<Float>
    ) {
        self.queries.rotate(row: origin + offset, heads: h, queries)
        keys.rotate(row: origin + offset, heads: 1, key)
    }
}
