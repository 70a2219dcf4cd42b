import Foundation
import Tensors
import Testing

@testable import Trainer

@Suite struct GenerationTests {
    let model = Trigram(vocabulary: 9)

    /// The likeliest next token by a full forward pass.
    func next(after tokens: [Int32]) -> Int32 {
        let logits = model(TokenTensor(tokens, shape: [1, tokens.count])).values.suffix(9)
        return Int32(logits.firstIndex(of: logits.max()!)! - logits.startIndex)
    }

    @Test("Greedy generation picks the likeliest token at each position")
    func greedyGenerationIsTheLikeliestTokenAtEachPosition() throws {
        let prompts: [[Int32]] = [[3], [1, 2, 3, 4, 5], [8, 8]]
        let rows = try model.generate(prompts, length: 12, sampling: .greedy)
        for (prompt, row) in zip(prompts, rows) {
            var text = prompt
            for token in row {
                #expect(token == next(after: text))
                text.append(token)
            }
            #expect(row.count == 12)
        }
    }

    @Test("A seed determines the tokens of each row, whatever the other rows")
    func aSeedGivesTheSameTokensAndAnotherSeedOthers() throws {
        func rows(_ seed: UInt64) throws -> [[Int32]] {
            try model.generate([[1], [1]], length: 30, sampling: SamplingOptions(temperature: 1.5, seed: seed))
        }
        let first = try rows(1)
        #expect(try rows(1) == first)
        #expect(try rows(2) != first)
        #expect(first[0] != first[1])  // rows of the same prompt draw independently
        // A row does not depend on its company.
        let alone = try model.generate([[1]], length: 30, sampling: SamplingOptions(temperature: 1.5, seed: 1))
        #expect(alone[0] == first[0])
    }

    @Test("The end token ends its own row only")
    func theEndTokenEndsItsRowOnly() throws {
        let prompts: [[Int32]] = [[3], [1, 2], [8, 8, 8]]
        let sampling = SamplingOptions(temperature: 2, seed: 4)
        let free = try model.generate(prompts, length: 60, sampling: sampling)
        let ended = try model.generate(prompts, length: 60, sampling: sampling, endToken: 5, padToken: -1)
        let longest = free.map { $0.firstIndex(of: 5)! }.max()!
        for (a, b) in zip(free, ended) {
            let end = try #require(a.firstIndex(of: 5))
            #expect(b[...end] == a[...end])
            #expect(b[(end + 1)...].allSatisfy { $0 == -1 })
            #expect(b.count == longest + 1)  // all rows have ended: nothing more comes
        }
        #expect(Set(free.map { $0.firstIndex(of: 5)! }).count == 3)  // at different places
    }

    @Test("Tokens are reported one by one")
    func tokensComeOneByOne() throws {
        var seen: [[Int32]] = []
        let rows = try model.generate([[1], [2]], length: 5, sampling: .greedy) { seen.append($0) }
        #expect(seen == (0..<5).map { [rows[0][$0], rows[1][$0]] })
        #expect(try model.generate([[1]], length: 0) == [[]])
        #expect(try model.generate([], length: 5) == [])
    }

    @Test("Text is streamed in complete characters")
    func textComesInCompleteCharacters() async throws {
        // A model of bytes that answers each byte of "é€😀" with the next one.
        let bytes = Array("é€😀é".utf8)
        let model = Bigram(width: 256)
        var (table, weight) = ([Float](repeating: 0, count: 65536), [Float](repeating: 0, count: 65536))
        for i in 0..<256 { table[i * 257] = 1 }
        for (byte, next) in zip(bytes, bytes.dropFirst()) { weight[Int(next) * 256 + Int(byte)] = 50 }
        model.table.weight.assign(Tensor(table, shape: [256, 256]))
        model.output.weight.assign(Tensor(weight, shape: [256, 256]))
        var pieces: [String] = []
        let text = try model.generate("é", length: 9, tokenizer: ByteTokenizer(), sampling: .greedy) {
            pieces.append($0)
        }
        #expect(pieces == ["€", "😀", "é"])
        #expect(text == "€😀é")
        var streamed: [String] = []
        for try await piece in model.textStream("é", length: 8, tokenizer: ByteTokenizer(), sampling: .greedy) {
            streamed.append(piece)
        }
        #expect(streamed == ["€", "😀", "\u{FFFD}"])  // the end came in the middle of a character
    }

    @Test("Prompts and options that cannot be used are refused")
    func whatCannotBeContinuedIsRefused() async throws {
        expectError("the prompt is empty; expected at least one token") { try model.generate([[]], length: 3) }
        expectError("prompt 1 is empty; expected at least one token") { try model.generate([[1], []], length: 3) }
        expectError("the prompt: token 9 is outside the model's vocabulary; expected 0 to 8") {
            try model.generate([[1, 9]], length: 3)
        }
        expectError(
            naming: "2 tokens", "length 9", "expected at most 10"
        ) { try Bigram(maximumLength: 10).generate([[1, 2]], length: 9) }
        expectError("topK: expected a whole number of at least 1, found -1") {
            try model.generate([[1]], length: 1, sampling: SamplingOptions(topK: -1))
        }
        await #expect(throws: InputError("the prompt is empty; expected at least one token")) {
            for try await _ in model.textStream("", length: 3, tokenizer: ByteTokenizer()) {}
        }
    }
}
