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
    /// The last tokens' projections to queries, keys and values, which the next ones are mixed with: [b, kernel − 1, 3 m].
    public var history: Tensor?

    /// Creates the memory of b sequences; shapes as above.
    public init(memory: Tensor, keySum: Tensor? = nil, history: Tensor? = nil) {
        (self.memory, self.keySum, self.history) = (memory, keySum, history)
    }
}

// MARK: Layers

/// Projections to queries, keys, values and shares, short convolutions, the memory, and the projection back.
///
/// Keys: query.linear.weight, key.linear.weight, value.linear.weight [m, m], and where there are any:
/// interpolation_weight.0.linear.weight [h, m] of β; query_convolution.weight, key_convolution.weight,
/// value_convolution.weight [m, 1, kernel]; decay.weight [h, m], decay.bias [h], decay.log_rate [h];
/// output_gate.weight [m, m]; output_norm.weight [d]; phi.projection [d, favor_features] of FAVOR+. output.*.
public struct FastWeightsAttention: Module {
    /// The configuration of the model it is part of.
    public let configuration: FastWeightsConfiguration
    /// W_q, W_k, W_v, and where there are any W_β, the decay's W and W_g: one matrix in memory.
    public let projections: PackedParameters
    /// The weights of the convolutions of queries, keys and values, [3 m, 1, kernel] in memory; nil without.
    public let convolutions: PackedParameters?
    /// The bias and rate of the decay; nil without.
    public let decay: FastWeightsDecay?
    /// The norm of each head's output, of d columns; nil without.
    public let outputNorm: RMSNorm?
    /// The projection back, [m, m].
    public let output: Linear
    /// The random directions of FAVOR+.
    public let directions: Parameter?

    /// - Parameter key: the source of the initial parameters.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        let c = configuration
        self.configuration = c
        projections = PackedParameters(
            FastWeightsProjection.allCases.filter { $0.rows(c) > 0 }.map {
                Linear(c.width, $0.rows(c), bias: false, key: key.child($0.child)).weight.value
            }, isMatrix: true)
        let kernels = (c.shortConvolution > 0 ? [6, 7, 8] : []).map {
            ShortConvolution(c.width, kernel: c.shortConvolution, key: key.child($0)).weight.value
        }
        convolutions = kernels.isEmpty ? nil : PackedParameters(kernels)
        decay = c.decays ? FastWeightsDecay(heads: c.heads, key: key.child(11)) : nil
        outputNorm = c.normsOutput ? RMSNorm(c.headWidth, epsilon: c.normEpsilon) : nil
        output = Linear(c.width, c.width, key: key.child(4))
        directions =
            c.featureMap == .favor
            ? Parameter(favorProjection(c.headWidth, features: c.favorFeatures, key: key.child(5)), .frozen)
            : nil
    }

    /// - Parameters:
    ///   - x: [b, n, m].
    ///   - norm: applied to x first.
    ///   - state: what was read before; nil for nothing.
    ///   - residual: [b, n, m], added to the output.
    /// - Returns: [b, n, m], and what is remembered then; nil with softmax.
    public func callAsFunction(
        _ x: Tensor, norm: (any NormLayer)? = nil, state: FastWeights? = nil, residual: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> (output: Tensor, state: FastWeights?) {
        require(
            x.rank == 3 && x.shape[2] == configuration.width,
            "FastWeightsAttention: x \(x.shape), expected [b, n, \(configuration.width)]")
        let tokens = project(x, norm)
        let (y, after) = attend(tokens, state: state, mode.child(0))
        return (finish(y, gate: tokens.gate, residual: residual, mode.child(1)), after)
    }

    /// q, k, v = W_q x, W_k x, W_v x; β = σ(W_β x), twice that with beta_range 2, or the given one; ln α of the decay; W_g x.
    /// x: [b, n, m]
    func project(_ x: Tensor, _ norm: (any NormLayer)?) -> ProjectedTokens {
        let (c, weight) = (configuration, projections.matrix)
        let all = norm.map { normLinear(x, norm: $0.norm, weight: weight) } ?? linear(x, weight: weight)
        func part(_ projection: FastWeightsProjection) -> Tensor? {
            let columns = projection.columns(c)
            return columns.isEmpty ? nil : all.sliced(-1, from: columns.lowerBound, to: columns.upperBound)
        }
        let fixed = c.beta.map { Tensor(repeating: Float($0), shape: [1]).expanded(to: x.shape.dropLast() + [c.heads]) }
        return ProjectedTokens(
            qkv: all.sliced(-1, to: 3 * c.width),
            beta: part(.beta).map { c.betaRange == 1 ? sigmoid($0) : sigmoid($0) * Float(c.betaRange) } ?? fixed,
            logDecay: part(.decay).map { decay!($0) }, gate: part(.gate))
    }

    /// Writes and reads the memory. Returns what the heads read, [b, n, h, d].
    func attend(
        _ tokens: ProjectedTokens, state: FastWeights?, _ mode: ForwardMode
    ) -> (output: Tensor, state: FastWeights?) {
        let (inputs, history) = mix(tokens.qkv, after: state?.history, mode.implementation)
        guard configuration.featureMap != .softmax, let beta = tokens.beta else {
            require(state == nil, "FastWeightsAttention: a state for softmax attention, which has none")
            return (attendWithSoftmax(inputs, mode), nil)
        }
        if configuration.normalizesAttention {
            var (y, after) = attendNormalized(inputs, beta: beta, state: state, mode)
            after?.history = history
            return (y, after)
        }
        let (y, s) = deltaRule(
            inputs.q, inputs.k, inputs.v, beta: beta, logDecay: tokens.logDecay, rule: configuration.rule,
            features: features(mode), state: state?.memory, segment: configuration.segment,
            implementation: mode.implementation)
        return (y, FastWeights(memory: s, history: history))
    }

    /// Mixes queries, keys and values each with those of the last tokens by column, and gives each head its columns.
    ///
    /// As in flash-linear-attention silu is the convolution's, and other activations of queries and keys come after it.
    /// - Parameters:
    ///   - qkv: [b, n, 3 m].
    ///   - history: qkv of the last kernel − 1 tokens; nil for zeros.
    /// - Returns: q, k, v, [b, n, h, d] each, and the history of the next tokens; nil without convolutions.
    func mix(
        _ qkv: Tensor, after history: Tensor?, _ implementation: Implementation
    ) -> (inputs: MemoryInputs, history: Tensor?) {
        let c = configuration
        func heads(_ x: Tensor) -> Tensor { x.reshaped(x.shape.prefix(2) + [c.heads, c.headWidth]) }
        guard let convolutions else {
            let x = (0..<3).map { heads(qkv.sliced(-1, from: $0 * c.width, to: ($0 + 1) * c.width)) }
            return (MemoryInputs(q: x[0], k: x[1], v: x[2]), nil)
        }
        let (x, last) = shortConvolution(
            qkv, parts: [c.width, c.width, c.width], weight: convolutions.value.squeezed(1), after: history,
            activation: c.mixActivation,
            implementation: implementation)
        let v = c.mixActivation == .silu ? heads(x[2]) : silu(heads(x[2]))
        return (MemoryInputs(q: heads(x[0]), k: heads(x[1]), v: v), c.history == 0 ? nil : last)
    }

    /// φ. FAVOR+ draws its directions again for every training step, if that is wanted.
    func features(_ mode: ForwardMode) -> Features {
        let c = configuration
        var directions = directions?.value
        if directions != nil, c.redrawsFavor, let key = mode.key {
            directions = favorProjection(c.headWidth, features: c.favorFeatures, key: key.child(2))
        }
        return Features(
            c.map, nu: c.nu, directions: directions, epsilon: c.keyNorm == .sum ? c.epsilon : nil,
            activation: c.featureActivation, normalizesL2: c.keyNorm == .l2)
    }

    /// dropout(W_o dropout(g ⊙ norm(y)) + b_o) + residual. y: [b, n, h, d]; gate: [b, n, m]
    func finish(_ y: Tensor, gate: Tensor?, residual: Tensor?, _ mode: ForwardMode) -> Tensor {
        let y = dropout(gated(y, by: gate), probability: Float(configuration.dropout), key: mode.child(0).key)
        return output(y, residual: residual, dropout: configuration.dropout, mode: mode.child(1))
    }

    /// RMSNorm(y / √dk) by head, times silu(gate): [b, n, h, d] → [b, n, m]. Only queries of length 1 are divided by √dk.
    func gated(_ y: Tensor, by gate: Tensor?) -> Tensor {
        let divisor = configuration.keyNorm == .l2 ? Float(configuration.features) : 1  // dk
        var y = y
        if let outputNorm {
            // The norm of y / √dk with ε is that of y with ε dk.
            y = rmsNorm(y, weight: outputNorm.weight.value, epsilon: outputNorm.epsilon * divisor)
        } else if divisor != 1 {
            y = y / divisor.squareRoot()
        }
        y = y.reshaped(y.shape.prefix(2) + [configuration.width])
        return gate.map { y * silu($0) } ?? y
    }

    public func collect(into state: inout StateCollector) {
        let present = FastWeightsProjection.allCases.filter { $0.rows(configuration) > 0 }
        for (projection, part) in zip(present, projections.parts) {
            // labml-nn's token-wise form has another name for β's.
            state.add(projection.rawValue, part, alias: projection == .beta ? "gate.0.linear.weight" : nil)
        }
        for (name, weight) in zip(["query", "key", "value"], convolutions?.parts ?? []) {
            state.add(name + "_convolution.weight", weight)
        }
        if let decay { state.add("decay", decay) }
        if let outputNorm { state.add("output_norm", outputNorm) }
        if let directions { state.add("phi.projection", directions) }
        state.add("output", output)
    }
}
