import Foundation
import NN
import Tensors

/// Sines and cosines of the positions (1706.03762, section 3.5, with base 100,000): [sin, cos], not interleaved.
///
/// Key: inv_freq [⌈d / 2⌉].
public struct PositionalEmbedding: Module {
    public let inverseFrequencies: Parameter
    private let dimension: Int

    public init(_ dimension: Int) {
        let values = (0..<(dimension + 1) / 2).map { index in
            1 / Float(pow(100_000, Double(2 * index) / Double(dimension)))
        }
        inverseFrequencies = Parameter(Tensor(values), .computed)
        self.dimension = dimension
    }

    /// Of positions, [n, d]; of an odd d the last cosine is left out.
    public func callAsFunction(_ positions: Tensor) -> Tensor {
        let angles = positions.unsqueezed(-1) * inverseFrequencies.value
        return concatenate([sin(angles), cos(angles)], axis: 1).part(1, 0..<dimension)
    }

    public func collect(into state: inout StateCollector) { state.add("inv_freq", inverseFrequencies) }
}

/// A language model of Linformer: embeddings of tokens and positions, the layers, logits.
///
/// Keys: to_token_emb.weight; pos_emb.inv_freq; linformer.seq.*, or with an emb_dim of its own linformer.fn.seq.*,
/// linformer.project_in.*, linformer.project_out.*; to_logits.*.
public struct LinformerLM: Module {
    public let configuration: LinformerLMConfiguration
    public let tokenEmbedding: Embedding
    public let positions: PositionalEmbedding
    public let linformer: Linformer
    public let projectIn: Linear?
    public let projectOut: Linear?
    /// nil with return_emb.
    public let toLogits: Linear?

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ configuration: LinformerLMConfiguration, key: RandomKey) {
        let (width, channels) = (configuration.embeddingWidth, configuration.stack.channels)
        self.configuration = configuration
        tokenEmbedding = Embedding(configuration.tokens, width, key: key.child(0))
        positions = PositionalEmbedding(width)
        linformer = Linformer(configuration.stack, key: key.child(1))
        projectIn = width == channels ? nil : Linear(width, channels, key: key.child(2))
        projectOut = width == channels ? nil : Linear(channels, width, key: key.child(3))
        toLogits = configuration.returnsEmbeddings ? nil : Linear(width, configuration.tokens, key: key.child(4))
    }

    /// - Parameters:
    ///   - tokens: [b, n], n up to input_size.
    ///   - embeddings: what a decoder attends to, [b, n', m'].
    ///   - inputMask: 1 for tokens that take part, 0 for padding: [b, n].
    ///   - embeddingsMask: the same for `embeddings`, [b, n'].
    /// - Returns: logits [b, n, vocabulary], or with return_emb [b, n, emb_dim].
    public func callAsFunction(
        _ tokens: TokenTensor, embeddings: Tensor? = nil, inputMask: Tensor? = nil, embeddingsMask: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> Tensor {
        predictions(
            tokens, embeddings: embeddings, inputMask: inputMask, embeddingsMask: embeddingsMask, mode: mode
        ).logits
    }

    private func predictions(
        _ tokens: TokenTensor, embeddings: Tensor?, inputMask: Tensor?, embeddingsMask: Tensor?, mode: ForwardMode
    ) -> Predictions {
        require(tokens.shape.count == 2, "LinformerLM: tokens \(tokens.shape), expected [b, n]")
        let x = dropout(
            embed(tokens, positions: Tensor.range(tokens.shape[1])), probability: Float(configuration.tokenDropout),
            key: mode.child(0).key)
        let y = linformer(
            enter(x), embeddings: embeddings, inputMask: inputMask, embeddingsMask: embeddingsMask, mode: mode.child(1))
        return predictions(y)
    }

    public func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions {
        predictions(tokens, embeddings: nil, inputMask: nil, embeddingsMask: nil, mode: mode)
    }

    /// tokens: [..., n], their positions [n] → [..., n, emb_dim].
    func embed(_ tokens: TokenTensor, positions: Tensor) -> Tensor {
        let x = tokenEmbedding(tokens)
        return configuration.usesPositions ? x + self.positions(positions) : x
    }

    /// [..., emb_dim] → [..., channels]
    func enter(_ x: Tensor) -> Tensor { projectIn.map { $0(x) } ?? x }

    /// [..., channels] → [..., vocabulary or emb_dim]
    func logits(_ y: Tensor) -> Tensor { predictions(y).logits }

    /// Of the layers' output [..., channels]; with return_emb that stands for the logits.
    private func predictions(_ y: Tensor) -> Predictions {
        let z = projectOut.map { $0(y) } ?? y
        return toLogits.map { Predictions(z, projection: $0) } ?? Predictions(logits: z)
    }

    public func collect(into state: inout StateCollector) {
        state.add("to_token_emb", tokenEmbedding)
        state.add("pos_emb", positions)
        if let projectIn, let projectOut {
            state.add("linformer.fn", linformer)
            state.add("linformer.project_in", projectIn)
            state.add("linformer.project_out", projectOut)
        } else {
            state.add("linformer", linformer)
        }
        if let toLogits { state.add("to_logits", toLogits) }
    }
}
