import NN
import Tensors
import Testing

@testable import LocalTransformers

/// Options in which a test's model differs.
struct LocalVariant: CustomTestStringConvertible, Sendable {
    enum Positions: String { case rotary, xpos, bias, none }

    var positions = Positions.rotary
    var back = 1
    var exact = true
    var streams = 1
    var norm = false
    var gates = false
    var shared = false

    var testDescription: String {
        let flags = [(exact, "exact"), (norm, "qk_rmsnorm"), (gates, "gates"), (shared, "shared_qk")]
        return "\(positions) back \(back) streams \(streams) "
            + flags.filter(\.0).map(\.1).joined(separator: " ")
    }

    func apply(_ configuration: inout LocalConfiguration) {
        configuration.usesDynamicBias = positions == .bias
        configuration.attention.attention.usesRotary = positions == .rotary || positions == .xpos
        configuration.attention.attention.usesXpos = positions == .xpos
        configuration.attention.attention.lookBackward = back
        configuration.attention.attention.isExact = exact
        configuration.attention.attention.sharesQueriesAndKeys = shared
        configuration.attention.normalizesQueriesAndKeys = norm
        configuration.attention.gatesHeads = gates
        configuration.residualStreams = streams
    }

    /// Every value of every option at least twice, beside different others.
    static let some = [
        LocalVariant(), LocalVariant(back: 2, exact: false, streams: 4),
        LocalVariant(positions: .bias, streams: 4, norm: true),
        LocalVariant(positions: .bias, back: 3, exact: false, gates: true),
        LocalVariant(positions: .xpos, back: 2, streams: 2, gates: true),
        LocalVariant(positions: .xpos, back: 1, exact: false, norm: true),
        LocalVariant(positions: .none, back: 3, streams: 2, shared: true),
        LocalVariant(back: 1, exact: false, norm: true, gates: true, shared: true),
        LocalVariant(positions: .none, back: 0, exact: false, streams: 3), LocalVariant(back: 0),
    ]
}

/// A small model whose parameters are moved off their initial values, so that every path carries weight.
func makeLocalModel(
    _ variant: LocalVariant = LocalVariant(), causal: Bool = true, window: Int = 4, maximumLength: Int = 40,
    depth: Int = 2,
    change: (inout LocalConfiguration) -> Void = { _ in }
) -> LocalTransformer {
    var configuration = LocalConfiguration(
        tokens: vocabulary, maximumLength: maximumLength, dimension: 12, depth: depth, windowSize: window)
    configuration.attention.headDimension = 6
    configuration.attention.heads = 2
    configuration.feedForwardMultiple = 2
    configuration.attention.attention.isCausal = causal
    variant.apply(&configuration)
    change(&configuration)
    let model = LocalTransformer(configuration, key: RandomKey(seed: 7))
    moveLocalOffInitialValues(model)
    return model
}

func moveLocalOffInitialValues(_ model: any Module) {
    for (index, (key, parameter)) in model.trainable.enumerated() {
        let noise = Tensor.normal(parameter.shape, standardDeviation: 0.1, key: RandomKey(seed: 8).child(index))
        // Scores of a few tenths make all weights alike; the dynamic part of a connection starts at 1e-2 of the other.
        let scale: Float = key.hasSuffix("to_qkv.weight") ? 3 : 1
        let offset: Float = key.hasSuffix("alpha_scale") || key.hasSuffix("beta_scale") ? 0.4 : 0
        parameter.assign(parameter.value.detached() * scale + noise + offset)
    }
}
