import AttentionZooTestSupport
import Foundation
import Tensors
import Testing

@testable import Trainer

@Suite struct SamplingTests {
    /// Returns the share of each token in many draws.
    func shares(_ logits: [Float], _ options: SamplingOptions, draws: Int = 4000) throws -> [Double] {
        var counts = [Double](repeating: 0, count: logits.count)
        for position in 0..<draws { counts[Int(try choose(logits, options, position: position))] += 1 }
        return counts.map { $0 / Double(draws) }
    }

    func choose(_ logits: [Float], _ options: SamplingOptions, row: Int = 0, position: Int = 0) throws -> Int32 {
        try logits.withUnsafeBufferPointer { try options.choose($0, row: row, position: position) }
    }

    /// Four standard deviations of a share in 4000 draws are at most 4 √(0.25 / 4000) = 0.032.
    func expectShares(_ shares: [Double], _ expected: [Double], location: SourceLocation = #_sourceLocation) {
        expectClose(
            shares.map(Float.init), expected, within: expected.map { $0 == 0 ? 0 : 0.032 }, "shares",
            sourceLocation: location)
    }

    let logits: [Float] = [0.1, 0.4, 0.2, 0.3].map { log($0) }

    @Test("Temperature 0 picks the likeliest token, the first of equals")
    func temperatureZeroIsTheLikeliestToken() throws {
        for position in 0..<50 { #expect(try choose(logits, .greedy, position: position) == 1) }
        #expect(try choose([1, 3, 3, 2], .greedy) == 1)  // the first of equals
        #expect(try choose([-.infinity, -5, -.infinity], .greedy) == 1)
    }

    @Test("Tokens are drawn with the probabilities of the softmax")
    func tokensComeAsOftenAsTheirProbabilitySays() throws {
        expectShares(try shares(logits, SamplingOptions()), [0.1, 0.4, 0.2, 0.3])
        // Temperature ½ squares the probabilities.
        let squares = [0.01, 0.16, 0.04, 0.09].map { $0 / 0.3 }
        expectShares(try shares(logits, SamplingOptions(temperature: 0.5)), squares)
        expectShares(try shares([800, 801, -.infinity], SamplingOptions()), [0.269, 0.731, 0])
    }

    @Test("Top-k keeps the k likeliest tokens")
    func topKKeepsTheLikeliest() throws {
        expectShares(try shares(logits, SamplingOptions(topK: 2)), [0, 4.0 / 7, 0, 3.0 / 7])
        expectShares(try shares(logits, SamplingOptions(topK: 100)), [0.1, 0.4, 0.2, 0.3])
        #expect(try shares([1, 1, 1], SamplingOptions(topK: 1)) == [1, 0, 0])  // the first of equals
    }

    @Test("The filter threshold keeps its share of the vocabulary, and at least one token")
    func thePeersThresholdKeepsItsShareOfTheVocabularyAndAtLeastOne() throws {
        // (1 − 0.5) · 4 = 2; (1 − 0.9) · 4 = 0.4, of which the peers keep none and fail.
        expectShares(try shares(logits, SamplingOptions(filterThreshold: 0.5)), [0, 4.0 / 7, 0, 3.0 / 7])
        #expect(try shares(logits, SamplingOptions(filterThreshold: 0.9)) == [0, 1, 0, 0])
        #expect(try shares(logits, SamplingOptions(filterThreshold: 1)) == [0, 1, 0, 0])
        expectShares(try shares(logits, SamplingOptions(filterThreshold: 0)), [0.1, 0.4, 0.2, 0.3])
        // int((1 − 0.9) · 256) = 25, as in Python.
        let many = (0..<256).map { Float($0) / 1000 }
        let chosen = try shares(many, SamplingOptions(filterThreshold: 0.9))
        #expect(chosen.indices.filter { chosen[$0] > 0 } == Array(231..<256))
    }

    @Test("Top-p keeps the likeliest tokens that reach it")
    func topPKeepsTheLikeliestThatReachIt() throws {
        expectShares(try shares(logits, SamplingOptions(topP: 0.65)), [0, 4.0 / 7, 0, 3.0 / 7])
        expectShares(try shares(logits, SamplingOptions(topP: 0.75)), [0, 4.0 / 9, 2.0 / 9, 3.0 / 9])
        #expect(try shares(logits, SamplingOptions(topP: 1e-9)) == [0, 1, 0, 0])
        expectShares(try shares(logits, SamplingOptions(topP: 1)), [0.1, 0.4, 0.2, 0.3])
        // After top-k the remaining probabilities count as a whole: 0.4 / 0.7 = 0.57.
        #expect(try shares(logits, SamplingOptions(topK: 2, topP: 0.55)) == [0, 1, 0, 0])
    }

    @Test("A draw depends on seed, row, and position only")
    func drawsAreAFunctionOfSeedRowAndPosition() throws {
        let flat = [Float](repeating: 0, count: 1000)
        let draws = (0..<20).map { try! choose(flat, SamplingOptions(seed: 3), row: 1, position: $0) }
        #expect(draws == (0..<20).map { try! choose(flat, SamplingOptions(seed: 3), row: 1, position: $0) })
        #expect(draws != (0..<20).map { try! choose(flat, SamplingOptions(seed: 4), row: 1, position: $0) })
        #expect(draws != (0..<20).map { try! choose(flat, SamplingOptions(seed: 3), row: 2, position: $0) })
        #expect(Set(draws).count > 15)
    }

    @Test("Options out of range are named")
    func optionsOutOfRangeAreNamed() {
        for (options, message) in [
            (SamplingOptions(temperature: -1), "temperature: expected a number of at least 0, found -1.0"),
            (SamplingOptions(temperature: .nan), "temperature: expected a number of at least 0, found nan"),
            (SamplingOptions(topK: 0), "topK: expected a whole number of at least 1, found 0"),
            (SamplingOptions(filterThreshold: 1.5), "filterThreshold: expected a number from 0 to 1, found 1.5"),
            (SamplingOptions(topP: 0), "topP: expected a number above 0 and at most 1, found 0.0"),
        ] { expectError(message) { try options.validate() } }
    }

    @Test("Logits that are not finite are an error")
    func logitsThatAreNoNumbersAreAnError() {
        for broken in [[1, Float.nan, 2], [.infinity, 1], [-.infinity, -.infinity]] {
            expectError("the model's logits are not finite; expected weights of a trained model") {
                try choose(broken, SamplingOptions())
            }
        }
    }
}
