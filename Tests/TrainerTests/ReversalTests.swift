import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// The objective `reverse`: its examples, and what is trained, measured and generated with it.
@Suite struct ReversalTests {
    let objective = ObjectiveKind.reverse.objective(for: ByteTokenizer())
    let start: Int32 = 256
    let no = ignoredTarget

    /// Windows of `length` tokens from each of `starts`, of a text 10, 11, 12 …
    func windows(_ starts: [Int], _ length: Int) -> TokenBatch {
        // Tokens in memory cannot be lost.
        try! TokenBatch(TokenSource(name: "numbers", tokens: Array(10..<200)), starts: starts, length: length)
    }

    func text(_ text: String, _ separator: DocumentSeparator = .nothing) throws -> TokenSource {
        ByteTokenizer().tokens(of: try TextSource(text, name: "a text")).separated(by: separator)
    }

    // MARK: Examples

    @Test("A row is the window, the start token, and the window reversed")
    func aRowIsTheWindowTheStartTokenAndTheWindowBackwards() {
        let found = ReversedTokens(startToken: start).reversed(windows([0, 5], 3))
        #expect(found.shape == [2, 6])
        #expect(found.inputs == [10, 11, 12, 256, 12, 11] + [15, 16, 17, 256, 17, 16])
        #expect(found.targets == [no, no, no, 12, 11, 10] + [no, no, no, 17, 16, 15])
        #expect(found.startsDocument == [true, true])
        #expect(found.textCount == 6 && found.targetCount == 6)
        let one = ReversedTokens(startToken: start).reversed(windows([7], 1))
        #expect(one.inputs == [17, 256] && one.targets == [no, 17])
    }

    @Test("A window that ends early is reversed without its padding")
    func ofAWindowThatEndsEarlyOnlyWhatIsThereIsReversed() {
        var batch = windows([0, 5, 8, 20], 3)
        for (row, count) in [3, 2, 1, 0].enumerated() {
            for place in row * 3 + count..<row * 3 + 3 { (batch.inputs[place], batch.targets[place]) = (0, no) }
        }
        let found = ReversedTokens(startToken: start).reversed(batch)
        #expect(
            found.inputs
                == [10, 11, 12, 256, 12, 11] + [15, 16, 256, 16, 0, 0] + [18, 256, 0, 0, 0, 0] + [0, 256, 0, 0, 0, 0])
        #expect(
            found.targets == [no, no, no, 12, 11, 10] + [no, no, 16, 15, no, no] + [no, 18, no, no, no, no]
                + [no, no, no, no, no, no])
        #expect(found.textCount == 6)
    }

    @Test("A batch is as long as its longest row")
    func aBatchIsAsLongAsItsLongestRow() {
        var batch = windows([0, 5], 3)
        (batch.targets[2], batch.targets[4], batch.targets[5]) = (no, no, no)
        let found = ReversedTokens(startToken: start).reversed(batch)
        #expect(found.shape == [2, 4])
        #expect(found.inputs == [10, 11, 256, 11] + [15, 256, 0, 0])
        #expect(found.targets == [no, no, 11, 10] + [no, 15, no, no])
    }

    @Test("Half of the training batches are shortened to a random length")
    func someTrainingBatchesAreShortened() throws {
        let (tokens, length, batches) = (ReversedTokens(startToken: 256), 8, 2000)
        var counts = [Int](repeating: 0, count: length + 1)
        for number in 0..<batches {
            let found = tokens.reversed(windows([3, 40], length), key: RandomKey(seed: 4).child(number))
            let count = found.shape[1] / 2
            counts[count] += 1
            // What windows that end there give.
            #expect(found == tokens.reversed(windows([3, 40], count)))
        }
        // Half of the batches get a length out of 8. Five standard errors of a share p of n: 5·√(p(1−p)/n).
        for (count, found) in counts.enumerated().dropFirst() {
            let p = 0.5 / 8 + (count == length ? 0.5 : 0)
            #expect(abs(Double(found) / Double(batches) - p) <= 5 * (p * (1 - p) / Double(batches)).squareRoot())
        }
        let never = ReversedTokens(startToken: 256, shortenedShare: 0)
        for seed in 0..<50 {
            #expect(
                never.reversed(windows([9], 8), key: RandomKey(seed: UInt64(seed))) == never.reversed(windows([9], 8)))
        }
    }

    @Test("The objective needs one more token and twice the length")
    func itNeedsOneMoreTokenAndTwiceTheLength() throws {
        #expect(ObjectiveKind.reverse.vocabularySize(of: ByteTokenizer()) == 257)
        #expect(objective == .reverse(ReversedTokens(startToken: 256)))
        let options = TrainingOptions(objective: .reverse, sequenceLength: 16)
        expectError(
            naming: "vocabulary of 256", "expected", "the 256 of the tokenizer (bytes)", "reversal"
        ) { try TrainingRun(Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(), options: options) }
        let message =
            "sequenceLength: expected at most 15, as objective reverse takes twice as many and the model's"
            + " configuration allows 31, found 16"
        expectError(message) {
            try TrainingRun(
                Bigram(vocabulary: 257, maximumLength: 31), on: byteSplit(), tokenizer: ByteTokenizer(),
                options: options)
        }
        expectError(message) {
            try Bigram(vocabulary: 257, maximumLength: 31).evaluate(
                text(someText()), sequenceLength: 16, objective: objective)
        }
        _ = try TrainingRun(
            Bigram(vocabulary: 257, maximumLength: 32), on: byteSplit(), tokenizer: ByteTokenizer(), options: options)
    }
}
