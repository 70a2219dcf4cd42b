import NN
import Tensors

// The construction of a model: which parameters there are, which are shared, and what they begin as.

// MARK: E and F

/// A matrix E or F that makes k keys or values of n (2006.04768, section 4, equation 7): K̄ = E K.
///
/// - Parameters:
///   - inputSize: n.
///   - slots: k.
///   - method: with a convolution there are n / ⌊n / k⌋ slots, rounded down, which may be more than k.
///   - headDimension: the columns of a head, which a convolution mixes.
///   - bias: whether a learnable matrix has one.
///   - key: the source of the initial values.
public func getEF(
    inputSize: Int, slots: Int, method: ProjectionMethod = .learnable, headDimension: Int? = nil, bias: Bool = true,
    key: RandomKey
) -> SequenceProjection {
    switch method {
    case .learnable:
        let deviation = (2 / Float(inputSize + slots)).squareRoot()
        let bound = 1 / Float(inputSize).squareRoot()
        return SequenceProjection(
            .learnable, slots: slots,
            Parameter(.normal([slots, inputSize], standardDeviation: deviation, key: key.child(0))),
            bias ? Parameter(.uniform([slots], low: -bound, high: bound, key: key.child(1))) : nil)
    case .convolution:
        guard let d = headDimension else { fatalError("getEF: a convolution needs the columns of a head") }
        let step = inputSize / slots
        require(step > 0, "getEF: \(slots) slots of \(inputSize) tokens; a convolution needs at least a token for each")
        let bound = 1 / Float(d * step).squareRoot()
        return SequenceProjection(
            .convolution, slots: inputSize / step,
            Parameter(.uniform([d, d, step], low: -bound, high: bound, key: key.child(0))),
            Parameter(.uniform([d], low: -bound, high: bound, key: key.child(1))))
    case .noParameters:
        let values = Tensor.normal([inputSize, slots], standardDeviation: 1 / Float(slots), key: key)
        return SequenceProjection(.noParameters, slots: slots, Parameter(values, .frozen), nil)
    }
}

extension LinformerConfiguration {
    /// Makes an E or F of the length of the input, or for a decoder's cross-attention of the embeddings.
    func makeProjection(slots: Int, isDecoder: Bool, key: RandomKey) -> SequenceProjection {
        let projection = getEF(
            inputSize: longest(isDecoder: isDecoder), slots: slots, method: method, headDimension: headWidth, key: key)
        return projectionStart == .turns && !isDecoder ? projection.startingInTurns() : projection
    }
}

extension SequenceProjection {
    /// Returns `ProjectionStart.turns`, made of Xavier's numbers; what is not learnable stays as it is.
    func startingInTurns() -> SequenceProjection {
        guard method == .learnable, !Outline.isActive else { return self }
        let (k, n) = (weight.shape[0], weight.shape[1])
        let turns = concatenate([Tensor](repeating: .identity(k), count: (n + k - 1) / k), axis: 1).sliced(1, to: n)
        weight.assign(weight.value * 0.1 + turns)
        return self
    }
}

// MARK: Layers

extension LinformerConfiguration {
    /// Makes what all layers share: an E for their own input and one for a decoder's embeddings, the same where both are as long.
    func sharedProjections(key: RandomKey) -> (own: SequenceProjection, cross: SequenceProjection)? {
        guard sharing == .layerwise && !isUnlimited else { return nil }
        let own = makeProjection(slots: slots, isDecoder: false, key: key.child(0))
        if longest(isDecoder: true) == inputSize { return (own, own) }
        return (own, makeProjection(slots: slots, isDecoder: true, key: key.child(1)))
    }
}

extension MHAttention {
    /// A layer of `Linformer`.
    /// - Parameters:
    ///   - configuration: heads, widths, dropout, projections.
    ///   - channels: m; nil for the configuration's.
    ///   - slots: k; nil for the configuration's.
    ///   - shared: E of all layers (parameter_sharing layerwise), made here if nil.
    ///   - isDecoder: attends to `embeddings` instead of its input.
    ///   - key: the source of the initial parameters.
    public init(
        _ configuration: LinformerConfiguration, channels: Int? = nil, slots: Int? = nil,
        shared: SequenceProjection? = nil, isDecoder: Bool = false, key: RandomKey
    ) {
        self.init(
            configuration, channels: channels, slots: slots, shared: shared, isDecoder: isDecoder,
            causalHeads: configuration.causalHeads(layer: 0, shared: nil, key: key.child(5)), key: key)
    }

    /// - Parameter causalHeads: the heads of a form with parameters of its own, which has no E and F.
    init(
        _ configuration: LinformerConfiguration, channels: Int?, slots: Int?, shared: SequenceProjection?,
        isDecoder: Bool, causalHeads: (any CausalHeads)?, key: RandomKey
    ) {
        let (h, d, m) = (configuration.heads, configuration.headWidth, channels ?? configuration.channels)
        let context = isDecoder ? configuration.contextChannels ?? m : m
        let projections =
            causalHeads == nil
            ? configuration.projections(
                slots: slots ?? configuration.slots, shared: shared, isDecoder: isDecoder, key: key.child(0)) : []
        self.causalHeads = causalHeads
        heads = projections.map { LinearAttentionHead(configuration, $0.e, $0.f, isDecoder: isDecoder) }
        attention = ProjectedAttention(configuration, isDecoder: isDecoder, projections)
        func matrices(_ width: Int, _ part: Int) -> PackedParameters {
            PackedParameters(
                (0..<h).map { Linear(width, d, bias: false, key: key.child(part).child($0)).weight.value },
                isMatrix: true)
        }
        (toQueries, toKeys, toValues) = (matrices(m, 1), matrices(context, 2), matrices(context, 3))
        let widths = [d * h] + (configuration.outputIntermediate.map { [$0] } ?? []) + [m]
        toOut = zip(widths, widths.dropFirst()).enumerated().map { Linear($1.0, $1.1, key: key.child(4).child($0)) }
        (self.configuration, self.isDecoder, self.channels) = (configuration, isDecoder, m)
    }
}

extension LinformerLayer {
    /// - Parameters:
    ///   - index: from 0.
    ///   - shared: E of all layers and, where it is another, that of all cross-attentions.
    ///   - segments: the projection of segments of all layers, if they share it.
    init(
        _ configuration: LinformerConfiguration, index: Int,
        shared: (own: SequenceProjection, cross: SequenceProjection)?, segments: SegmentWeights?, key: RandomKey
    ) {
        let (input, output) = configuration.widths(layer: index)
        let isFirst = configuration.normalizesFirst
        func attention(_ shared: SequenceProjection?, isDecoder: Bool, _ key: RandomKey) -> Sublayer<MHAttention> {
            let branch = MHAttention(
                configuration, channels: input, slots: configuration.slots(layer: index), shared: shared,
                isDecoder: isDecoder,
                causalHeads: configuration.causalHeads(layer: index, shared: segments, key: key.child(5)), key: key)
            return Sublayer(branch, input, input, normalizesFirst: isFirst, key: key)
        }
        func feedForward(_ input: Int, _ output: Int, _ key: RandomKey) -> Sublayer<FeedForward>? {
            guard configuration.includesFeedForward else { return nil }
            let branch = FeedForward(
                input, output, hidden: configuration.feedForwardDimension, activation: configuration.activation,
                isGated: configuration.gatesFeedForward, dropout: configuration.feedForwardDropout, key: key.child(0))
            return Sublayer(branch, input, output, normalizesFirst: isFirst, key: key.child(1))
        }
        self.attention = attention(shared?.own, isDecoder: false, key.child(0))
        self.feedForward = feedForward(input, output, key.child(1))
        crossAttention = configuration.isDecoder ? attention(shared?.cross, isDecoder: true, key.child(2)) : nil
        crossFeedForward = configuration.isDecoder ? feedForward(input, output, key.child(3)) : nil
    }
}

extension LinformerConfiguration {
    /// Makes E and F of each head of a layer, the shared ones being the same (section 4, "parameter sharing").
    func projections(
        slots: Int, shared: SequenceProjection?, isDecoder: Bool, key: RandomKey
    ) -> [(e: SequenceProjection, f: SequenceProjection)] {
        func make(_ index: Int) -> SequenceProjection {
            makeProjection(slots: slots, isDecoder: isDecoder, key: key.child(index))
        }
        switch sharing {
        case .layerwise:
            let one = shared.map { $0.method == .convolution ? $0 : $0.reduced(to: slots) } ?? make(0)
            return (0..<heads).map { _ in (one, one) }
        case .kv:
            let one = make(0)
            return (0..<heads).map { _ in (one, one) }
        case .headwise:
            let (e, f) = (make(0), make(1))
            return (0..<heads).map { _ in (e, f) }
        case .none: return (0..<heads).map { (make(2 * $0), make(2 * $0 + 1)) }
        }
    }
}
