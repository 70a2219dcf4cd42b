import NN
import Tensors

// Reading a sequence token by token. A layer remembers the keys and values of all tokens read, and a token attends to all of
// them: memory and the time of a token grow with the position, 2 h d floats and 4 h d operations a layer for each token
// before. That is what the other architectures avoid.

/// A model's memory of one sequence: a value, so a copy is a branch of the text.
public struct TransformerState: Sendable {
    /// Tokens read so far.
    public internal(set) var position = 0
    /// One for each layer. Keys are rotated already.
    var layers: [KeyValueRing]

    /// Memory held; it grows by doubling.
    public var bytes: Int { layers.reduce(0) { $0 + $1.bytes } }
}

extension Transformer {
    /// A single window that no text is long enough to leave.
    static let pattern = WindowPattern(window: 1 << 40, isCausal: true, lookBackward: 0)

    public func startDecoding() -> TransformerState {
        let (h, d) = (configuration.heads, configuration.headDimension)
        return TransformerState(layers: layers.map { _ in KeyValueRing(Self.pattern, heads: h, d, d) })
    }

    /// Appends tokens to each of several sequences; see `LanguageModel`. Unlike most, a token costs more the more there are
    /// before it. There is no longest sequence.
    public func decode(_ tokens: [[Int32]], states: inout [TransformerState]) -> Tensor {
        let rows = RaggedRows(tokens, states: states.count, "Transformer")
        return withoutGradients {
            let positions = zip(tokens, states).flatMap { sequence, state in
                (0..<sequence.count).map { state.position + $0 }
            }
            let rotation = rotary.table(positions)
            var x = tokenEmbedding(rows.tokens).unsqueezed(0)  // [1, rows, m]
            for (index, layer) in layers.enumerated() {
                var rings = states.indices.map { states[$0].layers[index].taken() }
                x = layer.attention.decode(x, rotation, spans: rows.spans, rings: &rings)
                for sequence in states.indices { states[sequence].layers[index] = rings[sequence].taken() }
                x = layer.feedForward(x, residual: x)
            }
            for index in states.indices { states[index].position += tokens[index].count }
            return logits(rows.last(x.squeezed(0)))  // [sequences, vocabulary]
        }
    }
}

extension TransformerAttention {
    /// x: [1, rows, m], the rows of sequence i in spans[i] → [1, rows, m], x included.
    func decode(
        _ x: Tensor, _ rotation: RotaryTable, spans: [Range<Int>], rings: inout [KeyValueRing]
    ) -> Tensor {
        let (q, k, v) = project(x, rotation, .inference)
        let rules = WindowAttentionOptions(Transformer.pattern, scale: scale)
        let heads = KeyValueRing.attend(
            q.squeezed(0), k.squeezed(0), v.squeezed(0), spans: spans, rings: &rings, options: rules)
        return finish(heads.unsqueezed(0), residual: x)
    }
}
