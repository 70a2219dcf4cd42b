import NN
import Tensors

// The fused form of a segment. Tokens meet states only through the states' keys and values, so all blocks pass a layer
// together, as large products, and the states go from block to block in between; only where states are read below the layer
// that writes them, one block passes these layers before the next.
//
// b batch, n tokens, m width of the model, h heads, d columns of a head, s states

extension BlockRecurrentTransformer {
    /// Passes a segment through all layers, its blocks together; see `segment`.
    func fusedSegment(
        _ x: Tensor, _ memory: RecurrentMemory, mode: ForwardMode
    ) -> (output: Tensor, memory: RecurrentMemory) {
        var pass = SegmentPass(self, memory, n: x.shape[1], mode: mode)
        return (pass.run(x), pass.memory)
    }

    /// Cuts the layers into those that all blocks pass together, one by one, and those that one block passes before the
    /// next, as states are read below the layer that writes them.
    static func stages(
        _ recurrences: [BlockRecurrentConfiguration.Recurrence], depth: Int, feedback: Bool
    ) -> [ClosedRange<Int>] {
        var stages: [ClosedRange<Int>] = []
        for layer in 0..<depth {
            let tied = recurrences.contains { (feedback ? 0 : $0.read) < layer && layer <= $0.write }
            if tied, let last = stages.popLast() {
                stages.append(last.lowerBound...layer)
            } else {
                stages.append(layer...layer)
            }
        }
        return stages
    }
}

/// The keys and values that a layer's queries of one block see.
struct BlockKeys: Sendable {
    let span: BlockSpan
    /// The block up to the last token read, and the tokens before it.
    let own: LayerMemory
}

/// The states of a recurrent layer while they pass the blocks of a segment.
private struct StateChain: Sendable {
    let container: StateContainer
    /// After the last block that was complete; nil while they are the initial ones.
    var states: Tensor?
    /// The states as each block finds them.
    var found: [FoundStates]

    init(_ container: StateContainer, _ states: Tensor?) {
        (self.container, self.states) = (container, states)
        found = [container.found(states)]
    }
}

private struct SegmentPass {
    private let model: BlockRecurrentTransformer
    private let spans: [BlockSpan]
    private var memories: [LayerMemory]
    private var chains: [StateChain]
    private var weights: SegmentWeights?
    private var configuration: BlockRecurrentConfiguration { model.configuration }

    /// - Parameter n: the segment's tokens.
    init(_ model: BlockRecurrentTransformer, _ memory: RecurrentMemory, n: Int, mode: ForwardMode) {
        self.model = model
        memories = memory.layers
        weights = SegmentWeights(mode.recorder, reads: model.reads.map(\.count))
        spans = BlockSpan.spans(of: n, offset: memory.offset, width: model.configuration.blockWidth)
        chains = memory.states.enumerated().map { StateChain(model.container($0), $1) }
    }

    /// Memories and states after the segment, without gradients.
    var memory: RecurrentMemory { RecurrentMemory(layers: memories, states: chains.map(\.states)).detached() }

    /// x: [b, n, m] → [b, n, m]
    mutating func run(_ x: Tensor) -> Tensor {
        var x = x
        let stages = BlockRecurrentTransformer.stages(
            configuration.recurrences, depth: configuration.depth, feedback: configuration.usesFeedback)
        for stage in stages {
            if stage.count == 1 {
                x = pass(stage.lowerBound, x, spans.indices)
                continue
            }
            let blocks = spans.indices.map { index in
                let tokens = spans[index].tokens
                return stage.reduce(x.sliced(1, from: tokens.lowerBound, to: tokens.upperBound)) {
                    pass($1, $0, index..<index + 1)
                }
            }
            x = concatenate(blocks, axis: 1)
        }
        weights?.record(spans, isCompressed: configuration.compressesMemory)
        return x
    }

    /// Takes some blocks through a layer. x: their tokens, [b, n, m] → [b, n, m]
    private mutating func pass(_ index: Int, _ x: Tensor, _ blocks: Range<Int>) -> Tensor {
        let (attention, feedForward) = (model.layers[index].attention, model.layers[index].feedForward)
        let reads = model.reads[index]
        let first = spans[blocks.lowerBound].tokens.lowerBound
        let own = spans[blocks].map {
            BlockSpan(tokens: $0.tokens.lowerBound - first..<$0.tokens.upperBound - first, offset: $0.offset)
        }
        let projected = attention.project(x, reads: reads.map(\.queries))
        let (queries, stateQueries) = (attention.heads(projected[0]), projected.dropFirst(2).map(attention.heads))
        let keys = remember(index, projected[1], own, isLast: blocks.upperBound == spans.count)
        var parts = [attention.attend(queries, keys, model.positions)]
        if let chain = model.writers.firstIndex(of: index) { write(chain, keys, blocks) }
        for (read, queries) in zip(reads, stateQueries) {
            parts.append(self.read(chains[read.chain], queries, spans: own, blocks: blocks))
        }
        record(layer: index, queries: queries, keys: keys, reads: stateQueries, blocks: blocks)
        let attended = attention.toOut(attention.joined(parts), residual: x)
        return feedForward(attended, residual: attended)
    }

    /// Adds blocks to a layer's memory, and returns what their tokens see.
    /// - Parameter isLast: whether the segment ends with them, so that no gradient comes back from what follows.
    private mutating func remember(
        _ layer: Int, _ keysAndValues: Tensor, _ spans: [BlockSpan], isLast: Bool
    ) -> [BlockKeys] {
        spans.enumerated().map { index, span in
            let own = memories[layer].appending(
                keysAndValues.sliced(1, from: span.tokens.lowerBound, to: span.tokens.upperBound))
            if span.isComplete(configuration.blockWidth) {
                func next() -> LayerMemory { model.memoryManager.memory(layer, after: own) }
                let isEnd = isLast && index + 1 == spans.count
                memories[layer] = isEnd ? withoutGradients(next) : next()
            } else {
                memories[layer] = own
            }
            return BlockKeys(span: span, own: own)
        }
    }

    /// Keeps the weights of attention where a recorder wants them.
    private mutating func record(
        layer index: Int, queries: Tensor, keys: [BlockKeys], reads: [Tensor], blocks: Range<Int>
    ) {
        guard weights != nil else { return }
        let attention = model.layers[index].attention
        for (block, keys) in zip(blocks, keys) {
            let span = keys.span
            let q = attention.positioned(queries.blocks([span]), offset: span.offset, model.positions)
            let k = attention.positioned(keys.own.all, end: keys.own.offset, model.positions)
            weights?.add(tokens: attention.weights(q, k), layer: index)
            for (read, queries) in reads.enumerated() {
                let chain = chains[model.reads[index][read].chain]
                weights?.add(
                    states: chain.container.weights(queries.blocks([span]), chain.found[block].readKeys),
                    layer: index, read: read)
            }
        }
    }

    /// Writes the states of a recurrent layer at the end of each block that is complete.
    private mutating func write(_ chain: Int, _ keys: [BlockKeys], _ blocks: Range<Int>) {
        for (block, keys) in zip(blocks, keys) where keys.span.isComplete(configuration.blockWidth) {
            let tokens = keys.own.last(configuration.writtenTokens)
            let (container, found) = (chains[chain].container, chains[chain].found[block])
            // No gradient comes back from the next segment.
            let isLast = block + 1 == spans.count
            if isLast {
                chains[chain].states = withoutGradients { container.write(found, tokens: tokens) }
            } else {
                let states = container.write(found, tokens: tokens)
                chains[chain].states = states
                chains[chain].found.append(container.found(states))
            }
        }
    }

    /// Reads, for the tokens of each block, the states with which it begins. queries: [b, n, h, d] → the same shape.
    private func read(
        _ chain: StateChain, _ queries: Tensor, spans: [BlockSpan], blocks: Range<Int>
    ) -> Tensor {
        let b = queries.shape[0]
        let together = runs(spans.count) { spans[$0].tokens.count == spans[$1].tokens.count }
        let outputs = together.map { run in
            let found = run.map { chain.found[blocks.lowerBound + $0] }
            func batch(_ part: (FoundStates) -> Tensor) -> Tensor {
                if found.count == 1 { return part(found[0]) }
                let parts = found.map { part($0).expanded(to: [b] + part($0).shape.dropFirst()) }
                return stack(parts, axis: 1).reshaped([b * run.count] + parts[0].shape.dropFirst())
            }
            return chain.container.read(queries.blocks(spans[run]), batch(\.readKeys), batch(\.values)).unblocked(
                batch: b)
        }
        return concatenate(outputs, axis: 1)
    }
}

// MARK: Several blocks at once

extension AttentionBlock {
    /// Projects normalized tokens in one operation: queries of each head, keys beside values, and the queries to states that
    /// `reads` project. x: [..., m] → [..., h · d], [..., 2 g d], [..., h · d] each
    func project(_ x: Tensor, reads: [Linear]) -> [Tensor] {
        normLinear(x, norm: norm.norm, ([toQuery, toKeysAndValues] + reads).map(\.projection))
    }

    /// Attends to the blocks' tokens and the memories before them. queries: [b, n, h, d] → the same shape.
    func attend(_ queries: Tensor, _ blocks: [BlockKeys], _ positions: BlockPositions) -> Tensor {
        let b = queries.shape[0]
        let spans = blocks.map(\.span)
        let together = runs(blocks.count) { index, next in
            spans[index].offset == 0 && spans[index].tokens.count == spans[next].tokens.count
                && blocks[index].own.before?.shape[1] == blocks[next].own.before?.shape[1]
        }
        let outputs = together.map { run in
            let parts = blocks[run].flatMap { [$0.own.before, $0.own.block].compactMap { $0 } }
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
}

/// Cuts 0 ..< count where neighbors cannot be worked on together.
private func runs(_ count: Int, _ together: (_ index: Int, _ next: Int) -> Bool) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    var start = 0
    for index in 0..<count where index + 1 == count || !together(index, index + 1) {
        runs.append(start..<index + 1)
        start = index + 1
    }
    return runs
}

extension Tensor {
    /// Puts the tokens of neighboring blocks into a batch. [b, n, …] → [b · blocks, tokens of a block, …]
    fileprivate func blocks(_ spans: ArraySlice<BlockSpan>) -> Tensor {
        guard let first = spans.first, let last = spans.last else { return self }
        let part = sliced(1, from: first.tokens.lowerBound, to: last.tokens.upperBound)
        return part.reshaped([shape[0] * spans.count, first.tokens.count] + shape.dropFirst(2))
    }

    /// Takes the blocks out of the batch. [b · blocks, tokens, …] → [b, n, …]
    fileprivate func unblocked(batch: Int) -> Tensor { reshaped([batch, -1] + shape.dropFirst(2)) }
}
