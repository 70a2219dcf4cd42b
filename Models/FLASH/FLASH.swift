import NN
import Tensors

// One layer of FLASH: a gated attention unit whose attention is quadratic inside groups and linear across them.
// Transformer Quality in Linear Time, Hua et al. 2022, https://arxiv.org/abs/2202.10447, section 3.2 and code 1.
//
// b batch, n tokens, d model, e expanded, s query/key dimension, g group

/// A FLASH layer.
///
/// Keys: rotary_pos_emb.freqs (shared by the layers of a model), rel_pos_bias.relative_attention_bias.weight,
/// norm.{g | weight, bias}, to_hidden.0.{weight, bias} (v first, then the gate), to_qk.0.{weight, bias},
/// qk_offset_scale.{gamma, beta} (q₁, q₂, k₁, k₂), to_out.{weight, bias}.
public struct FLASH: Module {
    /// What a layer is made from; see `FLASHConfiguration` for the meaning.
    public struct Options: Sendable {
        public var dimension: Int
        public var groupSize = 256
        public var queryKeyDimension = 128
        public var expansionFactor = 2.0
        public var isCausal = false
        public var dropout = 0.0
        public var normType = NormType.layerNorm
        public var shiftsTokens = false
        public var attentionFunction = AttentionFunction.reluSquared
        public var reducesGroups = true
        public var masksTokenShift = false
        public var dividesByValidCount = false

        public init(dimension: Int) { self.dimension = dimension }
    }

    public let options: Options
    public let rotary: RotaryEmbedding?
    public let relativeBias: T5RelativePositionBias
    public let norm: any NormLayer
    public let toHidden: Linear
    public let toQK: Linear
    public let offsetScale: OffsetScale
    public let toOut: Linear

    public init(_ options: Options, rotary: RotaryEmbedding? = nil, key: RandomKey) {
        let (d, s) = (options.dimension, options.queryKeyDimension)
        let e = Int(options.expansionFactor * Double(d))
        self.options = options
        self.rotary = rotary
        relativeBias = T5RelativePositionBias(
            scale: Float(s).squareRoot(), causal: options.isCausal, key: key.child(0))
        norm = options.normType.make(d)
        toHidden = Linear(d, 2 * e, key: key.child(1))
        toQK = Linear(d, s, key: key.child(2))
        offsetScale = OffsetScale(s, heads: 4, key: key.child(3))
        toOut = Linear(e, d, key: key.child(4))
    }

    /// - Parameters:
    ///   - x: [b, n, d].
    ///   - mask: 1 for tokens that take part, 0 for padding, [b, n] or [n].
    ///   - table: the rotation of positions 0 ..< n where several layers share it.
    /// - Returns: [b, n, d], the residual included.
    public func callAsFunction(
        _ x: Tensor, mask: Tensor? = nil, table: RotaryTable? = nil, mode: ForwardMode = .inference
    ) -> Tensor {
        let d = options.dimension
        require(x.rank == 3 && x.shape[2] == d, "FLASH: x \(x.shape), expected [b, n, \(d)]")
        let (b, n) = (x.shape[0], x.shape[1])
        let mask = mask.map { $0.expanded(to: [b, n]).contiguous() }
        let (hidden, qk) = projections(x, mask)  // [b, n, 2e], [b, n, s]
        let attention = MixedChunkAttention(
            hidden: hidden, qk: qk, gamma: offsetScale.gamma.value, beta: offsetScale.beta.value,
            bias: relativeBias.byDistance(options.groupSize), mask: mask, rotary: table ?? rotary?.table(n),
            groupSize: options.groupSize, function: options.attentionFunction, context: context,
            divisors: divisors(mask), dropout: Float(options.dropout), key: mode.key)
        mode.recorder?.record(attention.weights(), note: "\(options.attentionFunction.label) in groups")
        return toOut(attention.record(), residual: x)  // [b, n, e] → [b, n, d]
    }

    /// The normalised, shifted input through both projections, before their activations.
    private func projections(_ x: Tensor, _ mask: Tensor?) -> (hidden: Tensor, qk: Tensor) {
        if let mask, options.shiftsTokens, options.masksTokenShift {
            let shifted = shiftTokens(norm(x) * mask.unsqueezed(-1))
            return (toHidden(shifted), toQK(shifted))
        }
        let both = normLinear(
            x, norm: norm.norm, shiftTokens: options.shiftsTokens, [toHidden.projection, toQK.projection])
        return (both[0], both[1])
    }

    /// The first ⌈d/2⌉ features of each token from the one before it. x: [b, n, d]
    private func shiftTokens(_ x: Tensor) -> Tensor {
        let (n, d) = (x.shape[1], x.shape[2])
        let half = (d + 1) / 2
        let before = concatenate([.zeros([x.shape[0], 1, half]), x.sliced(1, to: n - 1).sliced(2, to: half)], axis: 1)
        return concatenate([before, x.sliced(2, from: half)], axis: 2)
    }

    private var context: LinearContext {
        options.isCausal ? .earlierGroups : options.reducesGroups ? .allGroups : .ownGroup
    }

    private func divisors(_ mask: Tensor?) -> [Float]? {
        guard let mask, options.dividesByValidCount, !options.isCausal else { return nil }
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
