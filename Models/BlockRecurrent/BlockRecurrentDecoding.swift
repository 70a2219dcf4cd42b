import NN
import Tensors

// Reading a sequence token by token. A layer remembers at most one block and the memory before it, w + w (+ w / 2
// compressed) keys and values, and what tokens see of the states is projected once a block: the cost of a token does not
// grow with its position, but the token that completes a block also writes the states.
//
// w tokens in a block, m width of the model, h heads, g heads of keys and values, d columns of a head

/// The memory of one sequence: a value, so a copy is a branch of the text.
public struct BlockRecurrentState: Sendable {
    var layers: [DecodingLayer]
    /// The states of each recurrent layer, nil while they are the initial ones: [1, s, m].
    var states: [Tensor?]
    /// The same with what the tokens of the block take of them.
    var found: [FoundStates]
    /// Their keys, as a token's queries read them: of each recurrent layer and head.
    var readKeys: [[KeyBlocks]]

    /// Memory held, in bytes.
    var bytes: Int {
        layers.reduce(0) { $0 + $1.heldBytes }
            + readKeys.joined().reduce(0) { $0 + $1.heldBytes }
            + states.reduce(0) { $0 + ($1?.heldBytes ?? 0) }
            + found.reduce(0) { sum, found in
                // Keys and values are one tensor.
                sum + found.identified.heldBytes + found.keys.heldBytes + found.readKeys.heldBytes
            }
    }
}

/// Keys and values of a layer in one place, to which tokens are appended.
struct DecodingLayer: Sendable {
    /// Keys beside values, without positions: [capacity, 2 g d].
    private(set) var keysAndValues: Tensor
    /// The keys of each head with positions, as scores are taken of them.
    private(set) var keys: [KeyBlocks]
    /// Added to scores by distance, the farthest first: [h, capacity]; nil with rotary positions.
    private let bias: Tensor?
    /// Tokens before the block.
    let before: Int
    /// All tokens.
    var count: Int { keys[0].count }
    /// The place of the next token in its block.
    var offset: Int { count - before }

    /// - Parameters:
    ///   - rows: keys and values of the tokens so far, [n, 2 g d].
    ///   - keys: with positions, [n, g, d].
    ///   - bias: by distance, [h, capacity].
    ///   - capacity: how many tokens there will be.
    init(_ rows: Tensor, keys: Tensor, bias: Tensor?, before: Int, capacity: Int) {
        keysAndValues = rows.padded(axis: 0, after: max(0, capacity - rows.shape[0]))
        self.bias = bias?.contiguous()
        self.keys = keys.keyBlocks(capacity: capacity)
        self.before = before
    }

    /// Memory held, in bytes.
    var heldBytes: Int {
        keys.reduce(keysAndValues.heldBytes + (bias?.heldBytes ?? 0)) { $0 + $1.heldBytes }
    }

    /// Returns the bias of a head and the first key for the last token, and the step to the next head's.
    func bias(head: Int) -> (pointer: UnsafePointer<Float>, stride: Int)? {
        bias.map { ($0.pointer + head * $0.shape[1] + $0.shape[1] - count, $0.shape[1]) }
    }

    /// Appends one token. row: [2 g d], key: [g, d], with positions.
    mutating func append(_ row: UnsafePointer<Float>, key: UnsafePointer<Float>) {
        keysAndValues.ensureUnique()
        let width = keysAndValues.shape[1]
        (keysAndValues.mutablePointer + count * width).update(from: row, count: width)
        for head in keys.indices { keys[head].append(key + head * keys[head].width) }
    }
}

extension Tensor {
    /// The keys of each head: self is [n, g, d].
    fileprivate func keyBlocks(capacity: Int = 0) -> [KeyBlocks] {
        (0..<shape[1]).map { KeyBlocks(at(1, $0), capacity: capacity) }
    }
}

extension BlockRecurrentTransformer {
    /// Begins a text: a state of nothing read, with room for what it will hold.
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
        state = BlockRecurrentState(layers: [], states: [], found: [], readKeys: [])
        defer { state = states[0] }
        return step(token, &states)
    }

    // MARK: One token

    /// Appends a token to each of several sequences: [sequences, vocabulary].
    private func step(_ tokens: TokenTensor, _ states: inout [BlockRecurrentState]) -> Tensor {
        var x = tokenEmbedding(tokens)  // [sequences, m]
        for layer in layers.indices {
            let projected = layers[layer].attention.project(x, reads: reads[layer].map(\.queries))
            let heads = attend(projected, layer, &states)
            let attended = layers[layer].attention.toOut(heads, residual: x)
            x = layers[layer].feedForward(attended, residual: attended)
        }
        for index in states.indices { completeBlock(&states[index]) }
        return logits(x)
    }

    /// Attends, for one token of each sequence, to a layer's tokens and then to each of the states it reads: [sequences, h ·
    /// d · (1 + reads)]. One operation on memory for all, as there would be many small ones.
    private func attend(_ projected: [Tensor], _ layer: Int, _ states: inout [BlockRecurrentState]) -> Tensor {
        let attention = layers[layer].attention
        let (h, d, g) = (configuration.heads, configuration.headDimension, configuration.groups)
        let width = h * d * (projected.count - 1)
        let output = Tensor(uninitialized: [states.count, width])
        let queries = Tensor(uninitialized: [states.count, width + g * d])  // and the keys
        var all: [FewQueries] = []
        for index in states.indices {
            let row = queries.mutablePointer + index * (width + g * d)
            let target = output.mutablePointer + index * width
            let keysAndValues = projected[1].pointer + index * 2 * g * d
            attention.position(
                projected[0].pointer + index * h * d, keysAndValues, at: states[index].layers[layer].offset, positions,
                queries: row, keys: row + width)
            states[index].layers[layer].append(keysAndValues, key: row + width)
            let seen = states[index].layers[layer]
            for head in 0..<g {
                let bias = seen.bias(head: head * h / g)
                all.append(
                    FewQueries(
                        row + head * h / g * d, seen.keys[head], reach: configuration.attentionWindow,
                        bias: bias?.pointer, biasStride: bias?.stride ?? 0,
                        values: seen.keysAndValues.pointer + (g + head) * d, valueStride: 2 * g * d,
                        scale: attention.scale, output: target + head * h / g * d))
            }
            for (place, read) in reads[layer].enumerated() {
                let container = container(read.chain)
                let start = (place + 1) * h * d
                container.readNorm.queries(
                    projected[place + 2].pointer + index * h * d, heads: h, into: row + start)
                let values = states[index].found[read.chain].values  // [1, s, g, d]
                for head in 0..<g {
                    let first = start + head * h / g * d
                    all.append(
                        FewQueries(
                            row + first, states[index].readKeys[read.chain][head],
                            values: values.basePointer + head * values.strides[2], valueStride: values.strides[1],
                            scale: container.scale, output: target + first))
                }
            }
        }
        FewQueries.attend(all, h: h / g, d: d, e: d)
        withExtendedLifetime((projected, queries, states)) {}
        return output
    }

    /// Writes the states and the memories anew where a block is complete.
    private func completeBlock(_ state: inout BlockRecurrentState) {
        guard state.layers[0].offset == configuration.blockWidth else { return }
        let before = memory(of: state)
        var after = before
        for (layer, own) in before.layers.enumerated() {
            after.layers[layer] = memoryManager.memory(layer, after: own)
        }
        for (chain, layer) in writers.enumerated() {
            after.states[chain] = container(chain).write(
                state.found[chain], tokens: before.layers[layer].last(configuration.writtenTokens))
        }
        state = self.state(after: after)
    }
}

// MARK: One token's queries and key, in place

extension AttentionBlock {
    /// Normalizes and, without a bias by distance, rotates token `offset` of a block: its queries, [h, d], and keys (before values), [g, d]. Does without
    /// tensors what `positioned` does with them, as a token is less work than they are.
    fileprivate func position(
        _ queries: UnsafePointer<Float>, _ keysAndValues: UnsafePointer<Float>, at offset: Int,
        _ positions: BlockPositions, queries q: UnsafeMutablePointer<Float>, keys k: UnsafeMutablePointer<Float>
    ) {
        let (h, d, g) = (configuration.heads, configuration.headDimension, configuration.groups)
        if let scoreNorm {
            scoreNorm.queries(queries, heads: h, into: q)
            scoreNorm.keys(keysAndValues, heads: g, into: k)
        } else {
            q.update(from: queries, count: h * d)
            k.update(from: keysAndValues, count: g * d)
        }
        guard relativeBias == nil else { return }
        positions.queries.rotate(q, heads: h, row: positions.origin + offset)
        positions.keys.rotate(k, heads: g, row: positions.origin + offset)
    }
}

// MARK: Between decoding and segments

extension BlockRecurrentTransformer {
    /// Returns what a decoding state has read, as a segment's carry.
    public func carry(of state: BlockRecurrentState) -> RecurrentMemory? { memory(of: state) }

    /// Resumes where segments ended.
    /// - Throws: `InputError` that names the tensor that is none of this model's.
    public func decodingState(after carry: RecurrentMemory) throws -> BlockRecurrentState {
        try check(carry)
        return withoutGradients { state(after: carry) }
    }

    /// - Throws: `InputError` that names the tensor that is none of this model's.
    private func check(_ memory: RecurrentMemory) throws {
        let (w, d, s) = (configuration.blockWidth, configuration.keyDimension, configuration.states)
        guard memory.layers.count == layers.count, memory.states.count == writers.count else {
            throw InputError(
                "layers: expected \(layers.count), \(writers.count) of them recurrent, found \(memory.layers.count) and"
                    + " \(memory.states.count)")
        }
        func check(_ name: String, _ tensor: Tensor?, _ lengths: ClosedRange<Int>) throws {
            guard let shape = tensor?.shape, shape[2] != 2 * d || !lengths.contains(shape[1]) else { return }
            let (least, most) = (lengths.lowerBound, lengths.upperBound)
            let n = least == most ? "\(least)" : "\(least)…\(most)"
            throw InputError("\(name): expected [2, 1, \(n), \(d)], found [2, 1, \(shape[1]), \(shape[2] / 2)]")
        }
        for (index, layer) in memory.layers.enumerated() {
            try check("memories.\(index)", layer.before, 1...w + configuration.compressedLength)
            try check("blocks.\(index)", layer.block, 1...max(1, w - 1))
        }
        for (index, states) in memory.states.enumerated() {
            if let shape = states?.shape, shape != [1, s, configuration.dimension] {
                throw InputError("states.\(index): expected [1, \(s), \(configuration.dimension)], found \(shape)")
            }
        }
    }

    /// Makes a decoding state of what segments have read, of one row.
    func state(after memory: RecurrentMemory) -> BlockRecurrentState {
        let capacity = 2 * configuration.blockWidth + configuration.compressedLength
        let (d, g) = (configuration.headDimension, configuration.groups)
        let decoding = zip(layers, memory.layers).map { layer, memory in
            let isEmpty = memory.before == nil && memory.block == nil
            let all = isEmpty ? .zeros([1, 0, 2 * g * d]) : memory.all
            let keys =
                isEmpty
                ? .zeros([0, g, d]) : layer.attention.positioned(all, end: memory.offset, positions).squeezed(0)
            return DecodingLayer(
                all.squeezed(0), keys: keys, bias: layer.attention.bias(capacity),
                before: memory.before?.shape[1] ?? 0, capacity: capacity)
        }
        let found = memory.states.enumerated().map { container($0).found($1) }
        return BlockRecurrentState(
            layers: decoding, states: memory.states, found: found,
            readKeys: found.map { $0.readKeys.squeezed(0).keyBlocks() })
    }

    /// Copies the memory of a decoding state.
    func memory(of state: BlockRecurrentState) -> RecurrentMemory {
        RecurrentMemory(
            layers: state.layers.map { layer in
                func part(_ rows: Range<Int>) -> Tensor? {
                    rows.isEmpty
                        ? nil
                        : layer.keysAndValues.sliced(0, from: rows.lowerBound, to: rows.upperBound).unsqueezed(0)
                }
                return LayerMemory(before: part(0..<layer.before), block: part(layer.before..<layer.count))
            }, states: state.states
        ).detached()
    }
}
