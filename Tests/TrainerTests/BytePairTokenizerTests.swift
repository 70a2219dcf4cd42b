import AttentionZooTestSupport
import AttentionZooTokenizers
import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct BytePairTokenizerTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func learned(from text: String, size: Int = 300) throws -> BytePairTokenizer {
        try BytePairTokenizer(learningFrom: [try TextSource(text, name: "text")], vocabularySize: size)
    }

    @Test("The bytes of a text's tokens are the text, whatever its bytes")
    func bytesOfTokensAreTheText() throws {
        let tokenizer = try learned(from: String(repeating: "the zoo of the north ", count: 20))
        #expect(tokenizer.vocabularySize > 256)
        let text: [UInt8] = Array("the zoo é".utf8) + [0xFF, 0, 0xC3]
        let tokens = tokenizer.encode(bytes: text)
        #expect(tokens.count < text.count)
        #expect(tokens.flatMap(tokenizer.bytes) == text)
        #expect(tokenizer.decode([-1, Int32(tokenizer.vocabularySize)]) == "\u{FFFD}\u{FFFD}")
    }

    @Test("Tokens of several files and of large texts are those of each file, and count their bytes")
    func tokensOfTexts() throws {
        let tokenizer = try learned(from: String(repeating: "a zoo of long sequences, ", count: 30))
        let long = String(repeating: "a long zoo of sequences\n\n and more, é ", count: 70_000)  // several pieces
        let paths = [try folder.write(long, "1"), try folder.write("zoo of", "2")]
        let source = try tokenizer.tokens(of: TextSource(paths: paths))
        let expected = tokenizer.encode(long) + tokenizer.encode("zoo of")
        #expect(try source[0..<source.count] == expected)
        #expect(try source.byteCount() == long.utf8.count + 6)
        #expect(try source.slice(0..<3, name: "part").byteCount() == expected.prefix(3).flatMap(tokenizer.bytes).count)
        let files = source.separated(by: .files)
        #expect(try files.documentEnd(after: 0) == tokenizer.encode(long).count)
    }

    @Test("The tokenizer is saved as tokenizer.json and loaded the same")
    func savedAndLoaded() throws {
        let tokenizer = try learned(from: String(repeating: "the zoo of the north ", count: 20))
        try tokenizer.save(toFolder: folder.path)
        let loaded = try #require(try TokenizerKind.load(fromFolder: folder.path) as? BytePairTokenizer)
        #expect(loaded.encode("the north zoo") == tokenizer.encode("the north zoo"))
        #expect(loaded.vocabularySize == tokenizer.vocabularySize)
    }

    @Test("The same text gives the same tokenizer, however its pieces are read")
    func learningIsDeterministic() throws {
        let text = String(repeating: "some words, and other words \n", count: 90_000)
        let read = try learned(from: text)
        let whole = BPETrainer(vocabularySize: 300).train(on: text)
        #expect(read.tokenizer.data == whole.data)
    }

    @Test(
        "A file whose tokens do not give back the text is refused by name",
        arguments: [
            (
                #"{"model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"}}"#,
                "expected byte-level BPE without a normalizer and a prefix space, whose tokens give back the bytes of a text;"
                    + " found another WordLevel"
            ),
            (
                #"{"model": {"type": "Surprise"}}"#,
                #"model: unknown "Surprise"; known are BPE, WordPiece, Unigram, WordLevel"#
            ),
            ("{", "line 1: expected a key in quotes"),
        ])
    func refusesFiles(json: String, problem: String) throws {
        let path = try folder.write(json, "tokenizer.json")
        expectError("\(path): \(problem)") { try BytePairTokenizer(path: path) }
    }

    @Test("A run with it resumes to the same bits, and its losses are bits per byte")
    func runResumes() throws {
        let text = try TextSource(
            String(repeating: "the zoo of the north, the sea of the south. ", count: 60), name: "text")
        let tokenizer = try BytePairTokenizer(learningFrom: [text], vocabularySize: 280)
        let split = try DataSplit(tokenizer.tokens(of: text), sequenceLength: 8)
        let path = folder.path + "/run"
        func options(_ steps: Int) -> TrainingOptions {
            var options = TrainingOptions(length: .steps(steps))
            (options.sequenceLength, options.batchSize) = (8, 2)
            return options
        }
        @discardableResult func train(_ steps: Int, in path: String) throws -> Data {
            let run = try TrainingRun(
                Bigram(vocabulary: tokenizer.vocabularySize), on: split, tokenizer: tokenizer, options: options(steps),
                folder: path)
            try run.train()
            return try Data(contentsOf: URL(fileURLWithPath: path + "/weights.safetensors"))
        }
        try train(4, in: path)
        let opened = try RunFolder(path: path)
        #expect(try opened.configuration().tokenizer == .bpe)
        let loaded = try #require(try opened.tokenizer() as? BytePairTokenizer)
        #expect(loaded.encode("the south") == tokenizer.encode("the south"))

        // With the tokenizer of the folder, as `Train --resume` has it.
        let resumed = try TrainingRun(
            resuming: opened, Bigram(vocabulary: loaded.vocabularySize, seed: 9), on: split, tokenizer: loaded
        ) { $0.length = .steps(6) }
        try resumed.train()
        let end = try Data(contentsOf: URL(fileURLWithPath: path + "/weights.safetensors"))
        #expect(try train(6, in: folder.path + "/uninterrupted") == end)

        let tokens = try split.training[0..<split.training.count]
        let bytes = tokens.flatMap(tokenizer.bytes).count
        #expect(bytes > tokens.count)
        #expect(try split.training.byteCount() == bytes)
    }
}
