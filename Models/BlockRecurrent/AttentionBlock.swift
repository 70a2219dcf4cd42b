import NN
import Tensors

// The attention of a layer: tokens see their block up to themselves and the memory before it, and states where the layer
// reads some.
//
// b batch, n tokens, m width of the model, h heads, d columns of a head

/// What a layer's queries of one block see.
struct BlockKeys: Sendable {
    let span: BlockSpan
    /// Keys and values of the tokens before the block, [b, n, 2 d].
    let before: Tensor?
    /// Those of the block, up to the last token read: [b, n, 2 d].
    let block: Tensor

    /// Of the last tokens of the memory and the block: [b, count, 2 d].
    func last(_ count: Int) -> Tensor {
        let missing = min(count - block.shape[1], before?.shape[1] ?? 0)
        if missing <= 0 { return block.sliced(1, from: max(0, block.shape[1] - count)) }
        return concatenate([before!.sliced(1, from: before!.shape[1] - missing), block], axis: 1)
    }
}

/// A layer's attention over its block and the memory before it.
///
/// Keys: norm.*, {to_q, to_kv, to_out}.weight, attn.{q,k}_scale, state_container.*, feedback.c.weight.
public struct AttentionBlock: Module {
    public let norm: BiaslessLayerNorm
    /// Queries of all heads, [h · d, m].
    public let toQuery: Linear
    /// One head of keys and values, [2 d, m].
    public let toKeysAndValues: Linear
    /// Of the heads, and of what is read of states: [m, h · d · (1 + reads)].
    public let toOut: Linear
    /// Nil where queries and keys are taken as they are.
    public let queryKeyNorm: QueryKeyNorm?
    /// Of a layer that writes states.
    public let stateContainer: StateContainer?
    /// Queries to the states of each recurrent layer (counted from the lowest) that the layer reads as feedback.
    public let feedback: [Int: Linear]
    let heads: Int
    let scale: Float
    let reach: Int?

    /// - Parameters:
    ///   - layer: from 0.
    ///   - key: what the initial parameters are drawn from.
    init(_ configuration: BlockRecurrentConfiguration, layer: Int, key: RandomKey) {
        let (m, d) = (configuration.dimension, configuration.headDimension)
        let inner = configuration.heads * d
        let recurrences = configuration.recurrences
        let isRecurrent = recurrences.contains { $0.write == layer }
        let reads = configuration.usesFeedback ? recurrences.count : recurrences.count { $0.read == layer }
        let normalizes = configuration.normalizesAllLayers || isRecurrent
        heads = configuration.heads
        scale = configuration.scale(isNormalized: normalizes)
        reach = configuration.attentionWindow
        norm = BiaslessLayerNorm(m)
        toQuery = Linear(m, inner, bias: false, key: key.child(0))
        toKeysAndValues = Linear(m, 2 * d, bias: false, key: key.child(1))
        toOut = Linear(inner * (1 + reads), m, bias: false, key: key.child(2))
        queryKeyNorm = normalizes ? QueryKeyNorm(d) : nil
        stateContainer = isRecurrent ? StateContainer(configuration, key: key.child(3)) : nil
        var feedback: [Int: Linear] = [:]
        for (index, recurrence) in recurrences.enumerated()
        where configuration.usesFeedback && recurrence.read != layer {
            feedback[index] = Linear(m, inner, bias: false, key: key.child(4).child(index))
        }
        self.feedback = feedback
    }

    /// Queries of each head, keys beside values, and the queries to states that `reads` project. x: [b, n, m] → [b, n, h,
    /// d], [b, n, 2 d], [b, n, h, d] each
    func project(_ x: Tensor, reads: [Linear]) -> (queries: Tensor, keysAndValues: Tensor, reads: [Tensor]) {
        let projected = projectRows(x, reads: reads)
        return (split(projected[0]), projected[1], projected.dropFirst(2).map(split))
    }

    /// The same with the heads of a token in one row. x: [..., m] → [..., h · d], [..., 2 d], [..., h · d] each
    func projectRows(_ x: Tensor, reads: [Linear]) -> [Tensor] {
        normLinear(x, norm: norm.norm, ([toQuery, toKeysAndValues] + reads).map(\.projection))
    }

    /// [..., h · d] → [..., h, d]
    func split(_ x: Tensor) -> Tensor { x.reshaped(Array(x.shape.dropLast()) + [heads, -1]) }

    /// Attention over the blocks' tokens and the memories before them. queries: [b, n, h, d] → the same shape.
    func attend(_ queries: Tensor, _ blocks: [BlockKeys], _ positions: BlockPositions) -> Tensor {
        let b = queries.shape[0]
        let spans = blocks.map(\.span)
        let together = runs(blocks.count) { index, next in
            spans[index].offset == 0 && spans[index].tokens.count == spans[next].tokens.count
                && blocks[index].before?.shape[1] == blocks[next].before?.shape[1]
        }
        let outputs = together.map { run in
            let parts = blocks[run].flatMap { [$0.before, $0.block].compactMap { $0 } }
            let seen = parts.reduce(0) { $0 + $1.shape[1] } / run.count
            let keysAndValues = concatenate(parts, axis: 1).reshaped([b * run.count, seen, -1])
            let span = spans[run.lowerBound]
            let end = span.offset + span.tokens.count
            return attend(
                positioned(queries.blocks(spans[run]), offset: span.offset, positions),
                positioned(keysAndValues, end: end, positions), values(keysAndValues)
            ).unblocked(batch: b)
        }
        return concatenate(outputs, axis: 1)
    }

    /// queries: [b, n, h, d], keys, values: [b, …, d], the queries' own last.
    func attend(
        _ queries: Tensor, _ keys: Tensor, _ values: Tensor, _ implementation: Implementation = .fused
    ) -> Tensor {
        multiQueryAttention(
            queries, keys, values, scale: scale, isCausal: true, reach: reach, implementation: implementation)
    }

    /// x: [b, n, h, d], tokens of a block from `offset` on.
    func positioned(_ x: Tensor, offset: Int, _ positions: BlockPositions) -> Tensor {
        positions.rotate(queries: queryKeyNorm?.queries(x) ?? x, offset: offset)
    }

    /// The keys of [b, n, 2 d], of which the last is token `end` − 1 of a block.
    func positioned(_ keysAndValues: Tensor, end: Int, _ positions: BlockPositions) -> Tensor {
        let keys = keysAndValues.split(count: 2)[0]
        return positions.rotate(keys: queryKeyNorm?.keys(keys) ?? keys, end: end)
    }

    func values(_ keysAndValues: Tensor) -> Tensor { keysAndValues.split(count: 2)[1] }

    /// What the heads and the reads of states give, [b, n, h, d] each, to x: [b, n, m], the residual included.
    func finish(_ parts: [Tensor], residual: Tensor) -> Tensor {
        let rows = parts.map { $0.reshaped(Array($0.shape.dropLast(2)) + [-1]) }
        return toOut(concatenate(rows, axis: rows[0].rank - 1), residual: residual)
    }

    public func collect(into state: inout StateCollector) {
        state.add("norm", norm)
        state.add("to_q", toQuery)
        state.add("to_kv", toKeysAndValues)
        if let queryKeyNorm { state.add("attn", queryKeyNorm) }
        state.add("to_out", toOut)
        if let stateContainer { state.add("state_container", stateContainer) }
        for index in feedback.keys.sorted() { state.add("feedback.\(index)", feedback[index]!) }
    }
}

extension BlockRecurrentConfiguration {
    /// What scores are multiplied by.
    func scale(isNormalized: Bool) -> Float {
        if isNormalized, let normalizedScale { return Float(normalizedScale) }
        return 1 / Float(headDimension).squareRoot()
    }
}
