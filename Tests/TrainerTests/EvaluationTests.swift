import Foundation
import Tensors
import Testing

@testable import Trainer

@Suite struct EvaluationTests {
    /// −log₂ of the probability of each token but the first, by one forward pass over everything.
    func nats(_ model: Trigram, _ tokens: [Int32]) -> Double {
        let logits = model(TokenTensor(tokens, shape: [1, tokens.count])).values.map(Double.init)
        let width = model.vocabularySize
        return (0..<tokens.count - 1).reduce(0) { sum, i in
            let row = logits[i * width..<(i + 1) * width]
            return sum + log(row.reduce(0) { $0 + exp($1) }) - row[row.startIndex + Int(tokens[i + 1])]
        }
    }

    @Test("Every token but the first is predicted exactly once")
    func everyTokenButTheFirstIsPredictedOnce() throws {
        let text = try TextSource(someText(50), name: "text")
        let source = ByteTokenizer().tokens(of: text)
        let model = Bigram()
        let whole = try model.evaluate(source, sequenceLength: source.count)
        #expect(whole.tokens == source.count - 1)
        #expect(whole.bytes == whole.tokens)
        for (length, batch) in [(7, 1), (7, 5), (64, 3), (1, 1)] {
            let result = try model.evaluate(source, sequenceLength: length, batchSize: batch)
            #expect((result.tokens, result.bytes) == (whole.tokens, whole.bytes))
            // Means of float32 losses, weighted in float64: the rounding of a few parts in 10⁷.
            #expect(abs(result.loss - whole.loss) <= 1e-6 * whole.loss)
        }
        #expect(whole.perplexity == exp(whole.loss))
        #expect(abs(whole.bitsPerByte - whole.loss / log(2)) <= 1e-12 * whole.loss)
    }

    @Test("A window sees what the one before it carries on")
    func whatIsCarriedIsSeenByTheNextWindow() throws {
        let text = try TextSource(someText(40), name: "text")
        let source = ByteTokenizer().tokens(of: text)
        let model = Trigram()
        let expected = try nats(model, source[0..<source.count]) / Double(source.count - 1)
        for length in [5, 64] {
            let result = try model.evaluate(source, sequenceLength: length, batchSize: 4)
            #expect(abs(result.loss - expected) <= 1e-5 * expected)  // float32 losses against float64
            let segmented = try Trigram(maximumLength: 3).evaluate(source, sequenceLength: length)
            #expect(abs(segmented.loss - expected) <= 1e-5 * expected)
        }
    }

    /// Segments inside a window still carry on to the next.
    @Test("Without carries every window begins empty, at any batch size")
    func windowsBeginWithNothingWhereThatIsWanted() throws {
        let text = try TextSource(someText(40), name: "text")
        let source = ByteTokenizer().tokens(of: text)
        let all = try source[0..<source.count]
        let starts = stride(from: 0, to: all.count - 1, by: 7)
        let sum = starts.reduce(0.0) { $0 + nats(Trigram(), Array(all[$1..<min($1 + 8, all.count)])) }
        let expected = sum / Double(all.count - 1)
        for (most, batch) in [(nil, 1), (nil, 5), (3, 1), (3, 4)] as [(Int?, Int)] {
            let result = try Trigram(maximumLength: most).evaluate(
                source, sequenceLength: 7, batchSize: batch, carries: false)
            #expect(abs(result.loss - expected) <= 1e-5 * expected)  // float32 losses against float64
        }
        let carried = try Trigram().evaluate(source, sequenceLength: 7)
        #expect(abs(carried.loss - expected) > 1e-3 * expected)
    }

    @Test("Bits are counted per byte for tokens of several bytes")
    func bitsAreCountedByByteWhateverTheTokens() throws {
        let text = try TextSource("añb€" + String(repeating: "ñ€", count: 30), name: "text")
        let tokenizer = try CharacterTokenizer(learningFrom: [text])
        let source = try tokenizer.tokens(of: text)
        let model = Bigram(vocabulary: tokenizer.vocabularySize)
        let result = try model.evaluate(source, sequenceLength: 16)
        #expect(result.tokens == 63)
        #expect(result.bytes == text.count - 1)  // the first character, of one byte, is not predicted
        let bits = result.loss / log(2) * 63 / Double(text.count - 1)
        #expect(abs(result.bitsPerByte - bits) <= 1e-12 * bits)
    }

    @Test("Progress is reported up to the last target")
    func progressIsTold() throws {
        let source = ByteTokenizer().tokens(of: try TextSource(someText(20), name: "text"))
        var seen: [Int] = []
        _ = try Bigram().evaluate(source, sequenceLength: 16, batchSize: 2) { seen.append($0) }
        #expect(seen.first == 32)
        #expect(seen.last == source.count - 1)
        #expect(seen == seen.sorted())
    }

    @Test("Texts, lengths, and models that cannot be evaluated are refused")
    func whatCannotBeEvaluatedIsRefused() throws {
        let source = ByteTokenizer().tokens(of: try TextSource("abcdefgh", name: "letters.txt"))
        expectError("letters.txt: token 97 is outside the model's vocabulary; expected 0 to 96") {
            try Bigram(vocabulary: 97).evaluate(source, sequenceLength: 4)
        }
        expectError(naming: "sequenceLength", "expected at most 3", "found 4") {
            try Bigram(maximumLength: 3).evaluate(source, sequenceLength: 4)
        }
        expectError("sequenceLength: expected a whole number of at least 1, found 0") {
            try Bigram().evaluate(source, sequenceLength: 0)
        }
        expectError(
            naming: "not causal", "expected", "\"causal\": true"
        ) { try Bigram(isCausal: false).evaluate(source, sequenceLength: 4) }
        expectError("letters.txt: has 1 token; a sequence length of 1 needs at least 2") {
            try Bigram().evaluate(source.slice(0..<1, name: "letters.txt"), sequenceLength: 4)
        }
    }
}
