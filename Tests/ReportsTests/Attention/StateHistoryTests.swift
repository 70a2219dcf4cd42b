import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import AttentionZooReports

/// Three states of four columns that a block of two tokens turns by its first token: 0 leaves them orthogonal, 1 makes them
/// one vector, 2 makes two of them opposite.
private struct Turning: LanguageModel {
    struct Carry: RecurrentCarry {
        var states: Tensor
        var recurrentStates: [Tensor] { [states] }
        var tensors: [String: Tensor] { ["memory": states] }
        init(_ states: Tensor) { self.states = states }
        init(tensors: [String: Tensor]) throws { states = tensors["memory"]! }
    }

    var hasStates = true
    let vocabularySize = 3
    let isCausal = true
    let maximumLength: Int? = 2

    private static func states(_ token: Int32) -> Tensor {
        let rows: [[Float]] =
            switch token {
            case 0: [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 2]]
            case 1: [[1, 2, 0, 0], [2, 4, 0, 0], [3, 6, 0, 0]]
            default: [[1, 0, 0, 0], [-1, 0, 0, 0], [0, 1, 0, 0]]
            }
        return Tensor(rows.flatMap { $0 }, shape: [1, 3, 4])
    }

    func logits(
        _ tokens: TokenTensor, carries: [Carry?], mode: ForwardMode
    ) -> (logits: Tensor, carries: [Carry?]) {
        mode.recorder?.record(.ones([1, 2, 2, 2]), name: "Layer 1")
        guard hasStates else { return (.zeros([1, 2, 3]), [nil]) }
        // Two heads and two tokens; before anything was read all look at the first state.
        let weights: [Float] =
            carries[0] == nil
            ? [1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0] : [0, 1, 0, 0, 0, 1, 0, 0.5, 0.5, 0.5, 0.5, 0]
        mode.recorder?.record(Tensor(weights, shape: [1, 2, 2, 3]), name: "Layer 1", note: "states")
        return (.zeros([1, 2, 3]), [Carry(Self.states(tokens.values[0]))])
    }

    func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor { .zeros([1, 2, 3]) }
    func startDecoding() {}
    func decode(_ tokens: [[Int32]], states: inout [Void]) -> Tensor { .zeros([1, 3]) }
    func collect(into state: inout StateCollector) {}
}

@Suite("States of a stream") struct StateHistoryTests {
    @Test("Cosines and ranks are those of the states after each block") func likeness() throws {
        let history = try StateHistory(Turning(), [0, 1, 1, 1, 2, 1, 0], block: 2)
        #expect(history.tokens == [2, 4, 6] && history.written.count == 1)
        let states = history.written[0]
        func expect(_ found: Double, _ expected: Double, _ what: String) {
            #expect(abs(found - expected) < 1e-5, "\(what): \(found)")  // float32's rounding of some products
        }
        for (index, (mean, rank)) in [(0.0, 3.0), (1, 1)].enumerated() {
            expect(states[index].meanCosine, mean, "mean cosine \(index)")
            expect(states[index].rank, rank, "rank \(index)")
        }
        // Singular values √2, 1, 0: shares 2/3 and 1/3 of the squares.
        expect(states[2].meanCosine, -1.0 / 3, "mean cosine of opposite states")
        expect(states[2].rank, exp(2.0 / 3 * log(1.5) + 1.0 / 3 * log(3)), "rank of opposite states")
        expect(states[2].cosines[0][1], -1, "cosine")
        expect(states[2].cosines[1][2], 0, "cosine")
    }

    @Test("Reads are means over tokens and heads") func reads() throws {
        let history = try StateHistory(Turning(), [0, 1, 1, 1], block: 2)
        #expect(history.reads.map(\.name) == ["Layer 1: states"])
        #expect(history.reads[0].shares == [[1, 0, 0], [0.125, 0.5, 0.375]])
    }

    @Test("The page has a line of each layer and a row of each state") func page() throws {
        let history = try StateHistory(Turning(), [0, 1, 1, 1], block: 2)
        #expect(history.curves("rank", \.rank).series.map(\.x) == [[2, 4]])
        #expect(history.heatmap(history.reads[0]).values == [[1, 0.125], [0, 0.5], [0, 0.375]])
        #expect(history.heatmap(history.written[0]).values == history.written[0][1].cosines)
        let folder = try TemporaryFolder()
        try history.write(to: folder.path + "/states.html", title: "A title", subtitle: "of a model")
        let text = try folder.read("states.html")
        for part in [">A title<", ">of a model<", ">State 3<", ">Layer 1: states<"] {
            #expect(text.contains(part), "\(part)")
        }
        #expect(throws: InputError("states.svg: expected a name that ends in .html")) {
            try history.write(to: "states.svg")
        }
    }

    @Test("Models without states and texts without a block are refused") func refusals() {
        #expect(throws: InputError("states: the model has none; expected a block-recurrent transformer")) {
            try StateHistory(Turning(hasStates: false), [0, 1], block: 2)
        }
        #expect(throws: InputError("states: expected a block of 2 tokens at least, found 1")) {
            try StateHistory(Turning(), [0], block: 2)
        }
    }
}
