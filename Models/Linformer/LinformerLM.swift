import NN
import Tensors

// b batch, n tokens, m channels

/// A language model of Linformer: embeddings of tokens and positions, the layers, logits.
///
/// Keys: to_token_emb.weight; pos_emb.inv_freq; linformer.seq.*, or with an emb_dim of its own linformer.fn.seq.*,
/// linformer.project_in.*, linformer.project_out.*; to_logits.*.
public struct LinformerLM: Module {
    /// The configuration it was made with.
    public let configuration: LinformerLMConfiguration
    /// The embeddings of tokens, [vocabulary, emb_dim].
    public let tokenEmbedding: Embedding
    /// The embeddings of positions, of width emb_dim.
    public let positions: PositionalEmbedding
    /// The layers, of width m.
    public let linformer: Linformer
    /// The projection from emb_dim to m, where they differ, else nil.
    public let projectIn: Linear?
    /// The projection from m back to emb_dim, where they differ, else nil.
    public let projectOut: Linear?
    /// nil with return_emb.
    public let toLogits: Linear?

    /// - Parameter key: the source of the initial parameters.
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
    ///   - tokens: [b, n], n up to `maximumLength`.
    ///   - embeddings: what a decoder attends to, [b, n', m'].
    ///   - inputMask: 1 for tokens that take part, 0 for padding: [b, n].
    ///   - embeddingsMask: the same for `embeddings`, [b, n'].
    /// - Returns: logits [b, n, vocabulary], or with return_emb [b, n, emb_dim].
    public func callAsFunction(
        _ tokens: TokenTensor, embeddings: Tensor? = nil, inputMask: Tensor? = nil, embeddingsMask: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> Tensor {
        let z = features(
            tokens, embeddings: embeddings, inputMask: inputMask, embeddingsMask: embeddingsMask, mode: mode)
        return predictions(of: z).logits
    }

    public func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions {
        predictions(of: features(tokens, mode: mode))
    }

    /// The predictions of rows [..., emb_dim]; with return_emb these stand for the logits.
    func predictions(of z: Tensor) -> Predictions {
        toLogits.map { Predictions(z, projection: $0) } ?? Predictions(logits: z)
    }

    /// The rows that logits are made of, [b, n, emb_dim]; parameters as above.
    func features(
        _ tokens: TokenTensor, embeddings: Tensor? = nil, inputMask: Tensor? = nil, embeddingsMask: Tensor? = nil,
        mode: ForwardMode
    ) -> Tensor {
        require(tokens.shape.count == 2, "LinformerLM: tokens \(tokens.shape), expected [b, n]")
        let x = dropout(
            embed(tokens, positions: .range(tokens.shape[1])), probability: Float(configuration.tokenDropout),
            key: mode.child(0).key)
        let y = linformer(
            enter(x), embeddings: embeddings, inputMask: inputMask, embeddingsMask: embeddingsMask, mode: mode.child(1))
        return leave(y)
    }

    /// tokens: [..., n], their positions [n] → [..., n, emb_dim].
    func embed(_ tokens: TokenTensor, positions: Tensor) -> Tensor {
        let x = tokenEmbedding(tokens)
        return configuration.usesPositions ? x + self.positions(positions) : x
    }

    /// [..., emb_dim] → [..., channels]
    func enter(_ x: Tensor) -> Tensor { projectIn.map { $0(x) } ?? x }

    /// [..., channels] → [..., emb_dim]
    func leave(_ y: Tensor) -> Tensor { projectOut.map { $0(y) } ?? y }

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
