import NN
import Tensors

// The gated attention unit. Transformer Quality in Linear Time, https://arxiv.org/abs/2202.10447, section 2.2, figure 2.
//
// b batch, n tokens, d model, e expanded, s query/key dimension

/// A gated attention unit with quadratic attention over the whole sequence.
///
/// Keys: norm.*, rel_pos_bias.relative_attention_bias.weight, to_hidden.0.*, to_qk.0.*, offsetscale.{gamma, beta} (q, k),
/// to_out.0.*.
public struct GAU: Module {
    /// The options of a unit.
    public struct Options: Sendable {
        /// The width of the model, d.
        public var dimension: Int
        /// The width of queries and keys, s.
        public var queryKeyDimension = 128
        /// The ratio e / d; e is rounded down.
        public var expansionFactor = 2.0
        /// Adds the input to the output.
        public var addsResidual = true
        /// Lets a position see only positions up to itself.
        public var isCausal = false
        /// The dropout of the attention weights, and again of the output.
        public var dropout = 0.0
        /// The function of the scores.
        public var attentionFunction = AttentionFunction.reluSquared
        /// The norm of the input.
        public var normType = NormType.layerNorm
        /// The divisor of the scores; nil for the current length, as in the peer, where outputs of a prefix change with the
        /// length of what follows.
        public var scoreDivisor: Int?

        /// Creates options with the defaults.
        public init(dimension: Int) { self.dimension = dimension }
    }

    /// The options of this unit.
    public let options: Options
    /// The norm of the input.
    public let norm: any NormLayer
    /// The bias of the scores by distance.
    public let relativeBias: T5RelativePositionBias
    /// d → 2e: v, then the gate.
    public let toHidden: Linear
    /// d → s, shared by query and key.
    public let toQK: Linear
    /// The heads q and k.
    public let offsetScale: OffsetScale
    /// e → d
    public let toOut: Linear

    /// Draws the initial parameters from a key.
    public init(_ options: Options, key: RandomKey) {
        let (d, s) = (options.dimension, options.queryKeyDimension)
        let e = Int(options.expansionFactor * Double(d))
        self.options = options
        norm = options.normType.make(d)
        relativeBias = T5RelativePositionBias(
            scale: Float(d).squareRoot(), isCausal: options.isCausal, key: key.child(0))
        toHidden = Linear(d, 2 * e, key: key.child(1))
        toQK = Linear(d, s, key: key.child(2))
        offsetScale = OffsetScale(s, heads: 2, key: key.child(3))
        toOut = Linear(e, d, key: key.child(4))
    }

    /// Returns toOut(gate ⊙ A v), plus x unless the options say otherwise.
    /// - Parameters:
    ///   - x: [b, n, d].
    ///   - relativePositionBias: added to the scores, [n, n] or [b, n, n].
    ///   - mask: 1 for keys that take part, 0 for padding, [b, n] or [n].
    /// - Returns: [b, n, d].
    public func callAsFunction(
        _ x: Tensor, relativePositionBias: Tensor? = nil, mask: Tensor? = nil, mode: ForwardMode = .inference
    ) -> Tensor {
        let d = options.dimension
        require(x.rank == 3 && x.shape[2] == d, "GAU: x \(x.shape), expected [b, n, \(d)]")
        let (b, n) = (x.shape[0], x.shape[1])
        let both = normLinear(x, norm: norm.norm, [toHidden.projection, toQK.projection])
        let halves = silu(both[0]).split(count: 2, axis: 2)
        let (v, gate) = (halves[0], halves[1])  // [b, n, e]
        let heads = offsetScale(silu(both[1]))
        var scores = matrixProduct(heads[0], heads[1], transposeB: true) + relativeBias(n)  // [b, n, n]
        if let relativePositionBias { scores = scores + relativePositionBias }
        var weights = options.attentionFunction.activation(scores * (1 / Float(options.scoreDivisor ?? n)))
        weights = dropout(weights, probability: Float(options.dropout), key: mode.key?.child(0))
        if let mask { weights = weights * mask.expanded(to: [b, n]).unsqueezed(1) }
        if options.isCausal { weights = weights.lowerTriangle() }
        mode.recorder?.record(weights.unsqueezed(1), note: options.attentionFunction.label)
        let output = toOut(matrixProduct(weights, v) * gate)
        guard options.addsResidual else {
            return dropout(output, probability: Float(options.dropout), key: mode.key?.child(1))
        }
        return x.addingBranch(output, dropout: options.dropout, mode: mode.child(1))
    }

    public func collect(into state: inout StateCollector) {
        state.add("norm", norm)
        state.add("rel_pos_bias", relativeBias)
        state.add("to_hidden.0", toHidden)
        state.add("to_qk.0", toQK)
        state.add("offsetscale", offsetScale)
        state.add("to_out.0", toOut)
    }
}
