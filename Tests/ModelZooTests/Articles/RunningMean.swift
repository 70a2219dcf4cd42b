import NN
import Tensors

// A running mean over tokens. Paper: the link goes here.
//
// b batch, n tokens, d model

/// The options of `RunningMean`.
public struct RunningMeanConfiguration: ModelConfiguration {
    /// num_tokens: the vocabulary.
    public var tokens: Int
    /// dim: the width of the model, d.
    public var dimension: Int

    public init(tokens: Int, dimension: Int) { (self.tokens, self.dimension) = (tokens, dimension) }

    /// The keys of the JSON form: their properties, and what they accept.
    public static let schema = ConfigurationSchema(
        RunningMeanConfiguration(tokens: 0, dimension: 0),
        [
            .size("num_tokens", \.tokens, isRequired: true).role(.vocabulary),
            .size("dim", \.dimension, isRequired: true),
        ])
}

/// A language model of x + W mean over tokens up to this one of V norm(x).
///
/// Keys: token_emb.weight; norm.*; to_value.*; to_out.*; to_logits.*
public struct RunningMean: LanguageModel {
    public let configuration: RunningMeanConfiguration
    public let tokenEmbedding: Embedding
    public let norm: LayerNorm
    public let toValue: Linear
    public let toOut: Linear
    public let toLogits: Linear

    public var vocabularySize: Int { configuration.tokens }
    public var isCausal: Bool { true }

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ configuration: RunningMeanConfiguration, key: RandomKey) {
        let d = configuration.dimension
        self.configuration = configuration
        tokenEmbedding = Embedding(configuration.tokens, d, key: key.child(0))
        norm = LayerNorm(d)
        toValue = Linear(d, d, key: key.child(1))
        toOut = Linear(d, d, key: key.child(2))
        toLogits = Linear(d, configuration.tokens, key: key.child(3))
    }

    /// tokens: [b, n] → [b, n, vocabulary]
    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        require(tokens.shape.count == 2, "RunningMean: tokens \(tokens.shape), expected [b, n]")
        let n = tokens.shape[1]
        let x = tokenEmbedding(tokens)  // [b, n, d]
        let means = toValue(norm(x)).cumulativeSum(axis: 1) / (Tensor.range(n) + 1).reshaped([n, 1])
        return toLogits(toOut(means, residual: x))
    }

    public func collect(into state: inout StateCollector) {
        state.add("token_emb", tokenEmbedding)
        state.add("norm", norm)
        state.add("to_value", toValue)
        state.add("to_out", toOut)
        state.add("to_logits", toLogits)
    }
}

/// The memory of one sequence: a value, so a copy is a branch of the text.
public struct RunningMeanState: Sendable {
    /// Tokens read so far.
    public internal(set) var position = 0
    /// The sum of their values: [d]
    var sum: Tensor
}

extension RunningMean {
    public func startDecoding() -> RunningMeanState { RunningMeanState(sum: .zeros([configuration.dimension])) }

    public func decode(_ tokens: [[Int32]], states: inout [RunningMeanState]) -> Tensor {
        let rows = RaggedRows(tokens, states: states.count, "RunningMean")
        return withoutGradients {
            let x = tokenEmbedding(rows.tokens)  // [rows, d]
            let values = toValue(norm(x))
            var means: [Tensor] = []
            for (sequence, span) in rows.spans.enumerated() {
                let own = values.sliced(0, from: span.lowerBound, to: span.upperBound)
                let sums = own.cumulativeSum(axis: 0) + states[sequence].sum  // [m, d]
                let counts = Tensor.range(span.count) + Float(states[sequence].position + 1)
                means.append(sums / counts.reshaped([span.count, 1]))
                // A copy: a view would keep all m rows.
                states[sequence].sum = Tensor(sums.at(0, span.count - 1).values)
                states[sequence].position += span.count
            }
            return toLogits(rows.last(toOut(concatenate(means), residual: x)))  // [sequences, vocabulary]
        }
    }
}
