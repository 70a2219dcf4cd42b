import NN
import Tensors

// Decoding with an encoder: the source is gathered, encoded once when the start token comes, and from then on only the
// decoder reads.

/// An encoder–decoder's memory of one sequence: a value, so a copy is a branch of the text.
public struct LinformerEncDecState: Sendable {
    /// The source so far.
    var source: [Int32] = []
    /// nil before the start token.
    var decoder: LinformerState?
}

extension LinformerEncDec {
    public func startDecoding() -> LinformerEncDecState { LinformerEncDecState() }

    /// The state of a decoder that has read nothing yet.
    public func startDecoding(source: [Int32]) -> LinformerState {
        withoutGradients {
            decoder.startDecoding(embeddings: encoder(TokenTensor(source, shape: [1, source.count])))
        }
    }

    /// Appends tokens to each of several sequences; see `LanguageModel`. The logits of a sequence that has not come to the
    /// start token are zeros.
    public func decode(_ tokens: [[Int32]], states: inout [LinformerEncDecState]) -> Tensor {
        require(
            tokens.count == states.count && tokens.allSatisfy { !$0.isEmpty },
            "LinformerEncDec.decode: \(tokens.count) sequences for \(states.count) states, each of at least one token")
        guard let start = configuration.startToken else {
            fatalError("LinformerEncDec.decode: one sequence of tokens needs a start_token between source and target")
        }
        var (rows, targets, decoders) = ([Int](), [[Int32]](), [LinformerState]())
        for index in tokens.indices {
            var rest = tokens[index][...]
            if states[index].decoder == nil {
                states[index].source += rest.prefix { $0 != start }
                rest = rest.drop { $0 != start }
                if rest.isEmpty { continue }
                states[index].decoder = startDecoding(source: states[index].source)
            }
            rows.append(index)
            targets.append(Array(rest))
            decoders.append(states[index].decoder!)
            states[index].decoder = nil  // one owner, so that it may be written in place
        }
        guard !rows.isEmpty else { return .zeros([tokens.count, vocabularySize]) }
        let logits = decoder.decode(targets, states: &decoders)
        for (row, state) in zip(rows, decoders) { states[row].decoder = state }
        if rows.count == tokens.count { return logits }
        let places = Dictionary(uniqueKeysWithValues: zip(rows, rows.indices))
        return concatenate(
            tokens.indices.map { places[$0].map { logits.part(0, $0..<$0 + 1) } ?? .zeros([1, vocabularySize]) })
    }

    /// The likeliest continuation of each source, token by token.
    /// - Parameters:
    ///   - length: tokens to write, at most.
    ///   - endToken: ends a row, and is left out.
    public func generate(_ sources: [[Int32]], length: Int, endToken: Int32? = nil) -> [[Int32]] {
        guard let start = configuration.startToken else {
            fatalError("LinformerEncDec.generate: needs a start_token")
        }
        return sources.map { source in
            var states = [startDecoding(source: source)]
            var (written, next) = ([Int32](), Int32(start))
            for _ in 0..<length {
                next = decoder.decode([[next]], states: &states).argmax().values[0]
                if next == endToken { break }
                written.append(next)
            }
            return written
        }
    }
}
