import FixtureSupport
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

let vocabulary = 11
/// The length of a segment of the test models: two blocks of 6 tokens.
let segmentLength = 12

/// A test model by its differences from the plain one.
struct Variant: Sendable, CustomTestStringConvertible {
    var name: String
    var change: @Sendable (inout BlockRecurrentConfiguration) -> Void

    init(_ name: String, _ change: @escaping @Sendable (inout BlockRecurrentConfiguration) -> Void = { _ in }) {
        (self.name, self.change) = (name, change)
    }

    var testDescription: String { name }

    static let plain = Variant("plain")
    static let compressed = Variant("compressed") { ($0.compressesMemory, $0.compressedMemoryFactor) = (true, 4) }
    static let lowerRead = Variant("lower read") { ($0.recurrentLayers, $0.readRecurrentLayers) = ([3], [1]) }
    static let feedback = Variant("feedback") { $0.usesFeedback = true }

    static let some = [
        plain, compressed, lowerRead, feedback,
        Variant("compressed by 2") { ($0.compressesMemory, $0.compressedMemoryFactor) = (true, 2) },
        Variant("several") { ($0.recurrentLayers, $0.readRecurrentLayers) = ([3, 1, 2], [2, 1, 2]) },
        Variant("several, compressed, feedback") {
            ($0.recurrentLayers, $0.compressesMemory, $0.usesFeedback) = ([3, 1], true, true)
        },
        Variant("LSTM gate") { $0.gate = .lstm },
        Variant("single") { $0.stateUpdate = .single },
        Variant("dual, LSTM gate") { ($0.stateUpdate, $0.gate) = (.dual, .lstm) },
        Variant("attention window") { $0.attentionWindow = 4 },
        Variant("state window 3") { $0.stateWindow = 3 },
        Variant("state window 10") { ($0.stateWindow, $0.compressesMemory) = (10, true) },
        Variant("normalized") { ($0.normalizesAllLayers, $0.normalizedScale) = (true, nil) },
        Variant("temperatures") {
            ($0.learnsTemperatures, $0.normalizesAllLayers, $0.normalizedScale) = (true, true, 3)
        },
        Variant("heads of keys") { $0.keyValueHeads = 2 },
        Variant("groups of heads") { ($0.heads, $0.keyValueHeads, $0.usesFeedback) = (4, 2, true) },
        Variant("direct write") { $0.writesDirectly = true },
        Variant("direct write, LSTM gate") { ($0.writesDirectly, $0.gate, $0.forgetBias) = (true, .lstm, 3) },
        Variant("authors") {
            ($0.writesDirectly, $0.gate, $0.keyValueHeads, $0.learnsTemperatures) = (true, .lstm, 2, true)
            ($0.attentionWindow, $0.stateWindow, $0.identifierScale) = (7, 12, 3)
        },
        Variant("relative bias") { $0.usesRelativeBias = true },
        Variant("relative bias, compressed") { ($0.usesRelativeBias, $0.compressesMemory) = (true, true) },
        Variant("relative bias, temperatures") {
            ($0.usesRelativeBias, $0.learnsTemperatures, $0.keyValueHeads, $0.attentionWindow) = (true, true, 2, 7)
        },
        Variant("no states") { $0.recurrentLayers = [] },
        Variant("block width 1") { ($0.blockWidth, $0.maximumLength) = (1, 12) },
    ]
}

func makeConfiguration(_ variant: Variant = .plain) -> BlockRecurrentConfiguration {
    var configuration = BlockRecurrentConfiguration(tokens: vocabulary, dimension: 12, depth: 3)
    (configuration.heads, configuration.headDimension) = (2, 4)
    (configuration.blockWidth, configuration.maximumLength) = (6, segmentLength)
    (configuration.stateVectors, configuration.recurrentLayers) = (5, [2])
    configuration.feedForwardMultiple = 2
    configuration.normalizedScale = 8
    variant.change(&configuration)
    return configuration
}

func makeModel(_ variant: Variant = .plain, seed: UInt64 = 1) -> BlockRecurrentTransformer {
    BlockRecurrentTransformer(makeConfiguration(variant), key: RandomKey(seed: seed))
}

func randomTokens(_ shape: [Int], seed: UInt64 = 3) -> TokenTensor {
    let count = shape.reduce(1, *)
    return TokenTensor(
        RandomKey(seed: seed).integers(count).map { Int32($0 % UInt64(vocabulary)) }, shape: shape)
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
func expectSame(_ got: Tensor, _ expected: Tensor, _ what: String, location: SourceLocation = #_sourceLocation) {
    #expect(got.shape == expected.shape, "\(what)", sourceLocation: location)
    let lengths = SumLengths(shapes: makeModel().state.map(\.parameter.shape) + [[1, 40]], rows: 1)
    expectClose(got, expected, roundings: lengths.path, magnitude: 1, what, sourceLocation: location)
}
