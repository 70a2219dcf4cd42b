import NN
import Tensors

// Multi-head attention with projected keys and values.
//
// b batch, n tokens, m channels, h heads, d columns of a head, k slots

/// Projections to queries, keys and values, the heads, and the projection back.
///
/// Keys: heads.i.{E, F}.* (repeated where shared), to_q.i.weight, to_k.i.weight, to_v.i.weight [d, m]; w_o.* or w_o_1.*,
/// w_o_2.*.
public struct MHAttention: Module {
    public let heads: [LinearAttentionHead]
    /// to_q, to_k, to_v: one matrix [d, m] a head.
    public let toQueries: PackedParameters
    public let toKeys: PackedParameters
    public let toValues: PackedParameters
    /// w_o; or w_o_1 and w_o_2.
    public let toOut: [Linear]
    /// Whether keys and values are made of `embeddings`.
    public let isDecoder: Bool
    /// Of the output.
    public let dropout: Double
    let group: HeadGroup
    private let channels: Int
    /// The longest sequence.
    let inputSize: Int

    /// A layer of `Linformer`.
    /// - Parameters:
    ///   - configuration: heads, widths, dropout, projections.
    ///   - channels: m; nil for the configuration's.
    ///   - slots: k; nil for the configuration's.
    ///   - shared: E of all layers (parameter_sharing layerwise), made here if nil.
    ///   - isDecoder: attends to `embeddings` instead of its input.
    ///   - key: what the initial parameters are drawn from.
    public init(
        _ configuration: LinformerConfiguration, channels: Int? = nil, slots: Int? = nil,
        shared: SequenceProjection? = nil, isDecoder: Bool = false, key: RandomKey
    ) {
        let (h, d, m) = (configuration.heads, configuration.headWidth, channels ?? configuration.channels)
        let context = isDecoder ? configuration.contextChannels ?? m : m
        var options = HeadOptions(dimension: d)
        options.dropout = configuration.dropout
        options.causality = configuration.causality(inCrossAttention: isDecoder)
        options.usesFullAttention = configuration.usesFullAttention
        options.hidesMaskedKeys = configuration.hidesMaskedKeys
        let projections = configuration.projections(
            slots: slots ?? configuration.slots, shared: shared, isDecoder: isDecoder, key: key.child(0))
        heads = projections.map { LinearAttentionHead(options, $0.keys, $0.values) }
        group = HeadGroup(options, heads)
        func matrices(_ width: Int, _ part: Int) -> PackedParameters {
            PackedParameters(
                (0..<h).map { Linear(width, d, bias: false, key: key.child(part).child($0)).weight.value },
                isMatrix: true)
        }
        (toQueries, toKeys, toValues) = (matrices(m, 1), matrices(context, 2), matrices(context, 3))
        let widths = [d * h] + (configuration.outputIntermediate.map { [$0] } ?? []) + [m]
        toOut = zip(widths, widths.dropFirst()).enumerated().map { Linear($1.0, $1.1, key: key.child(4).child($0)) }
        self.isDecoder = isDecoder
        dropout = configuration.dropout
        self.channels = m
        inputSize = isDecoder ? configuration.contextSize ?? configuration.inputSize : configuration.inputSize
    }

    /// - Parameters:
    ///   - x: [b, n, m].
    ///   - embeddings: what a decoder attends to, [b, n', m'].
    ///   - inputMask: 1 for the tokens of `x` that take part as keys and values, else 0: [b, n]. Of a decoder's no effect.
    ///   - embeddingsMask: the same for `embeddings`, [b, n'].
    ///   - residual: [b, n, m], added to the output.
    /// - Returns: [b, n, m].
    public func callAsFunction(
        _ x: Tensor, embeddings: Tensor? = nil, inputMask: Tensor? = nil, embeddingsMask: Tensor? = nil,
        residual: Tensor? = nil, mode: ForwardMode = .inference
    ) -> Tensor {
        require(x.rank == 3 && x.shape[2] == channels, "MHAttention: x \(x.shape), expected [b, n, \(channels)]")
        require(
            (embeddings != nil) == isDecoder,
            "MHAttention: \(isDecoder ? "a decoder needs embeddings" : "embeddings are for a decoder")")
        let context = embeddings ?? x
        let mask = isDecoder ? embeddingsMask : inputMask
        checkLengths(x, context, mask)
        var y = attend(x, context, mask, mode.child(0))
        if toOut.count == 2 { y = toOut[0](y) }
        return output(y, residual: residual, mode.child(1))
    }

    /// The last projection, its dropout and the residual.
    func output(_ y: Tensor, residual: Tensor?, _ mode: ForwardMode) -> Tensor {
        let last = toOut[toOut.count - 1]
        guard let residual else { return Tensors.dropout(last(y), probability: Float(dropout), key: mode.key) }
        if dropout == 0 || mode.key == nil { return last(y, residual: residual) }
        return residual + Tensors.dropout(last(y), probability: Float(dropout), key: mode.key)
    }

    private func checkLengths(_ x: Tensor, _ context: Tensor, _ mask: Tensor?) {
        require(
            context.rank == 3 && context.shape[0] == x.shape[0] && context.shape[2] == toKeys.parts[0].shape[1],
            "MHAttention: embeddings \(context.shape), expected [\(x.shape[0]), n, \(toKeys.parts[0].shape[1])]")
        require(
            context.shape[1] <= inputSize,
            "MHAttention: \(context.shape[1]) tokens to attend to; expected at most the \(inputSize) of E and F")
        require(
            mask == nil || mask!.shape == Array(context.shape.prefix(2)),
            "MHAttention: mask \(mask?.shape ?? []), expected \(Array(context.shape.prefix(2)))")
    }

    /// The heads' outputs side by side, [b, n, h d].
    private func attend(_ x: Tensor, _ context: Tensor, _ mask: Tensor?, _ mode: ForwardMode) -> Tensor {
        let q = split(linear(x, weight: toQueries.matrix))
        let y: Tensor
        if compressesInput && mode.implementation == .fused {
            let (k, v) = compressed(context, mask)
            y = group.attend(q, k, v, mode)
        } else {
            let (k, v) = keysAndValues(context)
            y = group(q, k, v, inputMask: mask, mode: mode)
        }
        return y.reshaped([x.shape[0], x.shape[1], heads.count * group.options.dimension])
    }

    /// Of all tokens, before E and F. x: [..., m] → [..., h, d] each.
    func keysAndValues(_ x: Tensor) -> (keys: Tensor, values: Tensor) {
        (split(linear(x, weight: toKeys.matrix)), split(linear(x, weight: toValues.matrix)))
    }

    /// What every query attends to: keys and values through E and F, if there are any. x: [b, n, m] → [b, k, h, d] each.
    func attended(_ x: Tensor) -> (keys: Tensor, values: Tensor) {
        if compressesInput { return compressed(x, nil) }
        let (keys, values) = keysAndValues(x)
        if group.options.usesFullAttention { return (keys, values) }
        return (group.project(keys, group.keyProjections), group.project(values, group.valueProjections))
    }

    /// [..., h d] → [..., h, d]
    func split(_ x: Tensor) -> Tensor { x.reshaped(x.shape.dropLast() + [heads.count, group.options.dimension]) }

    /// Whether E and F can be applied to the input instead of the keys and values, E (X W) = (E X) W: then n keys and values
    /// are never made.
    private var compressesInput: Bool {
        !group.options.usesFullAttention && !group.options.isRecurrent && group.keyProjections.count == 1
            && group.valueProjections.count == 1 && heads[0].keyProjection.method != .convolution
    }

    /// The projected keys and values of x [b, n, m]: [b, k, h, d] each.
    func compressed(_ x: Tensor, _ mask: Tensor?) -> (keys: Tensor, values: Tensor) {
        let seen = mask.map { x * $0.unsqueezed(-1) } ?? x
        let (e, f) = (group.keyProjections[0], group.valueProjections[0])
        let ex = projectTokens(e.matrix(0..<x.shape[1]), seen)  // [b, k, m]
        let fx = e.weight === f.weight ? ex : projectTokens(f.matrix(0..<x.shape[1]), seen)
        /// E (X W) + b 1ᵀ: the bias is a slot's.
        func finish(_ y: Tensor, _ weight: PackedParameters, _ projection: SequenceProjection) -> Tensor {
            let product = linear(y, weight: weight.matrix)
            guard let bias = projection.bias else { return split(product) }
            return split(product + bias.value.part(0, 0..<projection.slots).unsqueezed(-1))
        }
        return (finish(ex, toKeys, e), finish(fx, toValues, f))
    }

    public func collect(into state: inout StateCollector) {
        state.add("heads", heads)
        for (name, matrices) in [("to_q", toQueries), ("to_k", toKeys), ("to_v", toValues)] {
            for (head, weight) in matrices.parts.enumerated() { state.add("\(name).\(head).weight", weight) }
        }
        if toOut.count == 1 {
            state.add("w_o", toOut[0])
        } else {
            state.add("w_o_1", toOut[0])
            state.add("w_o_2", toOut[1])
        }
    }
}

extension LinformerConfiguration {
    /// What a layer's attention may see. linformer-pytorch masks a decoder's cross-attention, and not its self-attention.
    func causality(inCrossAttention isCross: Bool) -> LinformerCausality {
        switch causality {
        case .bidirectional: .bidirectional
        case .causal: isCross ? .bidirectional : .causal
        case .compatible: isCross || !isDecoder ? .compatible : .bidirectional
        }
    }

    /// The projections of each head of a layer, those that are shared being the same.
    func projections(
        slots: Int, shared: SequenceProjection?, isDecoder: Bool, key: RandomKey
    ) -> [(keys: SequenceProjection, values: SequenceProjection)] {
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

    /// An E or F of the length of the input, or for a decoder's cross-attention of the embeddings.
    func makeProjection(slots: Int, isDecoder: Bool, key: RandomKey) -> SequenceProjection {
        let projection = getEF(
            inputSize: isDecoder ? contextSize ?? inputSize : inputSize, slots: slots, method: method,
            headDimension: headWidth, key: key)
        return projectionStart == .turns && !isDecoder ? projection.startingInTurns() : projection
    }
}
