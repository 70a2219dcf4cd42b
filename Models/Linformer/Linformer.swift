import NN
import Tensors

// Linformer: Self-Attention with Linear Complexity (https://arxiv.org/abs/2006.04768).
//
// b batch, n tokens, m channels

/// A layer of a decoder attends to itself, then to the embeddings, each followed by a feed-forward; any other has the
/// first two.
public struct LinformerLayer: Sendable {
    public let attention: PostNorm<MHAttention>
    public let feedForward: PostNorm<FeedForward>?
    public let crossAttention: PostNorm<MHAttention>?
    public let crossFeedForward: PostNorm<FeedForward>?

    /// - Parameters:
    ///   - index: from 0.
    ///   - shared: E of all layers and, where it is another, that of all cross-attentions.
    init(
        _ configuration: LinformerConfiguration, index: Int,
        shared: (own: SequenceProjection, cross: SequenceProjection)?, key: RandomKey
    ) {
        let (input, output) = configuration.widths(layer: index)
        func attention(_ shared: SequenceProjection?, isDecoder: Bool, _ key: RandomKey) -> PostNorm<MHAttention> {
            let branch = MHAttention(
                configuration, channels: input, slots: configuration.slots(layer: index), shared: shared,
                isDecoder: isDecoder, key: key)
            return PostNorm(branch, input, input, key: key)
        }
        func feedForward(_ input: Int, _ output: Int, _ key: RandomKey) -> PostNorm<FeedForward>? {
            guard configuration.includesFeedForward else { return nil }
            let branch = FeedForward(
                input, output, hidden: configuration.feedForwardDimension, activation: configuration.activation,
                dropout: configuration.feedForwardDropout, key: key.child(0))
            return PostNorm(branch, input, output, key: key.child(1))
        }
        self.attention = attention(shared?.own, isDecoder: false, key.child(0))
        self.feedForward = feedForward(input, output, key.child(1))
        crossAttention =
            configuration.isDecoder ? attention(shared?.cross, isDecoder: true, key.child(2)) : nil
        crossFeedForward = configuration.isDecoder ? feedForward(input, output, key.child(3)) : nil
    }

    /// The sub-layers in the order of the data, as the state dict numbers them.
    var parts: [any Module] {
        let all: [(any Module)?] = [attention, feedForward, crossAttention, crossFeedForward]
        return all.compactMap { $0 }
    }
}

/// The layers alone, for sequences of vectors.
///
/// Keys: seq.j.{fn, resample, norm}.*, j counting attentions and feed-forwards through.
public struct Linformer: Module {
    public let configuration: LinformerConfiguration
    public let layers: [LinformerLayer]

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ configuration: LinformerConfiguration, key: RandomKey) {
        require(
            configuration.headDimension != nil || configuration.channels % configuration.heads == 0,
            "Linformer: \(configuration.channels) channels for \(configuration.heads) heads; expected a multiple, or dim_d"
        )
        require(
            configuration.intermediateChannels == nil
                || (configuration.includesFeedForward && !configuration.isDecoder),
            "Linformer: ff_intermediate needs feed-forward layers, and no decoder")
        var shared: (own: SequenceProjection, cross: SequenceProjection)?
        if configuration.sharing == .layerwise {
            let own = configuration.makeProjection(slots: configuration.slots, isDecoder: false, key: key.child(0))
            let isOneLength = (configuration.contextSize ?? configuration.inputSize) == configuration.inputSize
            let cross =
                isOneLength
                ? own : configuration.makeProjection(slots: configuration.slots, isDecoder: true, key: key.child(1))
            shared = (own, cross)
        }
        self.configuration = configuration
        layers = (0..<configuration.depth).map {
            LinformerLayer(configuration, index: $0, shared: shared, key: key.child(2).child($0))
        }
    }

    /// - Parameters:
    ///   - x: [b, n, m], n up to input_size.
    ///   - embeddings: what a decoder attends to, [b, n', m'].
    ///   - inputMask: 1 for the tokens of `x` that take part, 0 for padding: [b, n].
    ///   - embeddingsMask: the same for `embeddings`, [b, n'].
    /// - Returns: [b, n, m].
    public func callAsFunction(
        _ x: Tensor, embeddings: Tensor? = nil, inputMask: Tensor? = nil, embeddingsMask: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> Tensor {
        checkInput(x, embeddings)
        var x = NormedTensor(sum: x, norm: nil)
        for (index, layer) in layers.enumerated() {
            let mode = mode.child(index)
            x = attend(layer.attention, x, nil, inputMask, mode.child(0))
            x = feed(layer.feedForward, x, mode.child(1))
            guard let cross = layer.crossAttention else { continue }
            x = attend(cross, x, embeddings, embeddingsMask, mode.child(2).part("cross"))
            x = feed(layer.crossFeedForward, x, mode.child(3))
        }
        return x.value
    }

    private func checkInput(_ x: Tensor, _ embeddings: Tensor?) {
        require(
            x.rank == 3 && x.shape[2] == configuration.channels,
            "Linformer: x \(x.shape), expected [b, n, \(configuration.channels)]")
        require(
            x.shape[1] <= configuration.inputSize,
            "Linformer: \(x.shape[1]) tokens, but input_size is \(configuration.inputSize)")
        require(
            (embeddings != nil) == configuration.isDecoder,
            configuration.isDecoder
                ? "Linformer: a decoder needs embeddings" : "Linformer: embeddings need decoder_mode")
    }

    private func attend(
        _ layer: PostNorm<MHAttention>, _ x: NormedTensor, _ embeddings: Tensor?, _ mask: Tensor?, _ mode: ForwardMode
    ) -> NormedTensor {
        let inputs = [x.sum] + (embeddings.map { [$0] } ?? [])
        let sum = checkpointing(inputs) { [norm = x.norm] inputs in
            let value = NormedTensor(sum: inputs[0], norm: norm).value
            return layer.branch(
                value, embeddings: inputs.count > 1 ? inputs[1] : nil, inputMask: inputs.count > 1 ? nil : mask,
                embeddingsMask: inputs.count > 1 ? mask : nil, residual: value, mode: mode)
        }
        return NormedTensor(sum: sum, norm: layer.norm)
    }

    private func feed(_ layer: PostNorm<FeedForward>?, _ x: NormedTensor, _ mode: ForwardMode) -> NormedTensor {
        guard let layer else { return x }
        let sum = checkpointing([x.sum]) { [norm = x.norm] inputs in
            layer(NormedTensor(sum: inputs[0], norm: norm), mode: mode).sum
        }
        return NormedTensor(sum: sum, norm: layer.norm)
    }

    private func checkpointing(_ inputs: [Tensor], _ body: @escaping @Sendable ([Tensor]) -> Tensor) -> Tensor {
        configuration.checkpointLevel == .none ? body(inputs) : checkpointed(inputs, body)
    }

    public func collect(into state: inout StateCollector) { state.add("seq", layers.flatMap(\.parts)) }
}
