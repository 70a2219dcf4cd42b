import NN
import Tensors

// Reading a sequence token by token. A layer remembers its fast weights, h dk d floats whatever the position, which a token
// reads and writes once (with attention normalization it copies them as well); with softmax the keys and values so far.
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
        let dk = configuration.features
        return .weights(
            FastWeights(
                memory: .zeros([1, h, dk, d]), keySum: configuration.normalizesAttention ? .zeros([1, h, dk, 1]) : nil))
    }

    /// All tokens as one window.
    private var allTokens: WindowPattern { WindowPattern(window: .max / 4, isCausal: true, lookBackward: 0) }

    /// Adds the attention's output to x, [1, rows, m], whose rows spans[i] belong to the sequence of states[i].layers[place].
    func decode(
        _ x: Tensor, norm: LayerNorm?, spans: [Range<Int>], states: inout [FastWeightsState], at place: Int
    ) -> Tensor {
        let inputs = project(x, norm)
        let y: Tensor
        if configuration.featureMap == .softmax {
            y = attendToKeys(inputs, spans: spans, states: &states, at: place)
        } else if spans.count == x.shape[1] && !configuration.normalizesAttention {
            y = step(inputs, &states, place)
        } else {
            y = concatenate(
                spans.indices.map { index in
                    let weights = states[index].takeWeights(place)
                    let (y, after) = attend(inputs.rows(spans[index]), state: weights, .inference)
                    states[index].layers[place] = .weights(after!)
                    return y
                }, axis: 1)
        }
        return finish(y.reshaped(x.shape), residual: x, .inference)
    }

    /// Takes one token of each sequence: [1, sequences, h, d]. It changes memories in place, which `attend` must not.
    private func step(_ inputs: Inputs, _ states: inout [FastWeightsState], _ place: Int) -> Tensor {
        var memories = states.indices.map { states[$0].takeWeights(place).memory }
        let step = FastWeightStep(
            inputs.q, inputs.k, inputs.v, beta: inputs.beta!, rule: configuration.rule, features: features(.inference))
        let y = step.run(&memories)
        for (index, memory) in memories.enumerated() {
            states[index].layers[place] = .weights(FastWeights(memory: memory))
        }
        return y
    }

    /// Attends to the keys so far as well, which rings keep.
    private func attendToKeys(
        _ inputs: Inputs, spans: [Range<Int>], states: inout [FastWeightsState], at place: Int
    ) -> Tensor {
        var rings = states.indices.map { states[$0].takeRing(place) }
        defer { for index in rings.indices { states[index].layers[place] = .keys(rings[index].taken()) } }
        let options = WindowAttentionOptions(allTokens, scale: 1 / Float(configuration.headWidth).squareRoot())
        let (q, k, v) = (inputs.q.squeezed(0), inputs.k.squeezed(0), inputs.v.squeezed(0))
        return KeyValueRing.attend(q, k, v, spans, &rings, options)
    }
}

extension FastWeightsAttention.Inputs {
    /// The tokens of one sequence.
    fileprivate func rows(_ span: Range<Int>) -> Self {
        func take(_ x: Tensor) -> Tensor { x.sliced(1, from: span.lowerBound, to: span.upperBound) }
        return Self(q: take(q), k: take(k), v: take(v), beta: beta.map(take))
    }
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
