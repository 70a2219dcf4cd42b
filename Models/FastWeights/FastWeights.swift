import Foundation
import NN
import Tensors

// Fast weight programmers: attention whose keys and values are written to a matrix of fixed size that queries read. Linear
// Transformers Are Secretly Fast Weight Programmers (Schlag, Irie, Schmidhuber), https://arxiv.org/abs/2102.11174. Layers,
// state-dict keys and numbers are those of labml-nn 0.5.1, https://nn.labml.ai/transformers/fast_weights.
//
// b batch, n tokens, m model width, h heads, d columns of a head, dk features of keys and queries, dv columns of values
//
// Vectors are rows, so the fast weights are the paper's transposed: S = Wᵀ, [dk, dv] for each head.

// MARK: Feature maps (section 5)

/// φ, which makes features of queries and keys so that a memory of outer products can tell them apart.
public struct Features: Sendable {
    /// nil for rows as they are.
    public let map: FeatureMap?
    /// ν of DPFP.
    public let nu: Int
    /// W of FAVOR+, [d, m].
    public let directions: Tensor?
    /// ε of the sum by which features are divided (section 4.2); nil for no division.
    public let epsilon: Float?
    /// A function of each number, before the map; nil for none.
    public let activation: Activation?
    /// True where features are divided by their length at last (2406.06484, section 3.3).
    public let normalizesL2: Bool

    public init(
        _ map: FeatureMap?, nu: Int = 1, directions: Tensor? = nil, epsilon: Float? = nil,
        activation: Activation? = nil, normalizesL2: Bool = false
    ) {
        (self.map, self.nu, self.directions, self.epsilon) = (map, nu, directions, epsilon)
        (self.activation, self.normalizesL2) = (activation, normalizesL2)
    }

    /// Rows as they are.
    public static let identity = Features(nil)

    /// dk of rows of d columns.
    public func width(_ d: Int) -> Int { map?.width(d, nu: nu, directions: directions?.shape.last ?? 0) ?? d }

    /// x: [..., d] → [..., dk]
    public func callAsFunction(_ x: Tensor, implementation: Implementation = .fused) -> Tensor {
        if implementation == .fused, let features = inOnePass(x) { return features }
        let features = normalized(mapped(activation?(x) ?? x, implementation), implementation)
        return normalizesL2 ? l2Normalized(features, epsilon: unitEpsilon) : features
    }

    private func mapped(_ x: Tensor, _ implementation: Implementation) -> Tensor {
        switch (map, implementation) {
        case (.dpfp, .plain): return dpfp(x, nu: nu)
        case (.dpfp, .fused): return DPFP(nu: nu, epsilon: epsilon)(x)
        case (.elu, _): return eluPlusOne(x)
        case (.favor, _):
            guard let directions else { fatalError("Features: favor without directions, expected [d, m]") }
            return favorFeatures(x, projection: directions, implementation: implementation)
        case (.softmax, _), (nil, _): return x
        }
    }

    /// Divides by the sum, which the fused DPFP has done.
    private func normalized(_ features: Tensor, _ implementation: Implementation) -> Tensor {
        guard let epsilon, map != .dpfp || implementation == .plain else { return features }
        return sumNormalized(features, epsilon: epsilon)
    }
}

/// DPFP-ν (equation 37): with r = [relu(x), relu(−x)], block j = 1 … ν is r_i r_{i−j}, counted around.
/// x: [..., d] → [..., 2 d ν]
public func dpfp(_ x: Tensor, nu: Int) -> Tensor {
    DPFP(nu: nu, epsilon: nil).check(x.shape.last ?? 0)
    let r = concatenate([relu(x), relu(-x)], axis: -1)  // [..., 2 d]
    return concatenate((1...nu).map { r * r.rolled(by: $0, axis: -1) }, axis: -1)
}

/// ELU(x) + 1: x + 1 where x is positive, else exp(x) (2006.16236, section 3.2). x: [...] → [...]
public func eluPlusOne(_ x: Tensor) -> Tensor { relu(x) + exp(-relu(-x)) }

/// Divides rows by their sum + ε (section 4.2). x: [..., d] → [..., d]
public func sumNormalized(_ x: Tensor, epsilon: Float = 1e-6) -> Tensor {
    x / (x.sum(axes: [x.rank - 1], keepAxes: true) + epsilon)
}

/// Divides rows by √(Σ x² + ε), about their length. x: [..., d] → [..., d]
public func l2Normalized(_ x: Tensor, epsilon: Float = 1e-6) -> Tensor {
    x / sqrt((x * x).sum(axes: [-1], keepAxes: true) + epsilon)
}

// MARK: The memory (sections 3 and 4)

/// Writes keys and values to fast weights token by token, and reads them under queries:
///
///     v̄ = φ(k) S      S ← S + φ(k)ᵀ (β v − γ v̄)      y = φ(q) S
///
/// The delta rule (equation 24) has γ = β: what is under the key moves towards the value by the share β. The sum rule, linear
/// attention (section 3.2), has γ = 0. With a decay α, S ← α S comes before each token: the gated delta rule (2412.06464,
/// equation 10), and gated linear attention with a number for a head (2312.06635, section 4.1).
///
/// - Parameters:
///   - q, k: [b, n, h, d].
///   - v: [b, n, h, dv].
///   - beta: β, [b, n, h].
///   - erase: γ, [b, n, h]; nil for the rule's own.
///   - logDecay: ln α, at most 0, [b, n, h]; nil for α = 1.
///   - features: φ.
///   - state: S before the first token, [b, h, dk, dv]; nil for zeros.
///   - chunk, segment: tokens of a chunk, and chunks from one S that the fused form keeps for backward to the next. They
///     change speed and memory only.
/// - Returns: y, [b, n, h, dv], and S after the last token, [b, h, dk, dv]. Gradients flow through both.
public func deltaRule(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, beta: Tensor, erase: Tensor? = nil, logDecay: Tensor? = nil,
    rule: UpdateRule = .delta, features: Features = .identity, state: Tensor? = nil, chunk: Int = 32,
    segment: Int = 4, implementation: Implementation = .fused
) -> (output: Tensor, state: Tensor) {
    require(
        q.rank == 4 && q.shape == k.shape && v.rank == 4 && v.shape.prefix(3) == q.shape.prefix(3)
            && beta.shape == Array(q.shape.prefix(3)) && (erase == nil || erase!.shape == beta.shape),
        "deltaRule: q \(q.shape), k \(k.shape), v \(v.shape), beta \(beta.shape), erase \(erase?.shape ?? []); expected q "
            + "and k [b, n, h, d], v [b, n, h, dv], beta and erase [b, n, h]")
    require(
        logDecay == nil || logDecay!.shape == beta.shape,
        "deltaRule: logDecay \(logDecay?.shape ?? []), expected [b, n, h] = \(beta.shape)")
    require(erase == nil || rule == .delta, "deltaRule: erase with the sum rule, which erases nothing")
    let shape = [v.shape[0], v.shape[2], features.width(q.shape[3]), v.shape[3]]
    require(
        state == nil || state!.shape == shape,
        "deltaRule: state \(state?.shape ?? []), expected [b, h, dk, dv] = \(shape)")
    if implementation == .fused {
        return fusedDeltaRule(
            q, k, v, beta: beta, erase: erase, logDecay: logDecay, rule: rule, features: features, state: state,
            chunk: chunk, segment: segment)
    }
    let (q, k) = (features(q, implementation: .plain), features(k, implementation: .plain))  // φ: [b, n, h, dk]
    let (beta, gamma) = (beta.unsqueezed(-1), (erase ?? beta).unsqueezed(-1))  // [b, n, h, 1]
    let alpha = logDecay.map { exp($0).unsqueezed(-1) }
    var s = state ?? .zeros(shape)
    var y: [Tensor] = []
    for t in 0..<v.shape[1] {
        func row(_ x: Tensor) -> Tensor { x.at(1, t).unsqueezed(2) }  // [b, h, 1, …]
        if let alpha { s = row(alpha) * s }
        var u = row(beta) * row(v)  // [b, h, 1, dv]
        if rule == .delta { u = u - row(gamma) * matrixProduct(row(k), s) }
        s = s + matrixProduct(row(k), u, transposeA: true)
        y.append(matrixProduct(row(q), s))
    }
    return (y.isEmpty ? .zeros(v.shape) : concatenate(y, axis: 2).transposed(1, 2), s)
}

/// The memory of a layer's heads for b sequences. Gradients flow through it.
public struct FastWeights: Sendable {
    /// The fast weights S, [b, h, dk, d].
    public var memory: Tensor
    /// The sum of the keys z, with attention normalization: [b, h, dk, 1].
    public var keySum: Tensor?

    public init(memory: Tensor, keySum: Tensor? = nil) { (self.memory, self.keySum) = (memory, keySum) }
}

// MARK: Layers

/// Projections to queries, keys, values and shares, the memory, and the projection back.
///
/// Keys: query.linear.weight, key.linear.weight, value.linear.weight [m, m]; interpolation_weight.0.linear.weight [h, m]
/// where β is computed; phi.projection [d, favor_features] with FAVOR+; output.*.
public struct FastWeightsAttention: Module {
    public let configuration: FastWeightsConfiguration
    /// W_q, W_k, W_v and W_β, one matrix in memory.
    public let projections: PackedParameters
    public let output: Linear
    /// The random directions of FAVOR+.
    public let directions: Parameter?

    /// - Parameter key: the source of the initial parameters.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        let (m, h) = (configuration.width, configuration.heads)
        self.configuration = configuration
        let rows = [m, m, m] + (configuration.learnsBeta ? [h] : [])
        projections = PackedParameters(
            rows.enumerated().map { Linear(m, $1, bias: false, key: key.child($0)).weight.value }, isMatrix: true)
        output = Linear(m, m, key: key.child(4))
        directions =
            configuration.featureMap == .favor
            ? Parameter(
                favorProjection(configuration.headWidth, features: configuration.favorFeatures, key: key.child(5)),
                .frozen)
            : nil
    }

    /// - Parameters:
    ///   - x: [b, n, m].
    ///   - norm: applied to x first.
    ///   - state: what was read before; nil for nothing.
    ///   - residual: [b, n, m], added to the output.
    /// - Returns: [b, n, m], and what is remembered then; nil with softmax.
    public func callAsFunction(
        _ x: Tensor, norm: LayerNorm? = nil, state: FastWeights? = nil, residual: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> (output: Tensor, state: FastWeights?) {
        require(
            x.rank == 3 && x.shape[2] == configuration.width,
            "FastWeightsAttention: x \(x.shape), expected [b, n, \(configuration.width)]")
        let (y, after) = attend(project(x, norm), state: state, mode.child(0))
        return (finish(y.reshaped(x.shape), residual: residual, mode.child(1)), after)
    }

    /// The memory's inputs from some tokens: q, k, v [..., h, d], and the shares β [..., h], nil with softmax.
    struct Inputs {
        var q: Tensor, k: Tensor, v: Tensor
        var beta: Tensor?
    }

    /// q, k, v = W_q x, W_k x, W_v x; β = σ(W_β x), or the given one. x: [..., m]
    func project(_ x: Tensor, _ norm: LayerNorm?) -> Inputs {
        let (m, h) = (configuration.width, configuration.heads)
        let weight = projections.matrix
        let all = norm.map { normLinear(x, norm: $0.norm, weight: weight) } ?? linear(x, weight: weight)
        let outer = Array(x.shape.dropLast())
        func part(_ index: Int) -> Tensor {
            all.sliced(-1, from: index * m, to: (index + 1) * m).reshaped(outer + [h, m / h])
        }
        let beta =
            configuration.learnsBeta
            ? sigmoid(all.sliced(-1, from: 3 * m))
            : configuration.beta.map { Tensor(repeating: Float($0), shape: [1]).expanded(to: outer + [h]) }
        return Inputs(q: part(0), k: part(1), v: part(2), beta: beta)
    }

    /// Returns what the heads read, [b, n, h, d].
    func attend(
        _ inputs: Inputs, state: FastWeights?, _ mode: ForwardMode
    ) -> (output: Tensor, state: FastWeights?) {
        guard configuration.featureMap != .softmax, let beta = inputs.beta else {
            require(state == nil, "FastWeightsAttention: a state for softmax attention, which has none")
            return (attendWithSoftmax(inputs, mode), nil)
        }
        if configuration.normalizesAttention { return attendNormalized(inputs, beta: beta, state: state, mode) }
        let (y, s) = deltaRule(
            inputs.q, inputs.k, inputs.v, beta: beta, rule: configuration.rule, features: features(mode),
            state: state?.memory, segment: configuration.segment, implementation: mode.implementation)
        return (y, FastWeights(memory: s))
    }

    /// φ. FAVOR+ draws its directions again for every training step, if that is wanted.
    func features(_ mode: ForwardMode) -> Features {
        var directions = directions?.value
        if directions != nil, configuration.redrawsFavor, let key = mode.key {
            directions = favorProjection(
                configuration.headWidth, features: configuration.favorFeatures, key: key.child(2))
        }
        return Features(
            configuration.featureMap, nu: configuration.nu, directions: directions,
            epsilon: configuration.normalizesSums ? configuration.epsilon : nil)
    }

    /// dropout(W_o dropout(y) + b_o) + residual. y: [..., m]
    func finish(_ y: Tensor, residual: Tensor?, _ mode: ForwardMode) -> Tensor {
        guard mode.key != nil, configuration.dropout > 0 else {
            return residual.map { output(y, residual: $0) } ?? output(y)
        }
        func drop(_ x: Tensor, _ index: Int) -> Tensor {
            dropout(x, probability: Float(configuration.dropout), key: mode.child(index).key)
        }
        let result = drop(output(drop(y, 0)), 1)
        return residual.map { $0 + result } ?? result
    }

    public func collect(into state: inout StateCollector) {
        let names = ["query", "key", "value", "interpolation_weight.0"].map { $0 + ".linear.weight" }
        for (name, part) in zip(names, projections.parts) {
            // labml-nn's token-wise form has another name for the last.
            state.add(name, part, alias: name == names[3] ? "gate.0.linear.weight" : nil)
        }
        if let directions { state.add("phi.projection", directions) }
        state.add("output", output)
    }
}

/// W₂ dropout(relu(W₁ x + b₁)) + b₂, with a gate relu(W₁ x + b₁) ⊙ (V x + c) in place of the relu (2002.05202).
///
/// Keys: layer1.*, linear_v.* with a gate, layer2.*.
public struct FastWeightsFeedForward: Module {
    /// With a gate, linear_v's above layer1's.
    private let weights: PackedParameters
    private let biases: PackedParameters
    public let down: Linear
    public let isGated: Bool
    public let dropout: Double

    /// - Parameter key: the source of the initial parameters.
    public init(_ width: Int, hidden: Int, isGated: Bool = false, dropout: Double = 0, key: RandomKey) {
        let up = (isGated ? [2, 0] : [0]).map { Linear(width, hidden, key: key.child($0)) }
        weights = PackedParameters(up.map(\.weight.value), isMatrix: true)
        biases = PackedParameters(up.map { $0.bias!.value })
        down = Linear(hidden, width, key: key.child(1))
        (self.isGated, self.dropout) = (isGated, dropout)
    }

    /// self(norm(x)) + residual. x, residual: [..., m] → [..., m]
    func callAsFunction(_ x: Tensor, norm: LayerNorm, residual: Tensor?, mode: ForwardMode) -> Tensor {
        feedForward(
            x, norm: norm.norm, up: Projection(weight: weights.matrix, bias: biases.value), activation: .relu,
            isGated: isGated, dropout: dropout, key: mode.key, down: down.projection, residual: residual)
    }

    public func collect(into state: inout StateCollector) {
        for (name, index) in isGated ? [("layer1", 1), ("linear_v", 0)] : [("layer1", 0)] {
            state.add(name + ".weight", weights.parts[index])
            state.add(name + ".bias", biases.parts[index])
        }
        state.add("layer2", down)
    }
}

/// Attention and feed-forward, each with a residual. Keys: attn.*, feed_forward.*, norm_self_attn.*, norm_ff.*.
public struct FastWeightsTransformerLayer: Module {
    public let attention: FastWeightsAttention
    public let feedForward: FastWeightsFeedForward
    /// Before the attention with pre_norm; otherwise without effect, as in labml-nn.
    public let attentionNorm: LayerNorm
    public let feedForwardNorm: LayerNorm
    private let configuration: FastWeightsConfiguration

    /// - Parameter key: the source of the initial parameters.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        let m = configuration.width
        self.configuration = configuration
        attention = FastWeightsAttention(configuration, key: key.child(0))
        feedForward = FastWeightsFeedForward(
            m, hidden: configuration.feedForwardDimension, isGated: configuration.gatesFeedForward,
            dropout: configuration.dropout, key: key.child(1))
        (attentionNorm, feedForwardNorm) = (LayerNorm(m), LayerNorm(m))
    }

    /// The norm that the attention reads x through.
    var norm: LayerNorm? { configuration.normsAttention ? attentionNorm : nil }

    /// - Parameters:
    ///   - x: [b, n, m].
    ///   - state: what was read before; nil for nothing.
    /// - Returns: [b, n, m], and what is remembered then; nil with softmax.
    public func callAsFunction(
        _ x: Tensor, state: FastWeights? = nil, mode: ForwardMode = .inference
    ) -> (output: Tensor, state: FastWeights?) {
        let (y, after) = attention(x, norm: norm, state: state, residual: x, mode: mode.child(0))
        return (feed(y, mode.child(1)), after)
    }

    /// x + dropout(feedForward(norm(x))). x: [..., m]
    func feed(_ x: Tensor, _ mode: ForwardMode) -> Tensor {
        guard mode.key != nil, configuration.dropout > 0 else {
            return feedForward(x, norm: feedForwardNorm, residual: x, mode: mode)
        }
        let y = feedForward(x, norm: feedForwardNorm, residual: nil, mode: mode.child(0))
        return x + dropout(y, probability: Float(configuration.dropout), key: mode.child(1).key)
    }

    public func collect(into state: inout StateCollector) {
        state.add("attn", attention)
        state.add("feed_forward", feedForward)
        state.add("norm_self_attn", attentionNorm)
        state.add("norm_ff", feedForwardNorm)
    }
}

// MARK: Models

/// Layers and a final norm. Keys: layers.i.*, norm.*.
public struct FastWeightsTransformer: Module {
    public let layers: [FastWeightsTransformerLayer]
    public let norm: LayerNorm

    /// - Parameter key: the source of the initial parameters.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        layers = (0..<configuration.layers).map {
            FastWeightsTransformerLayer(configuration, key: key.child(configuration.startsIdentical ? 0 : $0))
        }
        norm = LayerNorm(configuration.width)
    }

    /// - Parameters:
    ///   - x: [b, n, m].
    ///   - states: what each layer remembers of the tokens before; nil for none.
    /// - Returns: [b, n, m], and what each layer remembers then; nil with softmax. The output is the same at any split of a
    ///   sequence.
    public func callAsFunction(
        _ x: Tensor, states: [FastWeights]? = nil, mode: ForwardMode = .inference
    ) -> (output: Tensor, states: [FastWeights]?) {
        let (y, after) = run(x, states, mode)
        return (norm(y), after)
    }

    /// Runs the layers without the norm.
    func run(
        _ x: Tensor, _ states: [FastWeights]?, _ mode: ForwardMode
    ) -> (output: Tensor, states: [FastWeights]?) {
        require(
            states == nil || states!.count == layers.count,
            "FastWeightsTransformer: \(states?.count ?? 0) states for \(layers.count) layers")
        var (x, after) = (x, [FastWeights]())
        for (index, layer) in layers.enumerated() {
            let (y, state) = layer(x, state: states?[index], mode: mode.child(index))
            x = y
            if let state { after.append(state) }
        }
        return (x, after.count == layers.count ? after : nil)
    }

    public func collect(into state: inout StateCollector) {
        state.add("layers", layers)
        state.add("norm", norm)
    }
}

/// A language model of fast weights: embeddings, the layers, logits.
///
/// Keys: src_embed.weight; transformer.*; generator.*.
public struct FastWeightsLM: Module {
    public let configuration: FastWeightsConfiguration
    public let embedding: Embedding
    public let transformer: FastWeightsTransformer
    public let generator: Linear

    /// - Parameter key: the source of the initial parameters.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        self.configuration = configuration
        embedding = Embedding(configuration.tokens, configuration.width, key: key.child(0))
        transformer = FastWeightsTransformer(configuration, key: key.child(1))
        generator = Linear(configuration.width, configuration.tokens, key: key.child(2))
    }

    public func predictions(
        _ tokens: TokenTensor, carries: [FastWeightsCarry?], mode: ForwardMode
    ) -> (predictions: Predictions, carries: [FastWeightsCarry?]) {
        require(
            tokens.shape.count == 2 && carries.count == tokens.shape[0],
            "FastWeightsLM: tokens \(tokens.shape), \(carries.count) carries; expected [b, n], b carries")
        let n = tokens.shape[1]
        let positions = carries.flatMap { carry in (0..<n).map { (carry?.position ?? 0) + $0 } }
        let x = embed(tokens, positions: positions)
        let (y, after) = transformer.run(x, FastWeightsCarry.states(carries), mode)
        let next = FastWeightsCarry.after(carries, tokens: n, states: after)
        return (Predictions(y, after: transformer.norm, projection: generator), next)
    }

    /// tokens: [..., n], the position of each → [..., n, m]
    func embed(_ tokens: TokenTensor, positions: [Int]) -> Tensor {
        let x = embedding(tokens)
        guard configuration.usesPositions else { return x }
        let m = configuration.width
        let table = sinusoids(
            Tensor(positions.map(Float.init)), frequencies: Tensor(inverseFrequencies(m)), dimension: m, order: .pairs)
        return x + table.reshaped(x.shape)
    }

    /// [..., m] → [..., vocabulary]
    func logits(_ x: Tensor) -> Tensor { generator(x, after: transformer.norm) }

    public func collect(into state: inout StateCollector) {
        state.add("src_embed", embedding)
        state.add("transformer", transformer)
        state.add("generator", generator)
    }
}
