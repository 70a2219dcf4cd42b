import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// Texts that end a continuation.
@Suite struct StopTests {
    let tokenizer = ByteTokenizer()

    /// The text before the first stop text, by looking for each at every place; nil where none comes up.
    private func reference(_ text: [UInt8], _ stops: [[UInt8]]) -> [UInt8]? {
        for end in 0...text.count {
            let found = stops.filter { text[..<end].suffix($0.count).elementsEqual($0) }.map(\.count).max()
            if let found { return Array(text[..<(end - found)]) }
        }
        return nil
    }

    @Test("A stop text is found wherever tokens begin and end, and nothing else is lost", arguments: 0..<500)
    func searches(seed: Int) throws {
        var generator = SplitMix64(seed: UInt64(seed))
        // Few letters, so that stop texts nearly come up all the time.
        func letters(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(97 + generator.next(below: 2)) } }
        let text = letters(1 + generator.next(below: 40))
        let stops = (0..<1 + generator.next(below: 3)).map { _ in letters(1 + generator.next(below: 7)) }
        var search = try StopTexts(bytes: stops, in: tokenizer).makeSearch()
        var (given, read) = ([UInt8](), 0)
        while read < text.count, !search.isFound {
            let token = text[read..<min(read + generator.next(below: 4), text.count)]
            read += token.count
            given += search.append(Array(token))
            if !search.isFound {
                #expect(given + search.held == Array(text[..<read]))
                // Held back is only what a stop text begins with.
                #expect(search.held.isEmpty || stops.contains { $0.starts(with: search.held) })
            }
        }
        let expected = reference(text, stops)
        #expect(search.isFound == (expected != nil))
        #expect(given + search.held == expected ?? text)
    }

    @Test("Nothing is held back without stop texts")
    func noStops() {
        var search = StopSearch()
        #expect(search.append([1, 2]) == [1, 2] && search.held.isEmpty && !search.isFound)
    }

    @Test("A stop text that is empty or too long is refused")
    func emptyStop() {
        expectError("a stop text is empty; expected at least one byte") { try StopTexts(["x", ""], in: tokenizer) }
        expectError("a stop text has 65537 bytes; expected at most 65536") {
            try StopTexts([String(repeating: "x", count: 65_537)], in: tokenizer)
        }
    }

    // MARK: Continuations

    /// A model whose likeliest next byte is the next one of a text in which no byte comes twice.
    private func model(saying text: [UInt8]) -> Bigram {
        let model = Bigram(width: 256)
        var (table, weight) = ([Float](repeating: 0, count: 65536), [Float](repeating: 0, count: 65536))
        for i in 0..<256 { table[i * 257] = 1 }
        for (byte, next) in zip(text, text.dropFirst()) { weight[Int(next) * 256 + Int(byte)] = 50 }
        model.table.weight.assign(Tensor(table, shape: [256, 256]))
        model.output.weight.assign(Tensor(weight, shape: [256, 256]))
        return model
    }

    @Test(
        "A continuation ends before the stop text",
        arguments: [
            (["def"], "bc"), (["xyz", "e"], "bcd"), (["b"], ""), (["defz"], "bcdefgh"), (["cd", "bcd"], ""),
            (["h"], "bcdefg"), (["ghi"], "bcdefgh"), ([], "bcdefgh"),
        ])
    func continuations(stops: [String], expected: String) async throws {
        let model = model(saying: Array("abcdefghijkl".utf8))
        let stop = stops.isEmpty ? nil : try StopTexts(stops, in: tokenizer)
        var pieces: [String] = []
        let text = try model.generate("a", length: 7, tokenizer: tokenizer, sampling: .greedy, stop: stop) {
            pieces.append($0)
        }
        #expect(text == expected && pieces.joined() == expected && !pieces.contains(""))
        let bytes = try model.generate(
            bytes: Array("a".utf8), length: 7, tokenizer: tokenizer, sampling: .greedy, stop: stop)
        #expect(bytes == Array(expected.utf8))
        var streamed = ""
        for try await piece in model.textStream(
            "a", length: 7, tokenizer: tokenizer, sampling: .greedy, stop: stop)
        { streamed += piece }
        #expect(streamed == expected)
    }

    @Test("An incomplete character before the stop text is not waited for")
    func incompleteCharacters() throws {
        // The first byte of "é", then the stop text.
        let model = model(saying: [97, 0xC3, 98, 99])
        let stop = try StopTexts(["b"], in: tokenizer)
        #expect(try model.generate("a", length: 3, tokenizer: tokenizer, sampling: .greedy, stop: stop) == "\u{FFFD}")
        let bytes = try model.generate(bytes: [97], length: 3, tokenizer: tokenizer, sampling: .greedy, stop: stop)
        #expect(bytes == [0xC3])
        // A stop text that is a part of a character.
        let half = try StopTexts(bytes: [[0xC3]], in: tokenizer)
        #expect(try model.generate("a", length: 3, tokenizer: tokenizer, sampling: .greedy, stop: half) == "")
    }

    @Test("In a batch a stop text ends its row only, as an end token does")
    func batches() throws {
        let model = Trigram(vocabulary: 9)
        let prompts: [[Int32]] = [[3], [1, 2], [8, 8, 8], [4]]
        let sampling = SamplingOptions(temperature: 2, seed: 4)
        let free = try model.generate(prompts, length: 80, sampling: sampling)
        for texts in [[[5]], [[5, 1], [2, 2]], [[0, 1, 2, 3, 4]]] as [[[UInt8]]] {
            let stop = try StopTexts(bytes: texts, in: tokenizer)
            let ended = try model.generate(prompts, length: 80, sampling: sampling, stop: stop, padToken: -1)
            for (a, b) in zip(free, ended) {
                let end = (1...80).first { end in
                    texts.contains { a[..<end].suffix($0.count).map { UInt8($0) } == $0 }
                }
                #expect(b == Array(a.prefix(end ?? 80)) + [Int32](repeating: -1, count: b.count - (end ?? 80)))
            }
            if texts == [[5]] {
                let byToken = try model.generate(prompts, length: 80, sampling: sampling, endToken: 5, padToken: -1)
                #expect(byToken == ended)
            }
        }
    }

    @Test("A text in several calls ends where it would in one, also within a stop text", arguments: 1..<9)
    func severalCalls(cut: Int) throws {
        let model = Rememberer(vocabulary: 256)
        let sampling = SamplingOptions(temperature: 1, seed: 7)
        let free = try model.generate(bytes: [65], length: 10, tokenizer: tokenizer, sampling: sampling)
        // Tokens 2 to 8 of the ten.
        let stop = try StopTexts(bytes: [Array(free[1..<8])], in: tokenizer)
        let file = try TemporaryFolder().path + "-state"
        defer { unlink(file) }
        for wholeCharacters in [false, true] {
            var state: GenerationState<Rememberer>?
            var all: [UInt8] = []
            for (prompt, length) in [([65], cut), ([], 10 - cut)] as [([UInt8], Int)] {
                if state?.position ?? 0 >= 8 { break }
                all += try model.generate(
                    bytes: prompt, state: &state, length: length, tokenizer: tokenizer, sampling: sampling, stop: stop,
                    wholeCharacters: wholeCharacters)
                // What is held back goes through a file, too.
                try model.save(#require(state), to: file)
                state = try model.loadGenerationState(from: file)
            }
            #expect(all == Array(free[..<1]))
            #expect(state?.position == 8 && state?.pending == [])
        }
    }

    // MARK: Bytes

    @Test("Any bytes reach a model of bytes as they are, and come back as they are")
    func anyBytes() throws {
        let all = (0...255).map { UInt8($0) }
        #expect(tokenizer.encode(bytes: all) == all.map(Int32.init))
        let shuffled: [UInt8] = [0xE9, 0xFF, 0x00, 0x80, 0xC3, 0x28, 0x0A, 0xF0]
        let model = model(saying: shuffled)
        let answer = try model.generate(bytes: [0xE9], length: 7, tokenizer: tokenizer, sampling: .greedy)
        #expect(answer == Array(shuffled.dropFirst()))
    }

    @Test("A prompt that is no UTF-8 is refused where tokens are characters")
    func charactersNeedUTF8() throws {
        let characters = try CharacterTokenizer(learningFrom: [TextSource("aé", name: "a text")])
        #expect(try characters.encode(bytes: Array("éa".utf8)) == [1, 0])
        expectError("the text is not valid UTF-8, which the tokenizer (characters) needs") {
            try characters.encode(bytes: [0x61, 0xE9])
        }
    }
}
