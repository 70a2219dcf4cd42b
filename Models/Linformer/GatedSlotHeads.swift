import NN
import Tensors

// The heads of `causal: "gated-slots"` (2409.07146): tokens say how much of each slot they replace.
//
// b batch, n tokens, c channels, h heads, d columns of a head, m slots

/// The heads of a layer of gated slots.
///
/// Keys: to_forget.i.weight, [m, c] a head.
struct GatedSlotHeads: CausalHeads {
    /// W of all heads: one matrix [h m, c] in memory.
    let toForget: PackedParameters
    let headWidth: Int
    let dropout: Double

    /// σ^{1/8}: gates begin at 0.92, and with them memories of a dozen tokens (2409.07146, section 3.3).
    static let temperature: Float = 8

    /// - Parameter layer: from 0.
    init(_ configuration: LinformerConfiguration, layer: Int, key: RandomKey) {
        let (channels, slots) = (configuration.widths(layer: layer).input, configuration.slots(layer: layer))
        toForget = PackedParameters(
            (0..<configuration.heads).map { Linear(channels, slots, bias: false, key: key.child($0)).weight.value },
            isMatrix: true)
        (headWidth, dropout) = (configuration.headWidth, configuration.dropout)
    }

    var inputProjections: [Projection] { [Projection(weight: toForget.matrix)] }

    /// Computes ln α = ln σ(z) / 8 of z = W x. z: [..., h m] → [..., h, m]
    func logForget(_ z: Tensor) -> Tensor {
        let (h, m) = (toForget.parts.count, toForget.parts[0].shape[0])
        return (softplus(-z) / -Self.temperature).reshaped(z.shape.dropLast() + [h, m])
    }

    var scale: Float { 1 / Float(headWidth).squareRoot() }

    /// Attends; masked tokens have α = 1, which leaves the slots as they are.
    func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, projected: [Tensor], mask: Tensor?, mode: ForwardMode
    ) -> Tensor {
        let all = logForget(projected[0])  // [b, n, h, m]
        let logForget = mask.map { all * $0.unsqueezed(-1).unsqueezed(-1) } ?? all
        mode.recorder?.record(
            gatedSlotWeights(q, k, logForget: logForget, scale: scale, implementation: mode.implementation))
        return gatedSlotAttention(
            q, k, v, logForget: logForget, scale: scale, dropout: dropout, key: mode.key,
            implementation: mode.implementation
        ).output
    }

    func startDecoding() -> GatedSlotMemory {
        GatedSlotMemory(heads: toForget.parts.count, slots: toForget.parts[0].shape[0], headWidth, headWidth)
    }

    func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, projected: [Tensor], spans: [Range<Int>],
        to memories: inout [GatedSlotMemory]
    ) -> Tensor {
        let logForget = logForget(projected[0])  // [rows, h, m]
        return concatenate(
            spans.indices.map { index in
                let rows = spans[index]
                return memories[index].append(
                    q.part(0, rows), k.part(0, rows), v.part(0, rows), logForget: logForget.part(0, rows),
                    scale: scale)
            })
    }

    func collect(into state: inout StateCollector) {
        for (head, weight) in toForget.parts.enumerated() { state.add("to_forget.\(head).weight", weight) }
    }
}

extension LinformerConfiguration {
    /// Refuses ways to share and make projections, as gated slots have none: each head has gates of its own.
    func checkGatedSlots() throws {
        if [.headwise, .kv].contains(sharing) {
            throw ConfigurationError(
                "parameter_sharing",
                "\(sharing.rawValue) with causal \(causality.json), which has no projections to share; expected none")
        }
        if method != .learnable {
            throw ConfigurationError(
                "method",
                "\(method.rawValue) with causal \(causality.json), which has no projections; expected learnable")
        }
    }
}
