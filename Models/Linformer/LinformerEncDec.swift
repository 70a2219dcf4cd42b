import NN
import Tensors

/// An encoder that sees all of its tokens, and a decoder that attends to its own tokens so far and to the encoder's
/// output. Keys: encoder.*, decoder.*.
public struct LinformerEncDec: Module {
    /// The configuration it was made with.
    public let configuration: LinformerEncDecConfiguration
    /// The reader of the source.
    public let encoder: LinformerLM
    /// The reader and predictor of the target.
    public let decoder: LinformerLM

    /// - Parameter key: the source of the initial parameters.
    public init(_ configuration: LinformerEncDecConfiguration, key: RandomKey) {
        self.configuration = configuration
        encoder = LinformerLM(configuration.encoder, key: key.child(0))
        decoder = LinformerLM(configuration.decoder, key: key.child(1))
    }

    /// - Parameters:
    ///   - source: what the encoder reads, [b, n'].
    ///   - target: what the decoder reads, [b, n]; the source if nil.
    ///   - sourceMask: 1 for tokens of the source that take part, 0 for padding: [b, n'].
    ///   - targetMask: the same for the target, [b, n].
    /// - Returns: logits [b, n, vocabulary of the decoder].
    public func callAsFunction(
        _ source: TokenTensor, _ target: TokenTensor? = nil, sourceMask: Tensor? = nil, targetMask: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> Tensor {
        predictions(of: target ?? source, source: source, sourceMask: sourceMask, targetMask: targetMask, mode: mode)
            .logits
    }

    /// Predicts what follows each of the target's tokens, without storing logits; parameters as above.
    public func predictions(
        of target: TokenTensor, source: TokenTensor, sourceMask: Tensor? = nil, targetMask: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> Predictions {
        decoder.predictions(
            of: features(of: target, source: source, sourceMask: sourceMask, targetMask: targetMask, mode: mode))
    }

    /// The rows that the decoder's logits are made of, [b, n, emb_dim]; parameters as above.
    private func features(
        of target: TokenTensor, source: TokenTensor, sourceMask: Tensor? = nil, targetMask: Tensor? = nil,
        mode: ForwardMode
    ) -> Tensor {
        let embeddings = encoder(source, inputMask: sourceMask, mode: mode.child(0).part("Encoder"))  // [b, n', m']
        return decoder.features(
            target, embeddings: embeddings, inputMask: targetMask, embeddingsMask: sourceMask,
            mode: mode.child(1).part("Decoder"))
    }

    public func collect(into state: inout StateCollector) {
        state.add("encoder", encoder)
        state.add("decoder", decoder)
    }
}

// As a model of one sequence of tokens: source, start token, target.

extension LinformerEncDec: LanguageModel {
    public var vocabularySize: Int { configuration.decoder.tokens }
    public var isCausal: Bool { configuration.decoder.stack.isCausal }
    public var startToken: Int32? { configuration.startToken.map { Int32($0) } }
    public var causalityProblem: String? { configuration.decoder.stack.causalityProblem }
    /// The longest row whose halves, source and target, both fit.
    public var maximumLength: Int? {
        2 * min(configuration.encoder.stack.inputSize, configuration.decoder.stack.inputSize)
    }
    /// The longest source and the longest target together.
    public var maximumDecodingLength: Int? {
        configuration.encoder.stack.inputSize + configuration.decoder.stack.inputSize
    }
    public var maximumSourceLength: Int? { configuration.encoder.stack.inputSize }

    /// Logits of what the target's tokens predict. tokens: [b, n], in each row the source, the start token and the target →
    /// [b, n, vocabulary], zeros for the source, which predicts nothing.
    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        predictions(tokens, mode: mode).logits
    }

    /// Predicts what follows each token of the targets, without storing logits. tokens: [b, n], as above.
    public func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions {
        require(tokens.shape.count == 2, "LinformerEncDec: tokens \(tokens.shape), expected [b, n]")
        let n = tokens.shape[1]
        let rows = (0..<tokens.shape[0]).map { Array(tokens.values[$0 * n..<($0 + 1) * n]) }
        let starts = rows.map(start)
        let features: [Tensor]
        if Set(starts).count > 1 {  // Sources of unequal lengths, row by row.
            features = rows.indices.map { self.features([rows[$0]], start: starts[$0], mode.child($0)) }
        } else {
            features = [self.features(rows, start: starts.first ?? 0, mode)]
        }
        let flat = features.map { $0.reshaped([$0.shape[0] * $0.shape[1], $0.shape[2]]) }
        return Predictions(
            decoder.predictions(of: concatenate(flat)),
            at: starts.enumerated().flatMap { row, start in (start..<n).map { row * n + $0 } }, of: tokens.shape)
    }

    /// Finds the start token, where a row's target begins.
    private func start(of row: [Int32]) -> Int {
        guard let token = configuration.startToken else {
            fatalError("LinformerEncDec: one sequence of tokens needs a start_token between source and target")
        }
        let place = row.firstIndex(of: Int32(token))
        require((place ?? 0) > 0, "LinformerEncDec: a row without a source and the start token \(token) after it")
        return place!
    }

    private func features(_ rows: [[Int32]], start: Int, _ mode: ForwardMode) -> Tensor {
        func part(_ range: (_ row: [Int32]) -> ArraySlice<Int32>) -> TokenTensor {
            let parts = rows.map { Array(range($0)) }
            return TokenTensor(parts.flatMap { $0 }, shape: [rows.count, parts.first?.count ?? 0])
        }
        return features(of: part { $0[start...] }, source: part { $0[..<start] }, mode: mode)
    }
}
