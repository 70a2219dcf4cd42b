import NN
import Tensors

// Reading a sequence token by token. A layer remembers its fast weights, h dk d floats whatever the position, which a token
// reads and writes once (with attention normalization it copies them as well), and the last tokens that a convolution reads;
// with softmax the keys and values so far.
//
// b batch, m model width, h heads, d columns of a head, dk features of keys and queries

/// The memory of one layer for one sequence.
enum FastWeightsLayerState: Sendable {
    case weights(FastWeights)
    case keys(KeyValueRing)
}

/// The memory of a model for one sequence: a value, so a copy is a branch of the text.
public struct FastWeightsState: Sendable {
    /// Tokens read so far.
    public internal(set) var position = 0
    var layers: [FastWeightsLayerState]
}

extension FastWeightsLM {
    public func startDecoding() -> FastWeightsState {
        FastWeightsState(layers: transformer.layers.map { $0.attention.startDecoding() })
    }

    /// Appends tokens to each of several sequences; see `LanguageModel`.
    public func decode(_ tokens: [[Int32]], states: inout [FastWeightsState]) -> Tensor {
        let rows = RaggedRows(tokens, states: states.count, "FastWeightsLM")
        return withoutGradients {
            let positions = zip(tokens, states).flatMap { sequence, state in
                (0..<sequence.count).map { state.position + $0 }
            }
            var x = embed(rows.tokens, positions: positions).unsqueezed(0)  // [1, rows, m], as of one sequence
            let layers = transformer.layers
            for place in layers.indices {
                x = layers[place].attention.decode(
                    x, norm: layers[place].norm, spans: rows.spans, states: &states, at: place)
                x = layers[place].feed(x, .inference)
            }
            for index in states.indices { states[index].position += tokens[index].count }
            return logits(rows.last(x.squeezed(0)))
        }
    }
}

extension FastWeightsAttention {
    func startDecoding() -> FastWeightsLayerState {
        let (h, d) = (configuration.heads, configuration.headWidth)
        if configuration.featureMap == .softmax { return .keys(KeyValueRing(allTokens, heads: h, d, d)) }
        let (dk, before) = (configuration.features, configuration.history)
        return .weights(
            FastWeights(
                memory: .zeros([1, h, dk, d]), keySum: configuration.normalizesAttention ? .zeros([1, h, dk, 1]) : nil,
                history: before > 0 ? .zeros([1, before, 3 * configuration.width]) : nil))
    }

    /// All tokens as one window.
    private var allTokens: WindowPattern { WindowPattern(window: .max / 4, isCausal: true, lookBackward: 0) }

    /// Adds the attention's output to x, [1, rows, m], whose rows spans[i] belong to the sequence of states[i].layers[place].
    func decode(
        _ x: Tensor, norm: (any NormLayer)?, spans: [Range<Int>], states: inout [FastWeightsState], at place: Int
    ) -> Tensor {
        let tokens = project(x, norm)
        let y: Tensor
        if configuration.featureMap == .softmax {
            y = attendToKeys(mix(tokens.qkv, after: nil, .fused).inputs, spans: spans, states: &states, at: place)
        } else if spans.count == x.shape[1] && !configuration.normalizesAttention {
            y = step(tokens, &states, place)
        } else {
            y = concatenate(
                spans.indices.map { index in
                    let weights = states[index].takeWeights(place)
                    var (y, after) = attend(tokens.rows(spans[index]), state: weights, .inference)
                    after!.history = after!.history?.alone
                    states[index].layers[place] = .weights(after!)
                    return y
                }, axis: 1)
        }
        return finish(y, gate: tokens.gate, residual: x, .inference)
    }

    /// Takes one token of each sequence, [1, sequences, …] → [1, sequences, h, d]. It changes memories in place, which
    /// `attend` must not.
    private func step(_ tokens: ProjectedTokens, _ states: inout [FastWeightsState], _ place: Int) -> Tensor {
        var (memories, histories) = ([Tensor](), [Tensor]())
        for index in states.indices {
            let weights = states[index].takeWeights(place)
            memories.append(weights.memory)
            if let history = weights.history { histories.append(history) }
        }
        // To the convolution each sequence is a row of a batch: [1, sequences, 3 m] and back.
        let before = histories.isEmpty ? nil : concatenate(histories)
        let (inputs, history) = mix(tokens.qkv.transposed(0, 1), after: before, .fused)
        let step = FastWeightStep(
            inputs.q.transposed(0, 1), inputs.k.transposed(0, 1), inputs.v.transposed(0, 1), beta: tokens.beta!,
            logDecay: tokens.logDecay, rule: configuration.rule, features: features(.inference))
        let y = step.run(&memories)
        for (index, memory) in memories.enumerated() {
            let last = history?.sliced(0, from: index, to: index + 1)
            states[index].layers[place] = .weights(FastWeights(memory: memory, history: last?.alone))
        }
        return y
    }

    /// Attends to the keys so far as well, which rings keep.
    private func attendToKeys(
        _ inputs: MemoryInputs, spans: [Range<Int>], states: inout [FastWeightsState], at place: Int
    ) -> Tensor {
        var rings = states.indices.map { states[$0].takeRing(place) }
        defer { for index in rings.indices { states[index].layers[place] = .keys(rings[index].taken()) } }
        let options = WindowAttentionOptions(allTokens, scale: 1 / Float(configuration.headWidth).squareRoot())
        let (q, k, v) = (inputs.q.squeezed(0), inputs.k.squeezed(0), inputs.v.squeezed(0))
        return KeyValueRing.attend(q, k, v, spans: spans, rings: &rings, options: options).reshaped(inputs.q.shape)
    }
}

extension Tensor {
    /// The same values without gradient, in memory that holds nothing else.
    var alone: Tensor { heldBytes > 4 * count ? Tensor(values, shape: shape) : detached() }
}

extension FastWeights {
    /// A placeholder for a memory that was taken.
    fileprivate static var none: FastWeights { FastWeights(memory: .zeros([0])) }
}

extension FastWeightsState {
    /// Moves a layer's memory out, so that it has one owner and may be written in place.
    fileprivate mutating func takeWeights(_ place: Int) -> FastWeights {
        guard case .weights(let weights) = layers[place] else {
            fatalError("FastWeightsState: no fast weights at \(place)")
        }
        layers[place] = .weights(.none)
        return weights
    }

    fileprivate mutating func takeRing(_ place: Int) -> KeyValueRing {
        guard case .keys(var ring) = layers[place] else { fatalError("FastWeightsState: no keys at \(place)") }
        layers[place] = .weights(.none)
        return ring.taken()
    }
}
