import NN
import Tensors

// Reading a sequence token by token. An attention layer remembers its slots, 2 k d floats a head, whatever the position;
// with full attention the keys and values so far; of embeddings their projected keys and values.

/// What an attention layer remembers of one sequence.
enum AttentionState: Sendable {
    case slots(BoundedMemory)
    case keys(KeyValueRing)
    /// Keys and values of embeddings, [1, k, h, d] each.
    case embeddings(Tensor, Tensor)
}

/// What a model remembers of one sequence: a value, so a copy is a branch of the text.
public struct LinformerState: Sendable {
    /// Tokens read so far.
    public internal(set) var position = 0
    /// Of each attention layer, in the order of the data.
    var attentions: [AttentionState]
}

extension LinformerLM: LanguageModel {
    public typealias Carry = NoCarry

    public var vocabularySize: Int { configuration.tokens }
    public var isCausal: Bool { configuration.stack.isCausal }
    /// Each layer keeps what it reads.
    public var leastActivations: Int { configuration.stack.depth.timesClamped(configuration.stack.channels) }
    public var maximumLength: Int? { configuration.stack.inputSize }

    public var causalityProblem: String? { configuration.stack.causalityProblem }

    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        self(tokens, embeddings: nil, mode: mode)
    }

    public func startDecoding() -> LinformerState {
        require(!configuration.stack.isDecoder, "LinformerLM: a decoder starts with embeddings")
        return startDecoding(embeddings: nil)
    }

    /// The state before the first token. embeddings: what a decoder attends to, [1, n', m'].
    func startDecoding(embeddings: Tensor?) -> LinformerState {
        require(isCausal, "LinformerLM.decode: the model is not causal")
        return withoutGradients {
            LinformerState(
                attentions: linformer.layers.flatMap { layer in
                    [layer.attention.branch.startDecoding()]
                        + (layer.crossAttention.map { [$0.branch.state(of: embeddings!)] } ?? [])
                })
        }
    }

    /// Appends tokens to each of several sequences; see `LanguageModel`.
    public func decode(_ tokens: [[Int32]], states: inout [LinformerState]) -> Tensor {
        let rows = RaggedRows(tokens, states: states.count, "LinformerLM")
        for (sequence, state) in zip(tokens, states) {
            require(
                state.position + sequence.count <= configuration.stack.inputSize,
                "LinformerLM.decode: \(sequence.count) tokens after \(state.position), but input_size is "
                    + "\(configuration.stack.inputSize)")
        }
        return withoutGradients {
            let positions = zip(tokens, states).flatMap { sequence, state in
                (0..<sequence.count).map { Float(state.position + $0) }
            }
            let x = enter(embed(rows.tokens, positions: Tensor(positions)))  // [rows, m]
            let y = linformer.decode(x, rows.spans, &states)
            for index in states.indices { states[index].position += tokens[index].count }
            return logits(rows.last(y))
        }
    }
}

extension Linformer {
    /// Appends rows to sequences. x: [rows, m], the rows of sequence i in spans[i]. Returns [rows, m].
    func decode(_ x: Tensor, _ spans: [Range<Int>], _ states: inout [LinformerState]) -> Tensor {
        var x = NormedTensor(sum: x, norm: nil)
        var place = 0
        func attend(_ layer: PostNorm<MHAttention>, _ states: inout [LinformerState]) {
            let value = x.value
            x = NormedTensor(
                sum: layer.branch.decode(value, spans, &states, place, residual: value), norm: layer.norm)
            place += 1
        }
        func feed(_ layer: PostNorm<FeedForward>?) {
            if let layer { x = layer(x, mode: .inference) }
        }
        for layer in layers {
            attend(layer.attention, &states)
            feed(layer.feedForward)
            guard let cross = layer.crossAttention else { continue }
            attend(cross, &states)
            feed(layer.crossFeedForward)
        }
        return x.value
    }
}

extension MHAttention {
    private var options: HeadOptions { group.options }

    /// All tokens as one window.
    private var allTokens: WindowPattern { WindowPattern(window: inputSize, isCausal: true, lookBackward: 0) }

    func startDecoding() -> AttentionState {
        let (h, d) = (heads.count, options.dimension)
        if options.usesFullAttention { return .keys(KeyValueRing(allTokens, heads: h, d, d)) }
        func slots(_ projections: [SequenceProjection]) -> Tensor {
            let slots = group.initialSlots(projections)
            return slots.expanded(to: [h] + slots.shape.suffix(2))
        }
        return .slots(
            BoundedMemory(keys: slots(group.keyProjections), values: slots(group.valueProjections)))
    }

    /// The projected keys and values of embeddings [1, n', m'].
    func state(of embeddings: Tensor) -> AttentionState {
        let (keys, values) = attended(embeddings)
        return .embeddings(keys, values)
    }

    /// x: [rows, m], the rows of sequence i in spans[i], whose state is states[i].attentions[place]. Returns [rows, m], plus
    /// `residual`.
    func decode(
        _ x: Tensor, _ spans: [Range<Int>], _ states: inout [LinformerState], _ place: Int, residual: Tensor
    ) -> Tensor {
        let q = split(linear(x, weight: toQueries.matrix))  // [rows, h, d]
        let y: Tensor
        if isDecoder {
            y = concatenate(spans.indices.map { attend(q.part(0, spans[$0]), states[$0].attentions[place]) })
        } else {
            let (k, v) = keysAndValues(x)
            y = append(q, k, v, spans, &states, place)
        }
        let flat = y.reshaped([x.shape[0], heads.count * options.dimension])
        return output(toOut.count == 2 ? toOut[0](flat) : flat, residual: residual, .inference)
    }

    /// Attention to embeddings. q: [rows, h, d]
    private func attend(_ q: Tensor, _ state: AttentionState) -> Tensor {
        guard case .embeddings(let keys, let values) = state else {
            fatalError("MHAttention: no embeddings to attend to")
        }
        return group.attend(q.unsqueezed(0), keys, values, .inference).squeezed(0)
    }

    private func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ spans: [Range<Int>], _ states: inout [LinformerState], _ place: Int
    ) -> Tensor {
        if options.usesFullAttention {
            var rings = states.indices.map { states[$0].takeRing(place) }
            defer { for index in rings.indices { states[index].attentions[place] = .keys(rings[index].taken()) } }
            return KeyValueRing.attend(q, k, v, spans, &rings, WindowAttentionOptions(allTokens, scale: options.scale))
        }
        return concatenate(
            spans.indices.map { index in
                var memory = states[index].takeSlots(place)
                defer { states[index].attentions[place] = .slots(memory) }
                return append(
                    q.part(0, spans[index]), k.part(0, spans[index]), v.part(0, spans[index]),
                    from: states[index].position, to: &memory)
            })
    }

    /// Tokens of one sequence. q, k, v: [m, h, d] → [m, h, d]
    private func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, from position: Int, to memory: inout BoundedMemory
    ) -> Tensor {
        func entering(_ x: Tensor, _ projections: [SequenceProjection]) -> Tensor {
            group.entering(x.unsqueezed(0), projections, from: position).squeezed(0)
        }
        let positions = position..<position + q.shape[0]
        return memory.append(
            q, entering(k, group.keyProjections), entering(v, group.valueProjections),
            e: group.steps(group.keyProjections, positions), f: group.steps(group.valueProjections, positions),
            scale: options.scale)
    }
}

extension LinformerState {
    /// Moves a layer's state out, so that it has one owner and may be written in place.
    fileprivate mutating func takeSlots(_ place: Int) -> BoundedMemory {
        guard case .slots(let memory) = attentions[place] else { fatalError("LinformerState: no slots at \(place)") }
        attentions[place] = .embeddings(.zeros([0]), .zeros([0]))
        return memory
    }

    fileprivate mutating func takeRing(_ place: Int) -> KeyValueRing {
        guard case .keys(var ring) = attentions[place] else { fatalError("LinformerState: no keys at \(place)") }
        attentions[place] = .embeddings(.zeros([0]), .zeros([0]))
        return ring.taken()
    }
}
