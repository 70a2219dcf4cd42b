import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

extension ReversalTests {
    // MARK: Models that need a start token

    @Test("A model that needs a start token accepts no other objective")
    func aModelThatAnswersAfterItsStartTokenIsTrainedForThatOnly() throws {
        func begin(_ model: Reverser, _ kind: ObjectiveKind) throws {
            _ = try TrainingRun(
                model, on: byteSplit(), tokenizer: ByteTokenizer(),
                options: TrainingOptions(objective: kind, sequenceLength: 16))
        }
        for kind in [ObjectiveKind.nextToken, .masked] {
            let message =
                "the model answers what stands before its start token, which objective \(kind.rawValue) does not have;"
                + " expected objective reverse"
            expectError(message) { try begin(Reverser(), kind) }
            expectError(message) {
                try Reverser().evaluate(
                    text(someText()), sequenceLength: 4, objective: kind.objective(for: ByteTokenizer()))
            }
        }
        expectError(
            naming: "start token", "300", "expected 256"
        ) { try begin(Reverser(vocabularySize: 301, startToken: 300), .reverse) }
        expectError(naming: "start token 256", "expected", "none") {
            try Reverser().generate("abc", tokenizer: ByteTokenizer())
        }
        expectError("the start token 256 is outside the model's vocabulary; expected 0 to 255") {
            try Bigram().generate("abc", tokenizer: ByteTokenizer(), objective: objective)
        }
    }

    // MARK: Causality

    /// A model that knows why it is not causal.
    struct Leaking: LanguageModel {
        let model = Bigram(vocabulary: 257, isCausal: false)
        var vocabularySize: Int { 257 }
        var isCausal: Bool { false }
        var causalityProblem: String? { "\"causal\": \"leaky\" lets the future through; expected \"causal\": true" }
        func collect(into state: inout StateCollector) { model.collect(into: &state) }
        func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor { model(tokens, mode: mode) }
        func startDecoding() -> Bigram.State { model.startDecoding() }
        func decode(_ tokens: [[Int32]], states: inout [Bigram.State]) -> Tensor {
            model.decode(tokens, states: &states)
        }
    }

    @Test("The error repeats the model's reason for not being causal")
    func aModelSaysWhyItIsNotCausal() throws {
        let message =
            "the model's configuration is not causal: \"causal\": \"leaky\" lets the future through; expected \"causal\": true"
        for kind in [ObjectiveKind.nextToken, .reverse] {
            expectError(message) {
                try TrainingRun(
                    Leaking(), on: byteSplit(), tokenizer: ByteTokenizer(),
                    options: TrainingOptions(objective: kind, sequenceLength: 16))
            }
            expectError(message) {
                try Leaking().evaluate(
                    text(someText()), sequenceLength: 4, objective: kind.objective(for: ByteTokenizer()))
            }
        }
        expectError(message) { try Leaking().generate("abc", length: 1, tokenizer: ByteTokenizer()) }
        expectError(
            naming: "not causal", "expected", "\"causal\": true"
        ) { try Bigram(isCausal: false).generate("abc", length: 1, tokenizer: ByteTokenizer()) }
        _ = try TrainingRun(
            Leaking(), on: byteSplit(), tokenizer: ByteTokenizer(),
            options: TrainingOptions(objective: .masked, sequenceLength: 16))
    }
}
