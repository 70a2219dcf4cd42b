import NN
import Tensors

// Sliding-window attention: Rae and Razavi, Do Transformers Need Deep Long-Range Memory?,
// https://aclanthology.org/2020.acl-main.672; Longformer, https://arxiv.org/abs/2004.05150. Both forms of the attention
// itself are NN's: `windowAttention`.
//
// b batch, h heads, n tokens, d columns of a head, W tokens in a window

/// Attention of each token to its own window of tokens and to those beside it.
///
/// Key: rel_pos.inv_freq, where there are rotary positions.
public struct LocalAttention: Module {
    /// Windows, positions and dropout.
    public let options: LocalAttentionOptions
    /// Nil without rotary positions.
    public let rotary: Rotary?

    /// Makes the layer, which has nothing to learn.
    public init(_ options: LocalAttentionOptions) {
        self.options = options
        rotary = options.rotaryDimension.map {
            Rotary($0, scaleBase: options.usesXpos ? options.scaleBase : nil)
        }
    }

    /// Attends over windows.
    /// - Parameters:
    ///   - q, k, v: [b, h, n, d] or [b, n, d]. Without `autopads`, n must be a multiple of W.
    ///   - mask: 1 for keys that take part, 0 for padding, [r, n], r dividing b · h: the mask of a batch row serves its
    ///     heads. A query that sees no key gets the mean over its windows, as in local-attention.
    ///   - bias: of the scores, by place in the windows or by distance, for H heads, H dividing b · h.
    ///   - windowSize: other windows than the options' (length extrapolation), only with xpos.
    /// - Returns: the shape of v.
    public func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, mask: Tensor? = nil, bias: WindowBias? = nil, windowSize: Int? = nil,
        mode: ForwardMode = .inference
    ) -> Tensor {
        require(
            [3, 4].contains(q.rank) && q.shape == k.shape && v.shape.dropLast() == k.shape.dropLast(),
            "LocalAttention: q \(q.shape), k \(k.shape), v \(v.shape): expected [b, h, n, d] or [b, n, d]")
        let (w, n) = (windowSize ?? options.windowSize, q.shape[q.rank - 2])
        require(windowSize == nil || options.usesXpos, "LocalAttention: another window size needs xpos")
        require(w >= 1, "LocalAttention: windows of \(w) tokens; expected at least 1")
        require(
            options.autopads || n % w == 0,
            "LocalAttention: \(n) tokens do not fill windows of \(w); pad them, or turn autopad on")
        let x = [q, k, v].map { q.rank == 3 ? $0.unsqueezed(1) : $0 }
        let y = attend(x[0], x[1], x[2], headsFirst: true, mask: mask, bias: bias, window: w, mode: mode)
        return q.rank == 3 ? y.squeezed(1) : y
    }

    /// Attends over windows in either layout. q, k, v: [b, n, h, d], or [b, h, n, d] with `headsFirst`; any n. Returns the same layout.
    func attend(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, headsFirst: Bool, mask: Tensor?, bias: WindowBias?, window: Int? = nil,
        mode: ForwardMode
    ) -> Tensor {
        let w = window ?? options.windowSize
        let positions = Array(0..<q.shape[headsFirst ? 2 : 1])
        let (queries, keys) = positioned(
            q, k, positions, headsFirst: headsFirst, window: w, keepsTables: true,
            implementation: mode.implementation)
        let rules = rules(q.shape[3], window: w, mask: mask, bias: bias, mode: mode)
        mode.recorder?.record(
            windowAttentionWeights(
                queries, keys, headsFirst: headsFirst, options: rules, implementation: mode.implementation))
        return windowAttention(
            queries, keys, v, headsFirst: headsFirst, options: rules, implementation: mode.implementation)
    }

    /// Normalizes keys that are shared with queries, and rotates both by their positions.
    func positioned(
        _ q: Tensor, _ k: Tensor, _ positions: [Int], headsFirst: Bool, window w: Int, keepsTables: Bool = false,
        implementation: Implementation = .fused
    ) -> (queries: Tensor, keys: Tensor) {
        let keys = options.sharesQueriesAndKeys ? k.l2Normalized() : k
        guard let rotary else { return (q, keys) }
        require(
            rotary.dimension == q.shape[3],
            "LocalAttention: rotary positions of dim \(rotary.dimension) for heads of \(q.shape[3])")
        let forKeys = rotary.table(positions, window: w, decay: -1, isKept: keepsTables)
        // The shift is by whole windows: places in a window, by which xpos decays, stay.
        let isSame = queryShift == 0 && !options.usesXpos
        let forQueries =
            isSame
            ? forKeys
            : rotary.table(
                positions.map { $0 + queryShift * w }, window: w, decay: 1, isKept: keepsTables)
        return (
            forQueries.rotate(q, headsFirst: headsFirst, implementation: implementation),
            forKeys.rotate(keys, headsFirst: headsFirst, implementation: implementation)
        )
    }

    /// Collects how scores are weighed: the keys a query sees, scale d^−½, decay between windows, mask, bias, dropout.
    func rules(
        _ d: Int, window w: Int, mask: Tensor? = nil, bias: WindowBias? = nil, mode: ForwardMode = .inference
    ) -> WindowAttentionOptions {
        var rules = WindowAttentionOptions(
            options.pattern(window: w), scale: Float(options.scale ?? 1 / Double(d).squareRoot()))
        rules.attendsSelfLast = options.sharesQueriesAndKeys
        let distances = (-rules.pattern.lookForward...rules.pattern.lookBackward).reversed()
        rules.windowFactors = rotary?.windowFactors(distances.map { $0 + queryShift }, window: w)
        (rules.mask, rules.bias) = (mask, bias)
        (rules.dropout, rules.key) = (Float(options.dropout), mode.key)
        return rules
    }

    /// The windows by which a query's position is shifted: local-attention places it in the last window seen, which is its
    /// own only where nothing follows it.
    private var queryShift: Int { options.usesTruePositions ? 0 : options.pattern(window: 1).lookForward }

    public func collect(into state: inout StateCollector) {
        if let rotary { state.add("rel_pos", rotary) }
    }
}
