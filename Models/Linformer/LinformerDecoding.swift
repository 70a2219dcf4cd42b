import NN
import Tensors

// Reading a sequence token by token. An attention layer remembers its slots, 2 k d floats a head, whatever the position;
// with full attention the keys and values so far; of embeddings their projected keys and values.

/// An attention layer's memory of one sequence.
enum AttentionState: Sendable {
    case slots(BoundedMemory)
    case keys(KeyValueRing)
    /// Keys and values of embeddings, [1, k, h, d] each.
    case embeddings(Tensor, Tensor)
    /// The memory of a form with heads of its own (`CausalHeads.Memory`).
    case memory(any Sendable)
}

/// A model's memory of one sequence: a value, so a copy is a branch of the text.
public struct LinformerState: Sendable {
    /// Tokens read so far.
    public internal(set) var position = 0
    /// The memories of the attention layers, in the order of the data.
    var attentions: [AttentionState]
}

extension LinformerLM: LanguageModel {
    public typealias Carry = NoCarry

    public var vocabularySize: Int { configuration.tokens }
    public var isCausal: Bool { configuration.stack.isCausal }
    /// Each layer keeps what it reads.
    public var leastActivations: Int { configuration.stack.depth.timesClamped(configuration.stack.channels) }
    /// input_size, where E and F end; nil for forms without them.
    public var maximumLength: Int? { configuration.stack.isUnlimited ? nil : configuration.stack.inputSize }

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
                state.position + sequence.count <= maximumLength ?? .max,
                "LinformerLM.decode: \(sequence.count) tokens after \(state.position), but input_size is "
                    + "\(configuration.stack.inputSize)")
        }
        return withoutGradients {
            let positions = zip(tokens, states).flatMap { sequence, state in
                (0..<sequence.count).map { Float(state.position + $0) }
            }
            let x = enter(embed(rows.tokens, positions: Tensor(positions)))  // [rows, m]
            let y = linformer.decode(x, spans: rows.spans, &states)
            for index in states.indices { states[index].position += tokens[index].count }
            return predictions(of: leave(rows.last(y))).logits
        }
    }
}

extension Linformer {
    /// Appends rows to sequences: the layers of the forward pass with attentions that remember.
    /// - Parameters:
    ///   - x: [rows, m].
    ///   - spans: the rows of each sequence.
    /// - Returns: [rows, m].
    func decode(_ x: Tensor, spans: [Range<Int>], _ states: inout [LinformerState]) -> Tensor {
        var place = 0
        return run(x, .inference) { layer, x, _ in
            defer { place += 1 }
            return layer.branch.decode(x, after: layer.normBefore, spans: spans, states: &states, place: place)
        }
    }
}

// The difference from the forward pass, which projects all tokens at once: a layer's own slots grow by the tokens that are
// appended, of each sequence from its own position on, and are written in place. Projections of rows, the attention to
// embeddings and the output are the forward's.
extension MHAttention {
    /// All tokens as one window.
    private var allTokens: WindowPattern {
        WindowPattern(window: configuration.longest(isDecoder: isDecoder), isCausal: true, lookBackward: 0)
    }

    func startDecoding() -> AttentionState {
        let (h, d) = (configuration.heads, configuration.headWidth)
        if let causalHeads { return .memory(causalHeads.startDecoding()) }
        if configuration.usesFullAttention { return .keys(KeyValueRing(allTokens, heads: h, d, d)) }
        func slots(_ projections: HeadProjections) -> Tensor {
            let slots = projections.initialSlots(columns: d)
            return slots.expanded(to: [h] + slots.shape.suffix(2))
        }
        return .slots(BoundedMemory(keys: slots(attention.e), values: slots(attention.f)))
    }

    /// The projected keys and values of embeddings [1, n', m'].
    func state(of embeddings: Tensor) -> AttentionState {
        if compressesInput {
            let (keys, values) = compressed(embeddings)
            return .embeddings(keys, values)
        }
        let (keys, values) = keysAndValues(embeddings)
        if configuration.usesFullAttention { return .embeddings(keys, values) }
        return .embeddings(attention.e(keys), attention.f(values))
    }

    /// Appends rows, normalized before that, and adds what they attend to. The rows of sequence i are spans[i], its state is
    /// states[i].attentions[place]. x: [rows, m] → [rows, m]
    func decode(
        _ x: Tensor, after norm: LayerNorm?, spans: [Range<Int>], states: inout [LinformerState], place: Int
    ) -> Tensor {
        let y: Tensor
        if let causalHeads {
            y = append(x, after: norm, to: causalHeads, spans: spans, states: &states, place: place)
        } else {
            y = attend(norm.map { $0(x) } ?? x, spans: spans, states: &states, place: place)
        }
        return output(y, residual: x, .inference)
    }

    /// Appends rows to what the layer remembers, and attends. x: [rows, m] → [rows, h, d]
    private func attend(
        _ x: Tensor, spans: [Range<Int>], states: inout [LinformerState], place: Int
    ) -> Tensor {
        let q = split(linear(x, weight: toQueries.matrix))  // [rows, h, d]
        if isDecoder {
            return concatenate(spans.indices.map { attend(q.part(0, spans[$0]), states[$0].attentions[place]) })
        }
        let (k, v) = keysAndValues(x)
        return configuration.usesFullAttention
            ? appendToRings(q, k, v, spans: spans, states: &states, place: place)
            : appendToSlots(q, k, v, spans: spans, states: &states, place: place)
    }

    /// Attends to embeddings. q: [rows, h, d] → the same shape
    private func attend(_ q: Tensor, _ state: AttentionState) -> Tensor {
        guard case .embeddings(let keys, let values) = state else {
            fatalError("MHAttention: no embeddings to attend to")
        }
        return attention.attend(q.unsqueezed(0), keys, values, mode: .inference).squeezed(0)
    }

    /// Appends rows to the memories of heads of their own, and attends. x: [rows, m] → [rows, h, d]
    private func append<Heads: CausalHeads>(
        _ x: Tensor, after norm: LayerNorm?, to heads: Heads, spans: [Range<Int>], states: inout [LinformerState],
        place: Int
    ) -> Tensor {
        var memories = states.indices.map { states[$0].takeMemory(place, of: heads) }
        defer { for index in memories.indices { states[index].attentions[place] = .memory(memories[index]) } }
        if let norm {
            let (q, k, v, others) = projections(x, after: norm, heads)
            return heads.append(q, k, v, projected: others, spans: spans, to: &memories)
        }
        let (k, v) = keysAndValues(x)
        return heads.append(
            split(linear(x, weight: toQueries.matrix)), k, v, of: x, spans: spans, to: &memories)
    }

    /// Appends keys and values to those so far, and attends to them. q, k, v: [rows, h, d] → the same shape
    private func appendToRings(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, spans: [Range<Int>], states: inout [LinformerState], place: Int
    ) -> Tensor {
        var rings = states.indices.map { states[$0].takeRing(place) }
        defer { for index in rings.indices { states[index].attentions[place] = .keys(rings[index].taken()) } }
        return KeyValueRing.attend(
            q, k, v, spans: spans, rings: &rings, options: WindowAttentionOptions(allTokens, scale: attention.scale))
    }

    /// Adds tokens to the slots of their sequences, and attends to them. q, k, v: [rows, h, d] → the same shape
    private func appendToSlots(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, spans: [Range<Int>], states: inout [LinformerState], place: Int
    ) -> Tensor {
        let (e, f) = (attention.e, attention.f)
        return concatenate(
            spans.indices.map { index in
                var memory = states[index].takeSlots(place)
                defer { states[index].attentions[place] = .slots(memory) }
                let (rows, position) = (spans[index], states[index].position)
                func entering(_ x: Tensor, _ projections: HeadProjections) -> Tensor {
                    projections.entering(x.part(0, rows).unsqueezed(0), from: position).squeezed(0)
                }
                let positions = position..<position + rows.count
                return memory.append(
                    q.part(0, rows), entering(k, e), entering(v, f), e: e.columns(positions), f: f.columns(positions),
                    scale: attention.scale)
            })
    }
}

extension LinformerState {
    /// Moves a layer's state out, so that it has one owner and may be written in place.
    fileprivate mutating func takeSlots(_ place: Int) -> BoundedMemory {
        guard case .slots(let memory) = attentions[place] else { fatalError("LinformerState: no slots at \(place)") }
        attentions[place] = .embeddings(.zeros([0]), .zeros([0]))
        return memory
    }

    fileprivate mutating func takeMemory<Heads: CausalHeads>(_ place: Int, of heads: Heads) -> Heads.Memory {
        guard case .memory(let memory as Heads.Memory) = attentions[place] else {
            fatalError("LinformerState: no \(Heads.Memory.self) at \(place)")
        }
        attentions[place] = .embeddings(.zeros([0]), .zeros([0]))
        return memory
    }

    fileprivate mutating func takeRing(_ place: Int) -> KeyValueRing {
        guard case .keys(var ring) = attentions[place] else { fatalError("LinformerState: no keys at \(place)") }
        attentions[place] = .embeddings(.zeros([0]), .zeros([0]))
        return ring.taken()
    }
}
