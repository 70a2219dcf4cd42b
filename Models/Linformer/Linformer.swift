import NN
import Tensors

// Linformer: attention to k slots, which are sums over the sequence, in place of n keys and values. Linformer: Self-Attention
// with Linear Complexity, Wang et al. 2020, https://arxiv.org/abs/2006.04768. Its causal form: ABC: Attention with
// Bounded-memory Control, Peng et al. 2021, https://arxiv.org/abs/2110.02488. Layers, state-dict keys and numbers are those of
// linformer-pytorch 0.19.3.
//
// b batch, n tokens, m channels, h heads, d columns of a head, k slots

// MARK: Operations, each in two forms (the fused ones are in Fused/; the causal one is in CausalAttention.swift)

/// Projects tokens to slots: E x of each sequence (2006.04768, equation 7). e: [k, n]; x: [b, n, c] → [b, k, c]
func projectTokens(_ e: Tensor, _ x: Tensor, implementation: Implementation = .fused) -> Tensor {
    require(
        e.rank == 2 && x.rank == 3 && e.shape[1] == x.shape[1],
        "projectTokens: \(e.shape) for x \(x.shape); expected [k, \(x.rank == 3 ? x.shape[1] : 0)]")
    switch implementation {
    case .plain: return matrixProduct(e, x)
    case .fused: return fusedProjectTokens(e, x)
    }
}

/// Attends to keys and values, projected ones or all: dropout(softmax(σ Q K̄ᵀ)) V̄ (equation 7).
/// - Parameters:
///   - q: [b, n, h, d].
///   - k, v: [b, k, h, d].
///   - isCausal: hides key j from the queries before j.
///   - mask: 1 for keys that are seen, 0 for hidden ones, [b, k].
/// - Returns: [b, n, h, d].
func softmaxAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, isCausal: Bool, mask: Tensor? = nil, dropout: Double = 0,
    key: RandomKey? = nil, implementation: Implementation
) -> Tensor {
    switch implementation {
    case .plain:
        plainAttention(q, k, v, scale: scale, isCausal: isCausal, mask: mask, dropout: dropout, key: key)
    case .fused:
        attention(q, k, v, scale: scale, isCausal: isCausal, mask: mask, dropout: dropout, key: key)
    }
}

// MARK: Attention

/// The attention of a layer's heads: P̄ = softmax(Q (E K)ᵀ / √d), head = P̄ (F V) (equation 7).
struct ProjectedAttention: Sendable {
    let configuration: LinformerConfiguration
    let causality: LinformerCausality
    let e: HeadProjections, f: HeadProjections

    init(
        _ configuration: LinformerConfiguration, isDecoder: Bool,
        _ heads: [(e: SequenceProjection, f: SequenceProjection)]
    ) {
        self.configuration = configuration
        causality = configuration.causality(inCrossAttention: isDecoder)
        (e, f) = (HeadProjections(heads.map(\.e)), HeadProjections(heads.map(\.f)))
    }

    var scale: Float { 1 / Float(configuration.headWidth).squareRoot() }
    /// True where slots grow token by token.
    var isRecurrent: Bool { causality == .causal && !configuration.usesFullAttention }

    /// q: [b, n, h, d]; k, v: [b, n', h, d]; mask: 1 for keys and values that take part, [b, n'] → [b, n, h, d].
    func callAsFunction(_ q: Tensor, _ k: Tensor, _ v: Tensor, mask: Tensor?, mode: ForwardMode) -> Tensor {
        let seen = mask.map { $0.unsqueezed(-1).unsqueezed(-1) }
        let (k, v) = (seen.map { k * $0 } ?? k, seen.map { v * $0 } ?? v)
        if isRecurrent { return recurrent(q, k, v, mode: mode) }
        if configuration.usesFullAttention {
            return attend(q, k, v, mask: configuration.hidesMaskedKeys ? mask : nil, mode: mode)
        }
        let form = mode.implementation
        return attend(q, e(k, implementation: form), f(v, implementation: form), mode: mode)
    }

    /// Attends to slots [b, k, h, d], or to all keys. The compatible mask hides slot j from the positions before j.
    func attend(_ q: Tensor, _ k: Tensor, _ v: Tensor, mask: Tensor? = nil, mode: ForwardMode) -> Tensor {
        let isCausal = causality != .bidirectional
        mode.recorder?.record(attentionWeights(q, k, scale: scale, isCausal: isCausal, mask: mask))
        return softmaxAttention(
            q, k, v, scale: scale, isCausal: isCausal, mask: mask, dropout: configuration.dropout, key: mode.key,
            implementation: mode.implementation)
    }

    private func recurrent(_ q: Tensor, _ k: Tensor, _ v: Tensor, mode: ForwardMode) -> Tensor {
        let (d, positions) = (configuration.headWidth, 0..<q.shape[1])
        let (k, v) = (e.entering(k), f.entering(v))
        let (columns, initialKeys) = (e.columns(positions), e.initialSlots(columns: d))
        mode.recorder?.record(
            boundedMemoryWeights(
                q, k, columns, initialKeys: initialKeys, scale: scale, implementation: mode.implementation))
        return boundedMemoryAttention(
            q, k, v, e: columns, f: isShared ? nil : f.columns(positions), initialKeys: initialKeys,
            initialValues: f.initialSlots(columns: d), scale: scale, dropout: configuration.dropout, key: mode.key,
            implementation: mode.implementation)
    }

    /// True where E is F.
    private var isShared: Bool {
        e.each.count == f.each.count && zip(e.each, f.each).allSatisfy { $0.weight === $1.weight }
    }
}

/// Projections to queries, keys and values, the heads, and the projection back.
///
/// Keys: heads.i.{E, F}.* (repeated where shared), to_q.i.weight, to_k.i.weight, to_v.i.weight [d, m]; w_o.* or w_o_1.*,
/// w_o_2.*.
public struct MHAttention: Module {
    /// The configuration of the stack it is part of.
    public let configuration: LinformerConfiguration
    /// The projections E and F of each head, the shared ones repeated.
    public let heads: [LinearAttentionHead]
    /// to_q, to_k, to_v: one matrix [d, m] a head.
    public let toQueries: PackedParameters, toKeys: PackedParameters, toValues: PackedParameters
    /// w_o; or w_o_1 and w_o_2.
    public let toOut: [Linear]
    /// True where keys and values are made of `embeddings`.
    public let isDecoder: Bool
    let attention: ProjectedAttention
    /// The heads of a causal form that has parameters of its own in place of E and F.
    let causalHeads: (any CausalHeads)?
    /// m: the width of its input.
    let channels: Int

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
        let (context, mask) = (embeddings ?? x, isDecoder ? embeddingsMask : inputMask)
        check(x, isGiven: embeddings != nil, context, mask)
        let q = split(linear(x, weight: toQueries.matrix))  // [b, n, h, d]
        let y: Tensor
        if mode.implementation == .fused && compressesInput {
            let (k, v) = compressed(context, mask: mask)  // [b, k, h, d]
            y = attention.attend(q, k, v, mode: mode.child(0))
        } else {
            let (k, v) = keysAndValues(context)  // [b, n', h, d]
            y =
                causalHeads?(q, k, v, of: x, mask: mask, mode: mode.child(0))
                ?? attention(q, k, v, mask: mask, mode: mode.child(0))
        }
        return output(y, residual: residual, mode.child(1))
    }

    /// Keys and values of all tokens, before E and F. x: [..., m] → [..., h, d] each.
    func keysAndValues(_ x: Tensor) -> (keys: Tensor, values: Tensor) {
        (split(linear(x, weight: toKeys.matrix)), split(linear(x, weight: toValues.matrix)))
    }

    /// [..., h d] → [..., h, d]
    func split(_ x: Tensor) -> Tensor {
        x.reshaped(x.shape.dropLast() + [configuration.heads, configuration.headWidth])
    }

    /// dropout(W_o y + b_o) + residual, of heads side by side. y: [..., h, d] → [..., m]
    func output(_ y: Tensor, residual: Tensor?, _ mode: ForwardMode) -> Tensor {
        let joined = y.reshaped(y.shape.dropLast(2) + [toOut[0].weight.shape[1]])
        let last = toOut[toOut.count - 1]
        return last(
            toOut.count == 2 ? toOut[0](joined) : joined, residual: residual, dropout: configuration.dropout, mode: mode
        )
    }

    public func collect(into state: inout StateCollector) {
        state.add("heads", heads)
        for (name, matrices) in [("to_q", toQueries), ("to_k", toKeys), ("to_v", toValues)] {
            for (head, weight) in matrices.parts.enumerated() { state.add("\(name).\(head).weight", weight) }
        }
        causalHeads?.collect(into: &state)
        for (name, layer) in zip(toOut.count == 1 ? ["w_o"] : ["w_o_1", "w_o_2"], toOut) { state.add(name, layer) }
    }
}

// MARK: Layers

/// Attention to the layer's input and a feed-forward; in a decoder then attention to the embeddings and another feed-forward.
public struct LinformerLayer: Sendable {
    /// Attention to the layer's input.
    public let attention: Sublayer<MHAttention>
    /// The feed-forward after it; nil without one.
    public let feedForward: Sublayer<FeedForward>?
    /// A decoder's attention to the embeddings, else nil.
    public let crossAttention: Sublayer<MHAttention>?
    /// The feed-forward after that, else nil.
    public let crossFeedForward: Sublayer<FeedForward>?

    /// The sub-layers in the order of the data, as the state dict numbers them.
    var parts: [any Module] {
        let all: [(any Module)?] = [attention, feedForward, crossAttention, crossFeedForward]
        return all.compactMap { $0 }
    }
}

/// The layers alone, for sequences of vectors.
///
/// Keys: seq.j.{fn, resample, norm}.*, j counting attentions and feed-forwards through; norm.* with pre_norm.
public struct Linformer: Module {
    /// The configuration it was made with.
    public let configuration: LinformerConfiguration
    /// The layers in the order of the data.
    public let layers: [LinformerLayer]
    /// The norm after the last layer with pre_norm, else nil.
    public let norm: LayerNorm?

    /// - Parameter key: the source of the initial parameters.
    public init(_ configuration: LinformerConfiguration, key: RandomKey) {
        configuration.requirePossible("Linformer")
        self.configuration = configuration
        let (shared, segments) = (configuration.sharedProjections(key: key), configuration.sharedSegments(key: key))
        layers = (0..<configuration.depth).map {
            LinformerLayer(
                configuration, index: $0, shared: shared, segments: segments, key: key.child(2).child($0))
        }
        norm = configuration.normalizesFirst ? LayerNorm(configuration.channels) : nil
    }

    /// - Parameters:
    ///   - x: [b, n, m], n up to input_size where the causality has a longest sequence.
    ///   - embeddings: what a decoder attends to, [b, n', m'].
    ///   - inputMask: 1 for the tokens of `x` that take part, 0 for padding: [b, n].
    ///   - embeddingsMask: the same for `embeddings`, [b, n'].
    /// - Returns: [b, n, m].
    public func callAsFunction(
        _ x: Tensor, embeddings: Tensor? = nil, inputMask: Tensor? = nil, embeddingsMask: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> Tensor {
        checkInput(x, embeddings)
        return run(x, mode) { layer, x, mode in
            let attention = layer.branch
            let context = attention.isDecoder ? embeddings : nil
            return recomputed([x] + (context.map { [$0] } ?? [])) { inputs in
                attention(
                    inputs[0], after: layer.normBefore, embeddings: inputs.count > 1 ? inputs[1] : nil,
                    inputMask: inputMask,
                    embeddingsMask: embeddingsMask, residual: inputs[0], mode: mode)
            }
        }
    }

    /// Runs the layers: x ← norm(x + attention(x)), x ← norm(x + f(x)), in a decoder twice; with pre_norm
    /// x ← x + attention(norm(x)), x ← x + f(norm(x)).
    /// - Parameter attend: computes x + attention(x) or x + attention(norm(x)).
    func run(_ x: Tensor, _ mode: ForwardMode, attend: (Sublayer<MHAttention>, Tensor, ForwardMode) -> Tensor) -> Tensor
    {
        var x = x
        for (index, layer) in layers.enumerated() {
            let mode = mode.child(index)
            let own = attend(layer.attention, x, mode.child(0))
            x = feed(own, after: layer.attention, to: layer.feedForward, mode: mode.child(1))
            guard let cross = layer.crossAttention else { continue }
            let sum = attend(cross, x, mode.child(2).part("cross"))
            x = feed(sum, after: cross, to: layer.crossFeedForward, mode: mode.child(3))
        }
        return norm.map { $0(x) } ?? x
    }

    /// norm(x + f(x)) with x = the norm of `sum` that follows an attention; with pre_norm x + f(norm(x)) of the sum itself.
    private func feed(
        _ sum: Tensor, after attention: Sublayer<MHAttention>, to feedForward: Sublayer<FeedForward>?, mode: ForwardMode
    ) -> Tensor {
        if attention.normalizesFirst {
            return feedForward.map { layer in recomputed([sum]) { layer($0[0], mode: mode) } } ?? sum
        }
        guard let feedForward else { return attention.norm(sum) }
        return recomputed([sum]) { feedForward($0[0], after: attention.norm, mode: mode) }
    }

    /// Computes `body`, again in backward where checkpoint_level says so.
    private func recomputed(_ inputs: [Tensor], _ body: @escaping @Sendable ([Tensor]) -> Tensor) -> Tensor {
        configuration.checkpointLevel == .none ? body(inputs) : checkpointed(inputs, body)
    }

    public func collect(into state: inout StateCollector) {
        state.add("seq", layers.flatMap(\.parts))
        if let norm { state.add("norm", norm) }
    }
}
