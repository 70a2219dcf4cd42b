import NN
import Tensors

// FLASH: layers of attention that is quadratic inside groups of tokens and linear across them, and gated.
// Transformer Quality in Linear Time, Hua et al. 2022, https://arxiv.org/abs/2202.10447, section 3.2 and code 1.
//
// b batch, n tokens, d model, e expanded, s query/key dimension, g group

// MARK: Layer

/// A FLASH layer.
///
/// Keys: rotary_pos_emb.freqs (shared by the layers of a model), rel_pos_bias.relative_attention_bias.weight,
/// norm.{g | weight, bias}, to_hidden.0.{weight, bias} (v first, then the gate), to_qk.0.{weight, bias},
/// qk_offset_scale.{gamma, beta} (q₁, q₂, k₁, k₂), to_out.{weight, bias}.
public struct FLASH: Module {
    /// The configuration, whose vocabulary and depth a layer ignores.
    public let configuration: FLASHConfiguration
    /// The rotation of queries and keys; nil for none.
    public let rotary: Rotary?
    /// B, the bias of the scores by distance.
    public let relativeBias: T5RelativePositionBias
    /// The norm of the input.
    public let norm: any NormLayer
    /// d → 2e: v, then the gate u.
    public let toHidden: Linear
    /// d → s, shared by queries and keys.
    public let toQK: Linear
    /// The heads q₁, q₂, k₁, k₂.
    public let offsetScale: OffsetScale
    /// e → d
    public let toOut: Linear

    /// Draws the initial parameters.
    /// - Parameter configuration: for a layer without a model, `FLASHConfiguration.layer(dimension:)`.
    public init(_ configuration: FLASHConfiguration, rotary: Rotary? = nil, key: RandomKey) {
        let (d, e, s) = (configuration.dimension, configuration.hiddenDimension, configuration.queryKeyDimension)
        self.configuration = configuration
        self.rotary = rotary
        relativeBias = T5RelativePositionBias(
            scale: Float(s).squareRoot(), isCausal: configuration.isCausal, key: key.child(0))
        norm = configuration.normType.make(d)
        toHidden = Linear(d, 2 * e, key: key.child(1))
        toQK = Linear(d, s, key: key.child(2))
        offsetScale = OffsetScale(s, heads: 4, deviation: Float(configuration.gammaDeviation), key: key.child(3))
        toOut = Linear(e, d, key: key.child(4))
    }

    /// Returns x + toOut(attention(shift(norm(x)))).
    /// - Parameters:
    ///   - x: [b, n, d].
    ///   - mask: 1 for tokens that take part, 0 for padding, [b, n] or [n].
    ///   - table: the rotation of positions 0 ..< n where several layers share it.
    /// - Returns: [b, n, d].
    public func callAsFunction(
        _ x: Tensor, mask: Tensor? = nil, table: RotaryTable? = nil, mode: ForwardMode = .inference
    ) -> Tensor {
        let d = configuration.dimension
        require(x.rank == 3 && x.shape[2] == d, "FLASH: x \(x.shape), expected [b, n, \(d)]")
        let (b, n) = (x.shape[0], x.shape[1])
        let mask = mask.map { $0.expanded(to: [b, n]).contiguous() }
        let (hidden, qk) = projections(x, mask, mode)  // [b, n, 2e], [b, n, s]
        let attention = MixedChunkAttention(
            hidden: hidden, qk: qk, gamma: offsetScale.gamma.value, beta: offsetScale.beta.value,
            bias: relativeBias.byDistance(configuration.groupSize), mask: mask,
            rotary: table ?? rotary?.table(Array(0..<n)),
            groupSize: configuration.groupSize, function: configuration.attentionFunction,
            contextGroups: configuration.contextGroups, divisors: divisors(mask),
            attentionDropout: Float(configuration.attentionDropout), mode: mode)
        return toOut(attention(), residual: x)  // [b, n, e] → [b, n, d]
    }

    /// Projects the normalized, shifted input to the hidden features and to those that queries and keys share.
    private func projections(_ x: Tensor, _ mask: Tensor?, _ mode: ForwardMode) -> (hidden: Tensor, qk: Tensor) {
        let shifts = configuration.shiftsTokens
        let mask = shifts && configuration.masksTokenShift ? mask : nil
        if mode.implementation == .fused && mask == nil {
            let delayed = shifts ? (x.shape[2] + 1) / 2 : 0
            let both = normLinear(
                x, norm: norm.norm, delayedColumns: delayed, [toHidden.projection, toQK.projection])
            return (both[0], both[1])
        }
        var input = norm(x)
        if let mask { input = input * mask.unsqueezed(-1) }
        if shifts { input = shiftTokens(input) }
        return (toHidden(input), toQK(input))
    }

    /// Counts the unmasked tokens of each row, at least 1, if linear attention divides by them.
    private func divisors(_ mask: Tensor?) -> [Float]? {
        guard let mask, configuration.dividesByValidCount, !configuration.isCausal else { return nil }
        return mask.sum(axes: [1]).values.map { max($0, 1) }
    }

    public func collect(into state: inout StateCollector) {
        if let rotary { state.add("rotary_pos_emb", rotary) }
        state.add("rel_pos_bias", relativeBias)
        state.add("norm", norm)
        state.add("to_hidden.0", toHidden)
        state.add("to_qk.0", toQK)
        state.add("qk_offset_scale", offsetScale)
        state.add("to_out", toOut)
    }
}

/// Takes the first half of each token's features from the token before it.
/// - Parameters:
///   - x: [b, n, d].
///   - before: the half that the first token takes, [b, 1, ⌈d/2⌉]; zeros if nil.
/// - Returns: [b, n, d].
func shiftTokens(_ x: Tensor, before: Tensor? = nil) -> Tensor {
    let (b, n, half) = (x.shape[0], x.shape[1], (x.shape[2] + 1) / 2)
    let earlier = concatenate([before ?? .zeros([b, 1, half]), x.sliced(2, to: half)], axis: 1).sliced(1, to: n)
    return concatenate([earlier, x.sliced(2, from: half)], axis: 2)
}

/// Several heads from one projection, each by a scale and an offset of its own: x ⊙ γ_h + β_h (section 3.1).
///
/// Keys: gamma [heads, s], normal at first; beta [heads, s], zeros.
public struct OffsetScale: Module {
    /// γ, the scales: [heads, s]
    public let gamma: Parameter
    /// β, the offsets: [heads, s]
    public let beta: Parameter

    /// Draws the initial parameters of heads of s features.
    /// - Parameter deviation: the standard deviation of γ.
    public init(_ dimension: Int, heads: Int, deviation: Float = 0.02, key: RandomKey) {
        gamma = Parameter(.normal([heads, dimension], standardDeviation: deviation, key: key))
        beta = Parameter(.zeros([heads, dimension]))
    }

    /// Makes one head [..., s] of x [..., s] for each row of gamma and beta.
    public func callAsFunction(_ x: Tensor) -> [Tensor] { scaledHeads(x, gamma: gamma.value, beta: beta.value) }

    public func collect(into state: inout StateCollector) {
        state.add("gamma", gamma)
        state.add("beta", beta)
    }
}

/// Scales and shifts x for each head: x ⊙ γ_h + β_h. x: [..., s]; gamma, beta: [heads, s]
private func scaledHeads(_ x: Tensor, gamma: Tensor, beta: Tensor) -> [Tensor] {
    (0..<gamma.shape[0]).map { x * gamma.at(0, $0) + beta.at(0, $0) }
}

// MARK: Attention

/// Computes causal mixed chunk attention (section 3.2): u ⊙ (A v + q₂ H).
///
/// - Parameters:
///   - hidden: v and the gate u before their silu, [b, n, 2e].
///   - qk: the shared projection before its silu, [b, n, s].
///   - gamma, beta: scale and offset of the heads q₁, q₂, k₁, k₂, [4, s].
///   - bias: of the scores by relative position j − i = −(g − 1) … g − 1, [2g − 1].
///   - rotary: the rotation of positions 0 ..< n, if any.
/// - Returns: [b, n, e].
public func mixedChunkAttention(
    hidden: Tensor, qk: Tensor, gamma: Tensor, beta: Tensor, bias: Tensor, rotary: RotaryTable? = nil, groupSize: Int,
    function: AttentionFunction = .laplace, mode: ForwardMode = .inference
) -> Tensor {
    MixedChunkAttention(
        hidden: hidden, qk: qk, gamma: gamma, beta: beta, bias: bias, rotary: rotary, groupSize: groupSize,
        function: function, mode: mode)()
}

/// The groups that linear attention sums over: H = Σ k₂ᵀ v / divisor.
enum ContextGroups: Sendable {
    /// Causal: the groups before; the divisor is g.
    case earlier
    /// All groups of the sequence; the divisor is n.
    case all
    /// Only the group itself; the divisor is n.
    case own
}

/// Mixed chunk attention: quadratic inside groups of g tokens, linear across them, gated.
///
///     v, u = silu(hidden)            q₁, q₂, k₁, k₂ = rotate(silu(qk) ⊙ γ + β)
///     A = f(q₁ k₁ᵀ / g + B) ⊙ tril   H = Σ k₂ᵀ v / g      out = u ⊙ (A v + q₂ H)
struct MixedChunkAttention: Sendable {
    /// v and the gate u before their silu: [b, n, 2e]
    var hidden: Tensor
    /// The shared projection of the heads before its silu: [b, n, s]
    var qk: Tensor
    /// Scales and offsets of the heads q₁, q₂, k₁, k₂: [4, s]
    var gamma: Tensor, beta: Tensor
    /// The bias by distance: element j − i + g − 1 is B[i, j]. [2g − 1]
    var bias: Tensor
    /// 1 where a key takes part, else 0: [b, n]
    var mask: Tensor?
    /// The rotation of positions 0 ..< n
    var rotary: RotaryTable?
    let groupSize: Int
    let function: AttentionFunction
    var contextGroups = ContextGroups.earlier
    /// The divisors of H in each row of the batch; nil for those of `contextGroups`.
    var divisors: [Float]?
    /// The probability with which a weight of A is dropped.
    var attentionDropout: Float = 0
    let mode: ForwardMode

    var b: Int { qk.shape[0] }
    var n: Int { qk.shape[1] }
    var s: Int { qk.shape[2] }
    var e: Int { hidden.shape[2] / 2 }
    var g: Int { groupSize }
    var isCausal: Bool { contextGroups == .earlier }
    /// Returns the divisor of H in a row of the batch.
    func divisor(_ row: Int) -> Float { divisors?[row] ?? Float(isCausal ? g : n) }

    /// The note on recorded weights.
    var note: String { "\(function.label) in groups" }

    /// Returns the gated output, [b, n, e].
    func callAsFunction() -> Tensor {
        require(
            hidden.shape == [b, n, 2 * e] && gamma.shape == [4, s] && beta.shape == [4, s]
                && bias.shape == [2 * g - 1] && (mask == nil || mask!.shape == [b, n]),
            "mixedChunkAttention: hidden \(hidden.shape), qk \(qk.shape), gamma \(gamma.shape), bias \(bias.shape), "
                + "mask \(mask?.shape ?? [])")
        return switch mode.implementation {
        case .plain: plain()
        case .fused: fused()
        }
    }

    /// Computes u ⊙ (A v + q₂ H) in tensor operations.
    private func plain() -> Tensor {
        let halves = silu(hidden).split(count: 2, axis: 2)
        let (v, u) = (halves[0].grouped(g), halves[1])  // [b, n/g, g, e], [b, n, e]
        let heads = scaledHeads(silu(qk), gamma: gamma, beta: beta).map {
            (rotary?.rotate($0, implementation: .plain) ?? $0).grouped(g)  // [b, n/g, g, s]
        }
        let (q1, q2, k1, k2) = (heads[0], heads[1], heads[2], heads[3])  // [b, n/g, g, s]
        let a = weights(q1, k1)  // [b, n/g, g, g]
        let h = contexts(k2, v)  // [b, n/g or 1, s, e]
        let y = matrixProduct(a, v) + matrixProduct(q2, h)  // [b, n/g, g, e]
        return u * y.ungrouped(n)  // [b, n, e]
    }

    /// Computes A = f(q₁ k₁ᵀ / g + B), masked. Keys that fill up the last group need no mask, as their v is zero.
    private func weights(_ q1: Tensor, _ k1: Tensor) -> Tensor {
        let scores = matrixProduct(q1, k1, transposeB: true) * (1 / Float(g)) + T5RelativePositionBias.byPair(bias)
        var a = function.activation(scores)  // [b, n/g, g, g]
        if isCausal { a = a.lowerTriangle() }
        if let mask { a = a * mask.unsqueezed(2).grouped(g).transposed() }
        // Dropout numbers weights in [b, n, g]: the fill of the last group takes no numbers.
        a = dropout(a.ungrouped(n), probability: attentionDropout, key: mode.key).grouped(g)
        mode.recorder?.record(a.betweenTokens(n), note: note)
        return a
    }

    /// Computes H = Σ k₂ᵀ v / divisor over the groups that each group sees.
    private func contexts(_ k2: Tensor, _ v: Tensor) -> Tensor {
        let k2 = mask.map { k2 * $0.unsqueezed(2).grouped(g) } ?? k2
        let divisors = Tensor((0..<b).map(divisor), shape: [b, 1, 1, 1])
        let own = matrixProduct(k2, v, transposeA: true) / divisors  // [b, n/g, s, e]
        return switch contextGroups {
        case .earlier: own.padded(axis: 1, before: 1).sliced(1, to: own.shape[1]).cumulativeSum(axis: 1)
        case .all: own.sum(axes: [1], keepAxes: true)
        case .own: own
        }
    }
}

extension Tensor {
    /// Cuts tokens into groups and fills up the last one with zeros: [b, n, c] → [b, n/g, g, c].
    fileprivate func grouped(_ g: Int) -> Tensor {
        let groups = (shape[1] + g - 1) / g
        return padded(axis: 1, after: groups * g - shape[1]).reshaped([shape[0], groups, g, shape[2]])
    }

    /// Joins the first n tokens of groups: [b, n/g, g, c] → [b, n, c].
    fileprivate func ungrouped(_ n: Int) -> Tensor {
        reshaped([shape[0], shape[1] * shape[2], shape[3]]).sliced(1, to: n)
    }

    /// Spreads weights within groups over all pairs of n tokens, zero across groups: [b, n/g, g, g] → [b, 1, n, n].
    fileprivate func betweenTokens(_ n: Int) -> Tensor {
        let (b, groups, g) = (shape[0], shape[1], shape[2])
        let pairs = reshaped([b, groups, g, 1, g]) * Tensor.identity(groups).reshaped([groups, 1, groups, 1])
        return pairs.reshaped([b, 1, groups * g, groups * g]).sliced(2, to: n).sliced(3, to: n)
    }
}
