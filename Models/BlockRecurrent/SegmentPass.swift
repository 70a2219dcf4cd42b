import NN
import Tensors

// The forward pass of a segment. Tokens meet states only through the states' keys and values, so all blocks pass a layer
// together, as large products, and the states go from block to block in between; only where states are read below the layer
// that writes them, one block passes these layers before the next.
//
// b batch, n tokens, m width of the model

/// The states of a recurrent layer while they pass the blocks of a segment.
struct StateChain: Sendable {
    let container: StateContainer
    /// After the last block that was complete; nil while they are the initial ones.
    var states: Tensor?
    /// As each block finds them.
    var ready: [ReadyStates]

    init(_ container: StateContainer, _ states: Tensor?) {
        (self.container, self.states) = (container, states)
        ready = [container.found(states)]
    }
}

extension BlockRecurrentTransformer {
    /// The fused form of a segment: all its blocks in a layer together.
    func fusedSegment(
        _ x: Tensor, _ memory: RecurrentMemory, mode: ForwardMode
    ) -> (output: Tensor, memory: RecurrentMemory) {
        var pass = SegmentPass(self, memory, n: x.shape[1], mode: mode)
        return (pass.run(x), pass.memory)
    }
}

struct SegmentPass {
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
        chains = zip(model.writers, memory.states).map { layer, states in
            StateChain(model.layers[layer].attention.stateContainer!, states)
        }
    }

    /// What the segment leaves, without gradients.
    var memory: RecurrentMemory { RecurrentMemory(layers: memories, states: chains.map(\.states)).detached() }

    /// x: [b, n, m] → [b, n, m]
    mutating func run(_ x: Tensor) -> Tensor {
        var x = x
        for stage in model.stages {
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
        let layer = model.layers[index]
        let reads = model.reads[index]
        let first = spans[blocks.lowerBound].tokens.lowerBound
        let own = spans[blocks].map {
            BlockSpan(tokens: $0.tokens.lowerBound - first..<$0.tokens.upperBound - first, offset: $0.offset)
        }
        let projected = layer.attention.project(x, reads: reads.map(\.queries))
        let keys = remember(index, projected.keysAndValues, own, isLast: blocks.upperBound == spans.count)
        var parts = [layer.attention.attend(projected.queries, keys, model.positions)]
        if let chain = model.writers.firstIndex(of: index) { write(chain, keys, blocks) }
        for (read, queries) in zip(reads, projected.reads) {
            parts.append(self.read(chains[read.chain], queries, own, blocks))
        }
        record(index, projected.queries, keys, projected.reads, blocks)
        let attended = layer.attention.finish(parts, residual: x)
        return layer.feedForward(attended, residual: attended)
    }

    /// Adds blocks to a layer's memory, and returns what their tokens see.
    /// - Parameter isLast: whether the segment ends with them, so that no gradient comes back from what follows.
    private mutating func remember(
        _ layer: Int, _ keysAndValues: Tensor, _ spans: [BlockSpan], isLast: Bool
    ) -> [BlockKeys] {
        spans.enumerated().map { index, span in
            let memory = memories[layer]
            let new = keysAndValues.sliced(1, from: span.tokens.lowerBound, to: span.tokens.upperBound)
            let block = memory.block.map { concatenate([$0, new], axis: 1) } ?? new
            if span.isComplete(configuration.blockWidth) {
                func next() -> Tensor { model.memoryManager.memory(layer, after: block, memory.before) }
                let isEnd = isLast && index + 1 == spans.count
                memories[layer] = LayerMemory(before: isEnd ? withoutGradients(next) : next())
            } else {
                memories[layer].block = block
            }
            return BlockKeys(span: span, before: memory.before, block: block)
        }
    }

    /// Keeps the weights of attention, where somebody wants to see them.
    private mutating func record(
        _ index: Int, _ queries: Tensor, _ keys: [BlockKeys], _ reads: [Tensor], _ blocks: Range<Int>
    ) {
        guard weights != nil else { return }
        for (block, keys) in zip(blocks, keys) {
            let (attention, span) = (model.layers[index].attention, keys.span)
            let all = concatenate([keys.before, keys.block].compactMap { $0 }, axis: 1)
            let seen = attention.positioned(all, end: span.offset + span.tokens.count, model.positions)
            let own = attention.positioned(queries.blocks([span]), offset: span.offset, model.positions)
            weights?.add(tokens: attention.weights(own, seen, .fused), layer: index)
            for (read, queries) in reads.enumerated() {
                let chain = chains[model.reads[index][read].chain]
                weights?.add(
                    states: chain.container.weights(queries.blocks([keys.span]), chain.ready[block].readKeys, .fused),
                    layer: index, read: read)
            }
        }
    }

    /// Writes the states of a recurrent layer at the end of each block that is complete.
    private mutating func write(_ chain: Int, _ keys: [BlockKeys], _ blocks: Range<Int>) {
        for (block, keys) in zip(blocks, keys) where keys.span.isComplete(configuration.blockWidth) {
            let parts = keys.last(configuration.writtenTokens).split(count: 2)
            let (container, ready) = (chains[chain].container, chains[chain].ready[block])
            // No gradient comes back from the next segment.
            let isLast = block + 1 == spans.count
            if isLast {
                chains[chain].states = withoutGradients {
                    container.write(ready, keys: parts[0], values: parts[1])
                }
            } else {
                let states = container.write(ready, keys: parts[0], values: parts[1])
                chains[chain].states = states
                chains[chain].ready.append(container.found(states))
            }
        }
    }

    /// What the tokens of each block find in the states that it begins with. queries: [b, n, h, d] → the same shape.
    private func read(
        _ chain: StateChain, _ queries: Tensor, _ spans: [BlockSpan], _ blocks: Range<Int>
    ) -> Tensor {
        let b = queries.shape[0]
        let together = runs(spans.count) { spans[$0].tokens.count == spans[$1].tokens.count }
        let outputs = together.map { run in
            let ready = run.map { chain.ready[blocks.lowerBound + $0] }
            func batch(_ part: (ReadyStates) -> Tensor) -> Tensor {
                if ready.count == 1 { return part(ready[0]) }
                let parts = ready.map { part($0).expanded(to: [b] + part($0).shape.dropFirst()) }
                return stack(parts, axis: 1).reshaped([b * run.count] + parts[0].shape.dropFirst())
            }
            return chain.container.read(queries.blocks(spans[run]), batch(\.readKeys), batch(\.values)).unblocked(
                batch: b)
        }
        return concatenate(outputs, axis: 1)
    }
}
