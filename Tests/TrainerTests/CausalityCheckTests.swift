import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Trainer

@Suite("The search for logits that see later tokens") struct CausalityCheckTests {
    @Test("A causal model has the same bits before each change")
    func causal() throws {
        let findings = try Peeking(ahead: 0).findings(of: CausalityCheck(length: 24))
        #expect(findings.changes == 24)
        #expect(findings.leaks == 0 && findings.first == nil)
        #expect(findings.difference == 0)
    }

    @Test("A leak is named with its positions and its distance", arguments: [1, 2, 5])
    func distance(ahead: Int) throws {
        var check = CausalityCheck(length: 24)
        check.changes = 5
        let findings = try Peeking(ahead: ahead).findings(of: check)
        let leak = try #require(findings.first)
        #expect(leak.seen == max(0, leak.changed - ahead))
        #expect(leak.distance == min(ahead, leak.changed))
        #expect(findings.changes == 15)
        #expect(findings.leaks == 15)
        #expect(leak.difference > 1e-3 && leak.layer == nil && leak.lastRecorded == nil)
    }

    @Test("Each change of a text is in a part of its own, and other keys give others")
    func places() throws {
        let check = CausalityCheck(length: 41)
        let probe = CausalityProbe(Peeking(ahead: 0), check, rows: 0..<8, key: RandomKey(seed: 1))
        for (row, place) in probe.places.enumerated() {
            #expect((1 + 5 * row..<6 + 5 * row).contains(place))
            let differing = (0..<41).filter {
                probe.tokens.values[41 * row + $0] != probe.changed.values[41 * row + $0]
            }
            #expect(differing == [place])
        }
        let other = CausalityProbe(Peeking(ahead: 0), check, rows: 0..<8, key: RandomKey(seed: 2))
        #expect(other.places != probe.places)
        // A batch of the later changes has the same ones.
        let rest = CausalityProbe(Peeking(ahead: 0), check, rows: 5..<8, key: RandomKey(seed: 1))
        #expect(rest.places == Array(probe.places[5...]))
        #expect(rest.changed.values == Array(probe.changed.values[(5 * 41)...]))
    }

    @Test("A difference below what rounding explains is none, one above is a leak")
    func rounding() throws {
        let small = try Peeking(ahead: 3, share: 2e-7).findings(of: CausalityCheck(length: 16))
        #expect(small.difference > 0 && small.difference < small.allowance)
        #expect(small.leaks == 0)
        let large = try Peeking(ahead: 3, share: 1e-5).findings(of: CausalityCheck(length: 16))
        #expect(large.leaks > 0)
        // A model whose numbers depend on the shape of the batch is allowed more.
        let uneven = try Peeking(ahead: 3, share: 1e-5, unevenness: 1e-5).findings(of: CausalityCheck(length: 16))
        #expect(uneven.leaks == 0 && uneven.allowance > large.allowance)
    }

    @Test("The first layer whose weights of earlier tokens change is named", arguments: [1, 2, 3, nil])
    func layer(leaking: Int?) throws {
        let model = Peeking(ahead: 2, layers: 3, leakingLayer: leaking)
        let leak = try #require(try model.findings(of: CausalityCheck(length: 16)).first)
        #expect(leak.layer == leaking.map { "Layer \($0)" })
        #expect(leak.lastRecorded == "Layer 3")
        #expect(leak.changed < 4)  // the first change of sixteen tokens' eight parts
    }

    @Test("What stands before a start token may be seen")
    func source() throws {
        let findings = try Peeking(ahead: 0, startToken: 10).findings(of: CausalityCheck(length: 16))
        #expect(findings.leaks == 0)
        let probe = CausalityProbe(
            Peeking(ahead: 0, startToken: 10), CausalityCheck(length: 16), rows: 0..<8, key: RandomKey(seed: 1))
        #expect(probe.places.allSatisfy { (10..<16).contains($0) })
        #expect((0..<8).allSatisfy { probe.tokens.values[16 * $0 + 8] == 10 })
        #expect(probe.changed.values.count { $0 == 10 } == 8)
    }

    @Test("Lengths that the model does not read are refused")
    func lengths() {
        let model = Peeking(ahead: 0)
        for length in [1, 65] {
            expectError(
                naming: "length", "2 to 64", "\(length)"
            ) {
                try model.findings(of: CausalityCheck(length: length))
            }
        }
    }

    @Test("Logits that are not finite are an error, not a leak")
    func notFinite() {
        expectError("the model's logits are not finite; all weights are finite") {
            try Peeking(ahead: 1, share: .infinity).findings(of: CausalityCheck(length: 8))
        }
    }
}

/// Logits of the tokens up to the position, and of some after it.
private struct Peeking: LanguageModel {
    let ahead: Int
    /// The weight of the tokens after the position.
    var share: Float = 1
    /// A difference between batches of one row and of several.
    var unevenness: Float = 0
    var startToken: Int32?
    /// The number of layers that record weights, and the first whose weights see what the logits see.
    var layers = 0
    var leakingLayer: Int?
    var vocabularySize: Int { 11 }
    var isCausal: Bool { ahead == 0 }
    var maximumLength: Int? { 64 }

    func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        let (b, n) = (tokens.shape[0], tokens.shape[1])
        let rows = (0..<b).map { tokens.values[$0 * n..<($0 + 1) * n].map { Float($0) + 1 } }
        let future = rows.flatMap { text in
            (0..<n).map { text[min($0 + 1, n)..<min($0 + ahead + 1, n)].reduce(0) { $0 + $1 * share } }
        }
        let past = rows.flatMap { text in (0..<n).map { text[...$0].reduce(0, +) / 64 } }
        for layer in stride(from: 1, through: layers, by: 1) {
            let sees = leakingLayer.map { layer >= $0 } ?? false
            let weights = zip(past, future).map { sees ? $0 + $1 : $0 }
            mode.recorder?.record(Tensor(weights, shape: [b, 1, n, 1]))
        }
        let shift = b == 1 ? 10 * unevenness : 0
        let logits = zip(past, future).flatMap { past, future in (0..<11).map { past + Float($0) + future + shift } }
        return Tensor(logits, shape: [b, n, 11])
    }

    func collect(into state: inout StateCollector) {}
    func startDecoding() -> Int { 0 }
    func decode(_ tokens: [[Int32]], states: inout [Int]) -> Tensor { .zeros([tokens.count, 11]) }
}
