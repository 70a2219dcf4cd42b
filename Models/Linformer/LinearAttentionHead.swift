import NN
import Tensors

// Attention to k projected keys instead of n (2006.04768, section 4, equation 7):
//
//     P̄ = softmax(Q (E K)ᵀ / √d)        head = P̄ (F V)
//
// b batch, n tokens, h heads, d columns of a head, k slots

/// What the heads of an attention layer have in common.
public struct HeadOptions: Sendable {
    /// Columns of a head, d.
    public var dimension: Int
    /// Of P̄.
    public var dropout = 0.0
    public var causality = LinformerCausality.bidirectional
    /// Without projections: P instead of P̄.
    public var usesFullAttention = false
    /// With full attention: whether masked keys are hidden, or have the score 0 as in linformer-pytorch.
    public var hidesMaskedKeys = false

    public init(dimension: Int) { self.dimension = dimension }

    var scale: Float { 1 / Float(dimension).squareRoot() }
    /// Whether slots grow token by token.
    var isRecurrent: Bool { causality == .causal && !usesFullAttention }
}

/// One head. Keys: E.*, F.* (see `SequenceProjection`).
public struct LinearAttentionHead: Module {
    public let options: HeadOptions
    /// E and F.
    public let keyProjection: SequenceProjection
    public let valueProjection: SequenceProjection

    public init(_ options: HeadOptions, _ keyProjection: SequenceProjection, _ valueProjection: SequenceProjection) {
        (self.options, self.keyProjection, self.valueProjection) = (options, keyProjection, valueProjection)
    }

    /// - Parameters:
    ///   - q: [b, n, d]; k, v: [b, m, d].
    ///   - inputMask: 1 for the keys and values that take part, else 0: [b, m].
    /// - Returns: [b, n, d].
    public func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, inputMask: Tensor? = nil, mode: ForwardMode = .inference
    ) -> Tensor {
        HeadGroup(options, [self])(
            q.unsqueezed(2), k.unsqueezed(2), v.unsqueezed(2), inputMask: inputMask, mode: mode
        ).squeezed(2)
    }

    public func collect(into state: inout StateCollector) {
        keyProjection.collect("E", into: &state)
        valueProjection.collect("F", into: &state)
    }
}

/// The heads of a layer, computed together. Where they share their projections, these are applied to all at once.
struct HeadGroup: Sendable {
    let options: HeadOptions
    /// One for all heads, or one for each.
    let keyProjections: [SequenceProjection], valueProjections: [SequenceProjection]

    init(_ options: HeadOptions, _ heads: [LinearAttentionHead]) {
        func distinct(_ projections: [SequenceProjection]) -> [SequenceProjection] {
            projections.allSatisfy { $0.weight === projections[0].weight } ? [projections[0]] : projections
        }
        self.options = options
        keyProjections = distinct(heads.map(\.keyProjection))
        valueProjections = distinct(heads.map(\.valueProjection))
    }

    /// q: [b, n, h, d]; k, v: [b, m, h, d] → [b, n, h, d].
    func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, inputMask: Tensor?, mode: ForwardMode
    ) -> Tensor {
        let seen = inputMask.map { $0.unsqueezed(-1).unsqueezed(-1) }
        let (keys, values) = (seen.map { k * $0 } ?? k, seen.map { v * $0 } ?? v)
        if options.isRecurrent { return recurrent(q, keys, values, mode) }
        if options.usesFullAttention {
            return attend(q, keys, values, mask: options.hidesMaskedKeys ? inputMask : nil, mode)
        }
        return attend(q, project(keys, keyProjections), project(values, valueProjections), mode)
    }

    /// Attention to projected keys and values (or to all of them): q: [b, n, h, d]; k, v: [b, k, h, d].
    func attend(_ q: Tensor, _ k: Tensor, _ v: Tensor, mask: Tensor? = nil, _ mode: ForwardMode) -> Tensor {
        /// The compatible mask hides slot j from the positions before j.
        func weigh(_ values: Tensor, _ key: RandomKey?) -> Tensor {
            let isCausal = options.causality != .bidirectional
            switch mode.implementation {
            case .plain:
                return plainAttention(
                    q, k, values, scale: options.scale, isCausal: isCausal, mask: mask, dropout: options.dropout,
                    key: key)
            case .fused:
                return attention(
                    q, k, values, scale: options.scale, isCausal: isCausal, mask: mask, dropout: options.dropout,
                    key: key)
            }
        }
        if let recorder = mode.recorder {
            // P̄ I = P̄
            let (b, m, h) = (k.shape[0], k.shape[1], k.shape[2])
            let identity = Tensor.identity(m).reshaped([1, m, 1, m]).expanded(to: [b, m, h, m])
            recorder.record(weigh(identity, nil).permuted([0, 2, 1, 3]))
        }
        return weigh(v, mode.key)
    }

    /// Keys or values of all heads through their projections, [b, n, h, d] → [b, k, h, d].
    func project(_ x: Tensor, _ projections: [SequenceProjection]) -> Tensor {
        if projections.count == 1 { return projections[0](heads: x) }
        return concatenate(
            projections.enumerated().map { head, projection in projection(heads: x.part(2, head..<head + 1)) }, axis: 2)
    }

    // MARK: Token by token

    /// The matrices e and f [k, n] of all heads, or [h, k, n] of each, for some positions.
    func steps(_ projections: [SequenceProjection], _ positions: Range<Int>) -> Tensor {
        let matrices = projections.map { $0.matrix(positions) }
        return matrices.count == 1 ? matrices[0] : stack(matrices)
    }

    /// What the slots of each head hold before the first token: [k, d], or [h, k, d].
    func initialSlots(_ projections: [SequenceProjection]) -> Tensor {
        let slots = projections.map { $0.initialSlots(columns: options.dimension) }
        return slots.count == 1 ? slots[0] : stack(slots)
    }

    /// Keys or values as they enter the slots' sums. x: [b, n, h, d] → the same shape.
    func entering(_ x: Tensor, _ projections: [SequenceProjection], from position: Int = 0) -> Tensor {
        if projections.count == 1 { return projections[0].entering(x, from: position) }
        if projections[0].method != .convolution { return x }
        return concatenate(
            projections.enumerated().map { head, projection in
                projection.entering(x.part(2, head..<head + 1), from: position)
            }, axis: 2)
    }

    private func recurrent(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ mode: ForwardMode) -> Tensor {
        let positions = 0..<q.shape[1]
        let (keys, values) = (entering(k, keyProjections), entering(v, valueProjections))
        let e = steps(keyProjections, positions)
        let f = isShared ? nil : steps(valueProjections, positions)
        let initialKeys = initialSlots(keyProjections)
        if let recorder = mode.recorder {
            recorder.record(boundedMemoryWeights(q, keys, e, initialKeys: initialKeys, scale: options.scale))
        }
        let initialValues = initialSlots(valueProjections)
        switch mode.implementation {
        case .plain:
            return plainBoundedMemoryAttention(
                q, keys, values, e: e, f: f, initialKeys: initialKeys, initialValues: initialValues,
                scale: options.scale, dropout: options.dropout, key: mode.key)
        case .fused:
            return boundedMemoryAttention(
                q, keys, values, e: e, f: f, initialKeys: initialKeys, initialValues: initialValues,
                scale: options.scale, dropout: options.dropout, key: mode.key)
        }
    }

    /// Whether E is F.
    private var isShared: Bool {
        keyProjections.count == valueProjections.count
            && zip(keyProjections, valueProjections).allSatisfy { $0.weight === $1.weight }
    }
}
