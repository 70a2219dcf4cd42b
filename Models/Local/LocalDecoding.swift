import NN
import Tensors

// LocalTransformer as a language model, and its decoding: a layer remembers the keys and values of the windows that the next token can see:
// 2 (1 + look_backward) W · h · d floats, whatever the position.

/// The memory of one sequence: a value, so a copy is a branch of the text.
public struct LocalState: Sendable {
    /// Tokens read so far.
    public internal(set) var position = 0
    /// One for each layer. Keys are rotated already.
    var rings: [KeyValueRing]
    /// The caller's global layers, nil before layers that have none.
    var global: [(any GlobalLayerState)?]
    /// The dynamic bias of the distances within reach, which the weights alone determine.
    let bias: WindowBias?
}

extension LocalTransformer {
    public var vocabularySize: Int { tokenEmbedding.weight.shape[0] }
    public var isCausal: Bool { configuration.pattern.isCausal }
    /// Each layer keeps what it reads.
    public var leastActivations: Int { configuration.depth.timesClamped(configuration.dimension) }
    public var maximumLength: Int? { configuration.maximumLength }
    public var maximumDecodingLength: Int? { nil }
    public var ignoreIndex: Int32 { configuration.ignoreIndex }

    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        self(tokens, mask: nil, mode: mode)
    }

    public func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions {
        predictions(tokens, mask: nil, mode: mode)
    }

    /// Makes the state of an empty sequence.
    public func startDecoding() -> LocalState {
        require(isCausal, "LocalTransformer.decode: the model is not causal")
        let attention = configuration.attention
        return withoutGradients {
            LocalState(
                rings: stack.layers.map { _ in
                    KeyValueRing(
                        configuration.pattern, heads: attention.heads, attention.headDimension, attention.headDimension)
                },
                global: stack.globalLayers.enumerated().map { index, layer in
                    guard let layer else { return nil }
                    guard let state = layer.branch.layer.startDecoding() else {
                        fatalError(
                            "LocalTransformer.decode: the global layer before layer \(index + 1) "
                                + "(\(type(of: layer.branch.layer))) cannot be run token by token")
                    }
                    return state
                },
                bias: stack.dynamicBias.map { $0(configuration.pattern, tokens: .max) })
        }
    }

    /// Chooses the learned position of a token. From max_seq_len on there is none: those of the second half repeat, where
    /// tokens have as much text before them as they see in training.
    func learnedPosition(_ position: Int) -> Int {
        let (count, half) = (configuration.maximumLength, configuration.maximumLength / 2)
        return position < count ? position : half + (position - count) % (count - half)
    }

    /// Appends tokens to each of several sequences; see `LanguageModel`. A text may be longer than max_seq_len: windows and
    /// distances continue, and `learnedPosition` chooses a token's embedding.
    public func decode(_ tokens: [[Int32]], states: inout [LocalState]) -> Tensor {
        let rows = RaggedRows(tokens, states: states.count, "LocalTransformer")
        return withoutGradients {
            let positions = zip(tokens, states).flatMap { sequence, state in
                (0..<sequence.count).map { state.position + $0 }
            }
            let x =
                tokenEmbedding(rows.tokens)
                + positionEmbedding(TokenTensor(positions.map { Int32(learnedPosition($0)) }))  // [rows, d]
            let y = stack.decode(x, spans: rows.spans, positions: positions, states: &states)
            for index in states.indices { states[index].position += tokens[index].count }
            return toLogits(rows.last(y), after: finalNorm)
        }
    }
}

extension LocalTransformerStack {
    /// Appends rows to sequences. Unlike the forward pass it has no batch axis: the sequences' lengths differ.
    ///
    /// x: [rows, m], the rows of sequence i in spans[i], at `positions`. Returns [rows, m].
    func decode(_ x: Tensor, spans: [Range<Int>], positions: [Int], states: inout [LocalState]) -> Tensor {
        let bias = states.first?.bias
        var streams = ResidualStreams(x, streams: configuration.residualStreams)
        for (index, layer) in layers.enumerated() {
            if let global = globalLayers[index] {
                streams = global(streams) { input, residual in
                    let outputs = spans.indices.map { sequence in
                        let rows = input.sliced(0, from: spans[sequence].lowerBound, to: spans[sequence].upperBound)
                        return states[sequence].global[index]!.append(rows)
                    }
                    let output = concatenate(outputs)
                    return residual.map { output + $0 } ?? output
                }
            }
            var rings = states.indices.map { states[$0].rings[index].taken() }
            streams = layer.attention(streams) {
                layer.attention.branch.decode(
                    $0, spans: spans, positions: positions, rings: &rings, bias: bias, residual: $1)
            }
            for sequence in states.indices { states[sequence].rings[index] = rings[sequence].taken() }
            streams = layer.feedForward(streams) { layer.feedForward.branch($0, residual: $1) }
        }
        return streams.reduced()
    }
}

extension LocalMHA {
    /// Appends rows to sequences, as `callAsFunction` but for the attention: keys and values come from each sequence's ring.
    ///
    /// x: [rows, m], the rows of sequence i in spans[i], at `positions`. Returns [rows, m], plus `residual`.
    func decode(
        _ x: Tensor, spans: [Range<Int>], positions: [Int], rings: inout [KeyValueRing], bias: WindowBias?,
        residual: Tensor?
    ) -> Tensor {
        let window = options.attention.windowSize
        let (qkv, gates) = projected(x)
        let (q, k, v) = heads(qkv)  // [rows, h, d]
        let (queries, keys) = attention.positioned(
            q.unsqueezed(0), k.unsqueezed(0), positions, headsFirst: false, window: window)
        let rules = attention.rules(options.headDimension, window: window, bias: bias)
        let o = KeyValueRing.attend(
            queries.squeezed(0), keys.squeezed(0), v, spans: spans, rings: &rings, options: rules
        )
        .reshaped([x.shape[0], options.heads * options.headDimension])
        return output(o, gates, residual: residual)
    }
}
