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
    /// Their keys, as a token's queries read them.
    var readKeys: [KeyBlocks]

    /// Memory held, in bytes.
    var bytes: Int {
        layers.reduce(0) { $0 + $1.keysAndValues.heldBytes + $1.keys.heldBytes }
            + readKeys.reduce(0) { $0 + $1.heldBytes }
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
            let x: Tensor
            (x, memory) = segment(tokenEmbedding(TokenTensor(part, shape: [1, part.count])), memory, mode: .inference)
            last = x.at(0, 0).sliced(0, from: part.count - 1)
        }
        state = self.state(after: memory)
        return logits(last!)
    }

    private func step(_ token: TokenTensor, _ state: inout BlockRecurrentState) -> Tensor {
        var states = [state]
        // One owner, so that it is written in place.
        state = BlockRecurrentState(layers: [], states: [], ready: [], readKeys: [])
        defer { state = states[0] }
        return step(token, &states)
    }

    // MARK: One token

    /// Appends a token to each of several sequences: [sequences, vocabulary].
    private func step(_ tokens: TokenTensor, _ states: inout [BlockRecurrentState]) -> Tensor {
        var x = tokenEmbedding(tokens)  // [sequences, m]
        for layer in layers.indices {
            let projected = layers[layer].attention.projectRows(x, reads: reads[layer].map(\.queries))
            let heads = attend(projected, layer, &states)
            let attended = layers[layer].attention.toOut(heads, residual: x)
            x = layers[layer].feedForward(attended, residual: attended)
        }
        for index in states.indices { completeBlock(&states[index]) }
        return logits(x)
    }

    /// The attention of one token of each sequence in one layer, over its tokens and then over each of the states it reads:
    /// [sequences, h · d · (1 + reads)]. One operation on memory, of which a token has as many as there are layers.
    private func attend(_ projected: [Tensor], _ layer: Int, _ states: inout [BlockRecurrentState]) -> Tensor {
        let attention = layers[layer].attention
        let (h, d) = (attention.heads, configuration.headDimension)
        let width = h * d * (projected.count - 1)
        let output = Tensor(uninitialized: [states.count, width])
        let queries = Tensor(uninitialized: [states.count, width + d])  // and a key
        var all: [FewQueries] = []
        for index in states.indices {
            let (row, target) = (queries.mutablePointer + index * (width + d), output.mutablePointer + index * width)
            let keysAndValues = projected[1].pointer + index * 2 * d
            attention.position(
                projected[0].pointer + index * h * d, keysAndValues, states[index].layers[layer].offset, positions,
                queries: row, key: row + width)
            states[index].layers[layer].append(keysAndValues, key: row + width)
            let seen = states[index].layers[layer]
            all.append(
                FewQueries(
                    row, seen.keys, reach: attention.reach, values: seen.keysAndValues.pointer + d, valueStride: 2 * d,
                    scale: attention.scale, output: target))
            for (place, read) in reads[layer].enumerated() {
                let container = container(read.chain)
                let start = (place + 1) * h * d
                container.readNorm.queries(h, projected[place + 2].pointer + index * h * d, row + start)
                let values = states[index].ready[read.chain].values
                all.append(
                    FewQueries(
                        row + start, states[index].readKeys[read.chain], values: values.basePointer,
                        valueStride: values.strides[1], scale: container.scale, output: target + start))
            }
        }
        FewQueries.attend(all, h: h, d: d, e: d)
        withExtendedLifetime((projected, queries, states)) {}
        return output
    }

    /// Writes the states and moves the memories on, where a block is complete.
    private func completeBlock(_ state: inout BlockRecurrentState) {
        guard state.layers[0].offset == configuration.blockWidth else { return }
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
                .last(configuration.writtenTokens).split(count: 2)
            after.states[chain] = layers[layer].attention.stateContainer!
                .write(state.ready[chain], keys: parts[0], values: parts[1])
        }
        state = self.state(after: after)
    }
}

extension AttentionBlock {
    /// Token `offset` of a block: its queries, [h, d], and key (before values), [d], as scores are taken of them.
    fileprivate func position(
        _ queries: UnsafePointer<Float>, _ keysAndValues: UnsafePointer<Float>, _ offset: Int,
        _ positions: BlockPositions, queries q: UnsafeMutablePointer<Float>, key k: UnsafeMutablePointer<Float>
    ) {
        if let queryKeyNorm {
            queryKeyNorm.queries(heads, queries, q)
            queryKeyNorm.key(keysAndValues, k)
        } else {
            let d = toKeysAndValues.weight.shape[0] / 2
            q.update(from: queries, count: heads * d)
            k.update(from: keysAndValues, count: d)
        }
        positions.rotate(offset, queries: q, heads, key: k)
    }
}
