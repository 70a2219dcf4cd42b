import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

/// The length of a segment of the test models: two blocks of 6 tokens.
let segmentLength = 12

/// A test model by its differences from the plain one.
struct BlockRecurrentVariant: Sendable, CustomTestStringConvertible {
    var name: String
    var change: @Sendable (inout BlockRecurrentConfiguration) -> Void

    init(_ name: String, _ change: @escaping @Sendable (inout BlockRecurrentConfiguration) -> Void = { _ in }) {
        (self.name, self.change) = (name, change)
    }

    var testDescription: String { name }

    static let plain = BlockRecurrentVariant("plain")
    static let compressed = BlockRecurrentVariant("compressed") {
        ($0.compressesMemory, $0.compressedMemoryFactor) = (true, 4)
    }
    static let lowerRead = BlockRecurrentVariant("lower read") {
        ($0.recurrentLayers, $0.readRecurrentLayers) = ([3], [1])
    }
    static let feedback = BlockRecurrentVariant("feedback") { $0.usesFeedback = true }

    static let some = [
        plain, compressed, lowerRead, feedback,
        BlockRecurrentVariant("compressed by 2") { ($0.compressesMemory, $0.compressedMemoryFactor) = (true, 2) },
        BlockRecurrentVariant("several") { ($0.recurrentLayers, $0.readRecurrentLayers) = ([3, 1, 2], [2, 1, 2]) },
        BlockRecurrentVariant("several, compressed, feedback") {
            ($0.recurrentLayers, $0.compressesMemory, $0.usesFeedback) = ([3, 1], true, true)
        },
        BlockRecurrentVariant("LSTM gate") { $0.gate = .lstm },
        BlockRecurrentVariant("single") { $0.stateUpdate = .single },
        BlockRecurrentVariant("dual, LSTM gate") { ($0.stateUpdate, $0.gate) = (.dual, .lstm) },
        BlockRecurrentVariant("attention window") { $0.attentionWindow = 4 },
        BlockRecurrentVariant("state window 3") { $0.stateWindow = 3 },
        BlockRecurrentVariant("state window 10") { ($0.stateWindow, $0.compressesMemory) = (10, true) },
        BlockRecurrentVariant("normalized") { ($0.normalizesAllLayers, $0.normalizedScale) = (true, nil) },
        BlockRecurrentVariant("temperatures") {
            ($0.learnsTemperatures, $0.normalizesAllLayers, $0.normalizedScale) = (true, true, 3)
        },
        BlockRecurrentVariant("heads of keys") { $0.keyValueHeads = 2 },
        BlockRecurrentVariant("groups of heads") { ($0.heads, $0.keyValueHeads, $0.usesFeedback) = (4, 2, true) },
        BlockRecurrentVariant("direct write") { $0.writesDirectly = true },
        BlockRecurrentVariant("direct write, LSTM gate") {
            ($0.writesDirectly, $0.gate, $0.forgetBias) = (true, .lstm, 3)
        },
        BlockRecurrentVariant("authors") {
            ($0.writesDirectly, $0.gate, $0.keyValueHeads, $0.learnsTemperatures) = (true, .lstm, 2, true)
            ($0.attentionWindow, $0.stateWindow, $0.identifierScale) = (7, 12, 3)
        },
        BlockRecurrentVariant("relative bias") { $0.usesRelativeBias = true },
        BlockRecurrentVariant("relative bias, compressed") {
            ($0.usesRelativeBias, $0.compressesMemory) = (true, true)
        },
        BlockRecurrentVariant("relative bias, temperatures") {
            ($0.usesRelativeBias, $0.learnsTemperatures, $0.keyValueHeads, $0.attentionWindow) = (true, true, 2, 7)
        },
        BlockRecurrentVariant("no states") { $0.recurrentLayers = [] },
        BlockRecurrentVariant("block width 1") { ($0.blockWidth, $0.maximumLength) = (1, 12) },
    ]
}

func makeBlockRecurrentConfiguration(_ variant: BlockRecurrentVariant = .plain) -> BlockRecurrentConfiguration {
    var configuration = BlockRecurrentConfiguration(tokens: vocabulary, dimension: 12, depth: 3)
    (configuration.heads, configuration.headDimension) = (2, 4)
    (configuration.blockWidth, configuration.maximumLength) = (6, segmentLength)
    (configuration.stateVectors, configuration.recurrentLayers) = (5, [2])
    configuration.feedForwardMultiple = 2
    configuration.normalizedScale = 8
    variant.change(&configuration)
    return configuration
}

func makeBlockRecurrentModel(_ variant: BlockRecurrentVariant = .plain, seed: UInt64 = 1) -> BlockRecurrentTransformer {
    BlockRecurrentTransformer(makeBlockRecurrentConfiguration(variant), key: RandomKey(seed: seed))
}

extension BlockRecurrentTransformer {
    /// Logits of a text of any length, read in segments, and what is remembered then.
    func read(_ tokens: TokenTensor) -> (logits: Tensor, carries: [RecurrentMemory?]) {
        let n = tokens.shape[1]
        var carries = [RecurrentMemory?](repeating: nil, count: tokens.shape[0])
        var parts: [Tensor] = []
        for start in stride(from: 0, to: n, by: segmentLength) {
            let (logits, next) = logits(
                tokens.columns(start..<min(start + segmentLength, n)), carries: carries, mode: .inference)
            parts.append(logits)
            carries = next
        }
        return (concatenate(parts, axis: 1), carries)
    }
}

/// Expects two ways through the small model to agree: its matrices and sums over 40 tokens, in numbers of about 1.
func expectSameBlockRecurrent(
    _ got: Tensor, _ expected: Tensor, _ what: String, location: SourceLocation = #_sourceLocation
) {
    #expect(got.shape == expected.shape, "\(what)", sourceLocation: location)
    let lengths = SumLengths(shapes: makeBlockRecurrentModel().state.map(\.parameter.shape) + [[1, 40]], rows: 1)
    expectClose(got, expected, roundings: lengths.path, magnitude: 1, what, sourceLocation: location)
}
