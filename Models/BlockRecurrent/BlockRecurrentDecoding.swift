import NN
import Tensors

// Reading a sequence token by token. A layer remembers at most one block and the memory before it, w + w (+ w / 2
// compressed) keys and values, and what tokens see of the states is projected once a block: the cost of a token does not
// grow with its position, but the token that completes a block also writes the states.
//
// w tokens in a block, m width of the model, h heads, d columns of a head

/// What a model remembers of one sequence: a value, so a copy is a branch of the text.
public struct BlockRecurrentState: Sendable {
    var layers: [DecodingLayer]
    /// Of each recurrent layer, nil while they are the initial ones: [1, s, m].
    var states: [Tensor?]
    /// As the tokens of the block find them.
    var ready: [ReadyStates]

    /// Memory held, in bytes.
    var bytes: Int {
        layers.reduce(0) { $0 + $1.keysAndValues.heldBytes + $1.keys.heldBytes }
            + states.reduce(0) { $0 + ($1?.heldBytes ?? 0) }
            + ready.reduce(0) { sum, ready in
                // Keys and values are one tensor.
                sum + ready.identified.heldBytes + ready.keys.heldBytes + ready.readKeys.heldBytes
            }
    }
}

extension BlockRecurrentTransformer {
    public func startDecoding() -> BlockRecurrentState { withoutGradients { state(after: nothing) } }

    /// Appends tokens to each of several sequences; see `LanguageModel`. A text may be of any length.
    public func decode(_ tokens: [[Int32]], states: inout [BlockRecurrentState]) -> Tensor {
        let rows = RaggedRows(tokens, states: states.count, "BlockRecurrentTransformer")
        return withoutGradients {
            if tokens.allSatisfy({ $0.count == 1 }) { return step(rows.tokens, &states) }
            return concatenate(tokens.indices.map { read(tokens[$0], &states[$0]) })
        }
    }

    /// Appends tokens to one sequence as segments; returns the logits after the last, [1, vocabulary].
    private func read(_ tokens: [Int32], _ state: inout BlockRecurrentState) -> Tensor {
        if tokens.count == 1 { return step(TokenTensor(tokens), &state) }
        var memory = memory(of: state)
        var last: Tensor?
        for start in stride(from: 0, to: tokens.count, by: configuration.maximumLength) {
            let part = Array(tokens[start..<min(start + configuration.maximumLength, tokens.count)])
            var pass = SegmentPass(self, memory, n: part.count)
            let x = pass.run(tokenEmbedding(TokenTensor(part, shape: [1, part.count])))
            memory = pass.memory
            last = x.at(0, 0).sliced(0, from: part.count - 1)
        }
        state = self.state(after: memory)
        return logits(last!)
    }

    private func step(_ token: TokenTensor, _ state: inout BlockRecurrentState) -> Tensor {
        var states = [state]
        state = BlockRecurrentState(layers: [], states: [], ready: [])  // one owner, so that it is written in place
        defer { state = states[0] }
        return step(token, &states)
    }

    // MARK: One token

    /// Appends a token to each of several sequences: [sequences, vocabulary].
    private func step(_ tokens: TokenTensor, _ states: inout [BlockRecurrentState]) -> Tensor {
        var x = tokenEmbedding(tokens)  // [sequences, m]
        for (index, layer) in layers.enumerated() {
            let reads = reads[index]
            let projected = layer.attention.project(x, reads: reads.map(\.queries))
            var parts = [
                concatenate(
                    states.indices.map {
                        append(
                            projected.queries.row($0), projected.keysAndValues.row($0), layer.attention, index,
                            &states[$0])
                    })
            ]
            for (read, queries) in zip(reads, projected.reads) {
                let container = layers[writers[read.chain]].attention.stateContainer!
                parts.append(
                    concatenate(
                        states.indices.map {
                            let ready = states[$0].ready[read.chain]
                            return container.read(queries.row($0).unsqueezed(0), ready.readKeys, ready.values).squeezed(
                                0)
                        }))
            }
            let attended = layer.attention.finish(parts, residual: x)
            x = layer.feedForward(attended, residual: attended)
        }
        for index in states.indices { completeBlock(&states[index]) }
        return logits(x)
    }

    /// One token of one sequence in one layer. queries: [1, h, d], keysAndValues: [1, 2 d] → [1, h, d]
    private func append(
        _ queries: Tensor, _ keysAndValues: Tensor, _ attention: AttentionBlock, _ layer: Int,
        _ state: inout BlockRecurrentState
    ) -> Tensor {
        var memory = state.layers[layer]
        state.layers[layer] = .empty
        defer { state.layers[layer] = memory }
        let offset = memory.count - memory.before
        let key = attention.positioned(keysAndValues.unsqueezed(0), end: offset + 1, positions)
        memory.append(keysAndValues, key)
        let seen = memory.seen
        return attention.attend(
            attention.positioned(queries.unsqueezed(0), offset: offset, positions), seen.keys,
            attention.values(seen.keysAndValues)
        ).squeezed(0)
    }

    /// Writes the states and moves the memories on, where a block is complete.
    private func completeBlock(_ state: inout BlockRecurrentState) {
        guard state.layers[0].count - state.layers[0].before == configuration.blockWidth else { return }
        let before = memory(of: state)
        var after = before
        for (layer, memory) in before.layers.enumerated() {
            let block = memory.block!
            after.layers[layer] = LayerMemory(before: memoryManager.memory(layer, after: block, memory.before))
        }
        for (chain, layer) in writers.enumerated() {
            let memory = before.layers[layer]
            let span = BlockSpan(tokens: 0..<configuration.blockWidth, offset: 0)
            let parts = BlockKeys(span: span, before: memory.before, block: memory.block!)
                .last(configuration.stateWindow ?? configuration.blockWidth).split(count: 2)
            after.states[chain] = layers[layer].attention.stateContainer!
                .write(state.ready[chain], keys: parts[0], values: parts[1])
        }
        state = self.state(after: after)
    }
}

extension Tensor {
    /// One sequence's, the axis kept.
    fileprivate func row(_ index: Int) -> Tensor { sliced(0, from: index, to: index + 1) }
}
