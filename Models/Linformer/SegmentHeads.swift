import Foundation
import NN
import Tensors

// Attention to a window and to the slots of finished segments, under one softmax: Long-Short Transformer, Zhu et al. 2021,
// https://arxiv.org/abs/2107.02192, with a window that slides token by token.
//
// b batch, n tokens, m channels, h heads, d columns of a head, w tokens of the window, l tokens of a segment,
// c = ⌊n / l⌋ finished segments, r slots of each

/// The norms of keys and values in the window and in the slots (DualLN: 2107.02192, section 3.3), which otherwise differ in
/// scale, as slots are means.
///
/// Keys: window_keys.*, window_values.*, slot_keys.*, slot_values.*, weight and bias [d] each.
struct DualNorm: Module {
    let windowKeys: LayerNorm, windowValues: LayerNorm, slotKeys: LayerNorm, slotValues: LayerNorm

    /// - Parameter d: columns of a head.
    init(_ d: Int) {
        (windowKeys, windowValues) = (LayerNorm(d), LayerNorm(d))
        (slotKeys, slotValues) = (LayerNorm(d), LayerNorm(d))
    }

    func collect(into state: inout StateCollector) {
        state.add("window_keys", windowKeys)
        state.add("window_values", windowValues)
        state.add("slot_keys", slotKeys)
        state.add("slot_values", slotValues)
    }
}

/// The heads of a layer of `causal: "segments"`.
///
/// Keys: heads.i.{E, F}.* (see `SegmentWeights`); dual_norm.*; window_bias [h, w] with relative positions; slot_bias
/// [h, slot_distances].
struct SegmentHeads: CausalHeads {
    let options: LinformerSegments
    /// r, of this layer.
    let slots: Int
    let projections: SegmentProjections
    let norms: DualNorm?
    let rotary: Rotary?
    let windowBias: Parameter?
    let slotBias: Parameter?
    let headWidth: Int
    let dropout: Double

    /// - Parameters:
    ///   - layer: from 0.
    ///   - shared: the projection of segments of all layers, if they share it.
    init(_ configuration: LinformerConfiguration, layer: Int, shared: SegmentWeights?, key: RandomKey) {
        let (h, d, options) = (configuration.heads, configuration.headWidth, configuration.segments)
        slots = options.slots(layer: layer, reduction: configuration.slotReduction)
        projections = SegmentProjections(
            configuration, slots: slots, channels: configuration.widths(layer: layer).input, shared: shared, key: key)
        norms = options.usesDualNorm ? DualNorm(d) : nil
        rotary = options.positions == .rotary ? Rotary(d) : nil
        windowBias =
            options.positions == .relative ? Self.slopes(heads: h, window: options.window, key: key.child(2 * h)) : nil
        slotBias = slots > 0 && options.distances > 0 ? Parameter(.zeros([h, options.distances])) : nil
        (self.options, headWidth, dropout) = (options, d, configuration.dropout)
    }

    /// Makes a bias that falls with the distance, more steeply in each head than in the next (ALiBi: 2108.12409, section 3), so
    /// that training begins with near tokens before far ones; with a little noise, as layers are to differ. Returns [h, w].
    private static func slopes(heads h: Int, window w: Int, key: RandomKey) -> Parameter {
        let bias = Parameter(.normal([h, w], standardDeviation: 0.02, key: key))
        if Outline.isActive { return bias }
        let slopes = Tensor((1...h).map { exp2(-8 * Float($0) / Float(h)) }, shape: [h, 1])
        bias.assign(bias.value - slopes * Tensor.range(w))
        return bias
    }

    var inputProjections: [Projection] { projections.ofTokens }

    /// Attends: o = softmax([q·k of the window] ⊕ [q·K̃ of slots]) [v ; Ṽ] (2107.02192, equation 6).
    func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, projected: [Tensor], mask: Tensor?, mode: ForwardMode
    ) -> Tensor {
        let form = mode.implementation
        let table = rotary?.table(Array(0..<q.shape[1]), isKept: true)
        let window = window(q, k, v, table: table, implementation: form)
        let slots = slots(k, v, scores: projections.scores(projected), mask: mask, form)  // [b, c r, h, d]
        var rules = rules
        (rules.mask, rules.slotMask) = (
            mask, mask.flatMap { slots == nil ? nil : segmentMask($0, segmentLength: options.length) }
        )
        (rules.dropout, rules.key) = (Float(dropout), mode.key)
        mode.recorder?.record(
            segmentAttentionWeights(
                window.queries, window.keys, slotQueries: q, slotKeys: slots?.keys, options: rules))
        return segmentAttention(
            window.queries, window.keys, window.values, slotQueries: rotary == nil ? nil : q, slotKeys: slots?.keys,
            slotValues: slots?.values, options: rules, implementation: form)
    }

    /// Prepares rows for the window: normalizes keys and values, and rotates queries and keys by a table of their positions.
    /// q, k, v: [b, n, h, d] → the same shapes.
    func window(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, table: RotaryTable?, implementation: Implementation = .fused
    ) -> (queries: Tensor, keys: Tensor, values: Tensor) {
        let (keys, values) = norms.map { ($0.windowKeys(k), $0.windowValues(v)) } ?? (k, v)
        guard let table else { return (q, keys, values) }
        return (
            table.rotate(q, implementation: implementation), table.rotate(keys, implementation: implementation), values
        )
    }

    /// The slots of finished segments, [b, c · r, h, d]; nil where a segment has none. k, v: [b, n, h, d]
    func slots(
        _ k: Tensor, _ v: Tensor, scores: (keys: Tensor, values: Tensor)?, mask: Tensor? = nil,
        _ implementation: Implementation = .fused
    ) -> (keys: Tensor, values: Tensor)? {
        if slots == 0 { return nil }
        let made = projections(k, v, scores: scores, mask: mask, implementation: implementation)
        return norms.map { ($0.slotKeys(made.keys), $0.slotValues(made.values)) } ?? made
    }

    /// The options of `segmentAttention`, but for masks and dropout.
    var rules: SegmentAttentionOptions {
        var rules = SegmentAttentionOptions(
            window: options.window, segmentLength: options.length, slots: slots,
            scale: 1 / Float(headWidth).squareRoot())
        rules.reach = options.reach == .window ? .beforeWindow : .allFinished
        rules.maxSegments = options.maximum
        (rules.windowBias, rules.slotBias) = (windowBias?.value, slotBias?.value)
        return rules
    }

    func collect(into state: inout StateCollector) {
        projections.collect(into: &state)
        if let norms { state.add("dual_norm", norms) }
        if let windowBias { state.add("window_bias", windowBias) }
        if let slotBias { state.add("slot_bias", slotBias) }
    }
}
