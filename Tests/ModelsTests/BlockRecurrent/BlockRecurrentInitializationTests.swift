import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

/// The parameters before training.
@Suite("Initialization") struct BlockRecurrentInitializationTests {
    private let model = makeBlockRecurrentModel(
        BlockRecurrentVariant("wide") {
            ($0.dimension, $0.headDimension, $0.stateVectors) = (64, 32, 64)
            ($0.recurrentLayers, $0.compressesMemory, $0.blockWidth, $0.maximumLength) = ([1, 2], true, 8, 16)
        })

    private func deviation(_ tensor: Tensor) -> Double {
        let squares = tensor.values.reduce(0.0) { $0 + Double($1) * Double($1) }
        return (squares / Double(tensor.count)).squareRoot()
    }

    /// The tolerances: the deviation of thousands of numbers is known to a few per cent, of 64 to three times a tenth.
    @Test("Initial distributions are the peer's") func distributionsAreThePeers() {
        let expected: [(suffix: String, deviation: Double, tolerance: Double)] = [
            ("token_emb.weight", 1, 0.12), ("init_state", 0.1, 0.01), ("state_pos_ids", 1, 0.05),
            ("learned_ema_beta", 0.1, 0.03),
            // Uniform within 1 / √inputs.
            ("to_q.weight", 1 / 192.0.squareRoot(), 0.005),
            ("layers.0.0.to_out.weight", 1 / (3 * 128.0).squareRoot(), 0.01),
            ("q_to_state.weight", 1 / 192.0.squareRoot(), 0.005),
            ("1.1.weight", 1 / (3 * 32.0 * 4).squareRoot(), 0.005),
        ]
        for (suffix, deviation, tolerance) in expected {
            let found = model.state.filter { $0.key.hasSuffix(suffix) }
            #expect(!found.isEmpty, "\(suffix)")
            for (key, parameter) in found where !(suffix == "1.1.weight" && !key.hasPrefix("mem_manager")) {
                #expect(abs(self.deviation(parameter.value) - deviation) < tolerance, "\(key)")
            }
        }
        for (key, parameter) in model.state where key.hasSuffix("_scale") || key.hasSuffix("gamma") {
            #expect(parameter.value.values.allSatisfy { $0 == 1 }, "\(key)")
        }
    }

    /// The authors' scaling, and the sizes that options set.
    @Test("Options set initial sizes") func optionsSetInitialSizes() {
        let model = makeBlockRecurrentModel(
            BlockRecurrentVariant("authors") {
                ($0.dimension, $0.headDimension, $0.stateVectors, $0.gate) = (64, 32, 64, .lstm)
                ($0.writesDirectly, $0.learnsTemperatures, $0.normalizedScale) = (true, true, 16)
                ($0.initialStateScale, $0.identifierScale, $0.usesRelativeBias) = (0.5, 3, true)
            })
        let expected: [(suffix: String, deviation: Double, tolerance: Double)] = [
            ("init_state", 0.5, 0.03), ("state_pos_ids", 3, 0.15),
            ("to_state_out.weight", 1 / 128.0.squareRoot(), 0.005),
            ("direct_gate.weight", (0.1 / 128).squareRoot(), 0.002), ("direct_gate.bias", 0.1, 0.03),
            ("relative_position_bias.weight", 1 / 32.0.squareRoot(), 0.05),
            ("to_state_cross_attn.temperature", 16, 0), ("attn.temperature", 16, 0),
        ]
        for (suffix, deviation, tolerance) in expected {
            let found = model.state.filter { $0.key.hasSuffix(suffix) }
            #expect(!found.isEmpty, "\(suffix)")
            for (key, parameter) in found {
                #expect(abs(self.deviation(parameter.value) - deviation) <= tolerance, "\(key)")
            }
        }
    }
}
