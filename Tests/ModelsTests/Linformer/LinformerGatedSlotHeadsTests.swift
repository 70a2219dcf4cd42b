import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// The heads of gated slots: gates, masks and the memory of generation.
@Suite struct LinformerGatedSlotHeadsTests {
    private var configuration: LinformerConfiguration {
        makeLinformerConfiguration(LinformerVariant(), .gatedSlots).stack
    }

    @Test("Gates are the eighth root of a sigmoid")
    func gates() {
        let heads = GatedSlotHeads(configuration, layer: 0, key: RandomKey(seed: 7))
        let x = Tensor.normal([2, 5, 12], standardDeviation: 3, key: RandomKey(seed: 1))
        let alpha = exp(heads.logForget(heads.projected(x)[0]))
        #expect(alpha.shape == [2, 5, 2, 6])
        let z = linear(x, weight: concatenate(heads.toForget.parts.map(\.value)))  // [2, 5, h m]
        let expected = sigmoid(z).values.map { Double($0).squareRoot().squareRoot().squareRoot() }
        expectClose(alpha.values, expected, relative: 2e-6, "alpha")
    }

    @Test("Masked tokens change nothing, wherever they are", arguments: Implementation.allCases)
    func masks(_ form: Implementation) {
        let heads = GatedSlotHeads(configuration, layer: 0, key: RandomKey(seed: 7))
        func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }
        let (tokens, x) = ((0..<3).map { random([1, 9, 2, 6], $0) }, random([1, 9, 12], 4))
        let mask = Tensor([1, 0, 1, 1, 0, 0, 1, 1, 0], shape: [1, 9])
        func run(_ tokens: [Tensor], _ x: Tensor, _ mask: Tensor?) -> Tensor {
            heads(tokens[0], tokens[1], tokens[2], of: x, mask: mask, mode: .inference.using(form))
        }
        let seen = [0, 2, 3, 6, 7]
        func part(_ x: Tensor) -> Tensor { concatenate(seen.map { x.sliced(1, from: $0, to: $0 + 1) }, axis: 1) }
        let (got, expected) = (part(run(tokens, x, mask)), run(tokens.map(part), part(x), nil))
        expectClose(got, expected, roundings: 30, "seen tokens")
    }

    @Test(
        "Rows appended to memories of several sequences are the forward pass", arguments: [[1, 1], [3, 1], [5, 9]])
    func appends(_ counts: [Int]) {
        let heads = GatedSlotHeads(configuration, layer: 0, key: RandomKey(seed: 7))
        func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }
        let rows = counts.reduce(0, +)
        let (tokens, x) = ((0..<3).map { random([rows, 2, 6], $0) }, random([rows, 12], 4))
        let spans = [0..<counts[0], counts[0]..<rows]
        var memories = spans.map { _ in heads.startDecoding() }
        let got = heads.append(tokens[0], tokens[1], tokens[2], of: x, spans: spans, to: &memories)
        for span in spans {
            func part(_ x: Tensor) -> Tensor { x.sliced(0, from: span.lowerBound, to: span.upperBound).unsqueezed(0) }
            let expected = heads(
                part(tokens[0]), part(tokens[1]), part(tokens[2]), of: part(x), mask: nil, mode: .inference)
            expectClose(part(got), expected, roundings: 30, "rows \(span)")
        }
    }
}
