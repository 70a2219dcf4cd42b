import NN
import Tensors

/// The parameters that make the slots of a finished segment of its keys, or of its values.
///
/// Keys: weight [r, m] (dynamic), [r, l] (learnable) or [r · d, d, l] and bias [r · d] (convolution).
struct SegmentWeights: Sendable {
    let weight: Parameter
    let bias: Parameter?

    /// Draws the initial values.
    /// - Parameters:
    ///   - slots: r.
    ///   - channels: m, of the layer's input.
    init(_ options: LinformerSegments, slots: Int, channels: Int, headWidth d: Int, key: RandomKey) {
        let l = options.length
        func uniform(_ shape: [Int], _ inputs: Int, _ index: Int) -> Parameter {
            let bound = 1 / Float(inputs).squareRoot()
            return Parameter(.uniform(shape, low: -bound, high: bound, key: key.child(index)))
        }
        switch options.projection {
        case .dynamic: (weight, bias) = (uniform([slots, channels], channels, 0), nil)
        case .learnable:
            // The mean of the segment, and a tenth of Xavier's numbers to tell slots apart.
            let deviation = 0.1 * (2 / Float(l + slots)).squareRoot()
            weight = Parameter(.normal([slots, l], standardDeviation: deviation, key: key.child(0)))
            bias = nil
            if !Outline.isActive { weight.assign(weight.value + 1 / Float(l)) }
        case .convolution:
            (weight, bias) = (uniform([slots * d, d, l], d * l, 0), uniform([slots * d], d * l, 1))
        case .mean: fatalError("SegmentWeights: means have no parameters")
        }
    }

    /// Weights that are part of a larger matrix.
    fileprivate init(part weight: Parameter) { (self.weight, bias) = (weight, nil) }

    /// The part of the first r slots: how layers of fewer slots share parameters. Those of a slot are `rows` of the weight.
    func first(_ slots: Int, rows: Int = 1) -> (weight: Tensor, bias: Tensor?) {
        (weight.value.part(0, 0..<slots * rows), bias?.value.part(0, 0..<slots * rows))
    }

    func collect(_ name: String, into state: inout StateCollector) {
        state.add(name + ".weight", weight)
        if let bias { state.add(name + ".bias", bias) }
    }
}

extension LinformerConfiguration {
    /// Makes the projection of segments that all layers share, if they do.
    func sharedSegments(key: RandomKey) -> SegmentWeights? {
        guard causality == .segments && sharing == .layerwise && segments.hasWeights else { return nil }
        return SegmentWeights(
            segments, slots: segments.slots, channels: channels, headWidth: headWidth, key: key.child(3))
    }
}

/// The projections of the segments of a layer, of keys and of values: one for all heads, or one for each.
struct SegmentProjections: Sendable {
    let keys: [SegmentWeights], values: [SegmentWeights]
    /// Those of all heads' keys, then of their values, as one matrix [2 h r, m], where each has its own for scores.
    private let packed: PackedParameters?
    private let options: LinformerSegments
    /// r, of this layer.
    private let slots: Int
    private let heads: Int

    /// - Parameter shared: that of all layers, made here if nil.
    init(
        _ configuration: LinformerConfiguration, slots: Int, channels: Int, shared: SegmentWeights?, key: RandomKey
    ) {
        (options, heads, self.slots) = (configuration.segments, configuration.heads, slots)
        func make(_ index: Int) -> SegmentWeights {
            SegmentWeights(
                configuration.segments, slots: slots, channels: channels, headWidth: configuration.headWidth,
                key: key.child(index))
        }
        guard options.hasWeights else {
            (keys, values, packed) = ([], [], nil)
            return
        }
        switch configuration.sharing {
        case .layerwise, .kv:
            keys = [shared ?? make(0)]
            (values, packed) = (keys, nil)
        case .headwise: (keys, values, packed) = ([make(0)], [make(1)], nil)
        case .none:
            let made = (0..<heads).map { make(2 * $0) } + (0..<heads).map { make(2 * $0 + 1) }
            packed = options.projection == .dynamic ? PackedParameters(made.map(\.weight.value)) : nil
            let each = packed.map { $0.parts.map(SegmentWeights.init(part:)) } ?? made
            (keys, values) = (Array(each.prefix(heads)), Array(each.suffix(heads)))
        }
    }

    /// True where keys and values share one projection.
    private var isOne: Bool { keys.count == 1 && keys[0].weight === values[0].weight }

    /// Projects the finished segments of keys and values [b, n, h, d] to slots [b, c · r, h, d].
    /// - Parameters:
    ///   - scores: of `scores(_:)`.
    ///   - mask: 1 for tokens that take part, else 0, [b, n].
    func callAsFunction(
        _ k: Tensor, _ v: Tensor, scores: (keys: Tensor, values: Tensor)?, mask: Tensor? = nil,
        implementation: Implementation = .fused
    ) -> (keys: Tensor, values: Tensor) {
        func slots(_ x: Tensor, _ weights: [SegmentWeights], _ scores: Tensor?) -> Tensor {
            guard options.projection == .convolution && weights.count > 1 else {
                return projectSegments(
                    x, projection(weights, scores, columns: x.shape[3]), segmentLength: options.length, mask: mask,
                    implementation: implementation)
            }
            let parts = weights.enumerated().map { head, weight in
                projectSegments(
                    x.part(2, head..<head + 1), projection([weight], nil, columns: x.shape[3]),
                    segmentLength: options.length, mask: mask, implementation: implementation)
            }
            return concatenate(parts, axis: 2)
        }
        return (slots(k, keys, scores?.keys), slots(v, values, scores?.values))
    }

    private func projection(_ weights: [SegmentWeights], _ scores: Tensor?, columns d: Int) -> SegmentProjection {
        switch options.projection {
        case .mean: return .mean(slots: slots)
        case .dynamic: return .dynamic(scores: scores!)
        case .learnable:
            let each = weights.map { $0.first(slots).weight }
            return .learnable(each.count == 1 ? each[0] : stack(each))
        case .convolution:
            let (weight, bias) = weights[0].first(slots, rows: d)
            return .convolution(weight: weight, bias: bias)
        }
    }

    /// The projections W_p of the layer's input to scores; none where a slot's weights do not depend on its tokens.
    var ofTokens: [Projection] {
        guard options.projection == .dynamic && slots > 0 else { return [] }
        if let packed { return [Projection(weight: packed.value)] }
        return (isOne ? keys : keys + values).map { Projection(weight: $0.first(slots).weight) }
    }

    /// The scores whose softmax over a segment's tokens weighs them for its slots, W_p x; nil where weights do not depend on
    /// the tokens.
    /// - Parameter projected: what `ofTokens` make of the tokens, [..., 2 h r], or [..., r] each.
    /// - Returns: [..., h, r] for keys and for values.
    func scores(_ projected: [Tensor]) -> (keys: Tensor, values: Tensor)? {
        guard let first = projected.first else { return nil }
        let outer = first.shape.dropLast()
        if packed != nil {
            let both = first.reshaped(outer + [2 * heads, slots])
            return (both.part(outer.count, 0..<heads), both.part(outer.count, heads..<2 * heads))
        }
        let each = projected.map { $0.reshaped(outer + [1, slots]).expanded(to: outer + [heads, slots]) }
        return (each[0], each[each.count - 1])
    }

    /// Adds heads.i.E and heads.i.F, repeated where heads share them.
    func collect(into state: inout StateCollector) {
        for head in 0..<(keys.isEmpty ? 0 : heads) {
            keys[keys.count == 1 ? 0 : head].collect("heads.\(head).E", into: &state)
            values[values.count == 1 ? 0 : head].collect("heads.\(head).F", into: &state)
        }
    }
}
