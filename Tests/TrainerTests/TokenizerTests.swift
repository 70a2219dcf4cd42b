import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct TokenizerTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func characters(_ text: String) throws -> CharacterTokenizer {
        try CharacterTokenizer(learningFrom: [try TextSource(text, name: "text")])
    }

    // MARK: Bytes

    @Test("Byte tokens encode any text")
    func bytesEncodeAnyText() throws {
        let tokenizer = ByteTokenizer()
        #expect(tokenizer.vocabularySize == 256)
        #expect(tokenizer.encode("aé😀") == [97, 0xC3, 0xA9, 0xF0, 0x9F, 0x98, 0x80])
        #expect(tokenizer.decode(tokenizer.encode("aé😀\r\n\0")) == "aé😀\r\n\0")
        #expect(tokenizer.decode([97, 0xC3, 98, 256, -1]) == "a\u{FFFD}b\u{FFFD}\u{FFFD}")
    }

    @Test("Byte tokens are read from the files, slices included")
    func byteTokensComeFromTheFiles() throws {
        let paths = [try folder.write([0, 255, 128], "1"), try folder.write("ab", "2")]
        let source = ByteTokenizer().tokens(of: try TextSource(paths: paths))
        #expect(source.count == 5)
        #expect(try source[0..<5] == [0, 255, 128, 97, 98])
        #expect(try source[2..<4] == [128, 97])
        #expect(try source.slice(1..<4, name: "part")[1..<3] == [128, 97])
        #expect(try source.slice(1..<4, name: "part").byteCount() == 3)
    }

    // MARK: Characters

    @Test("A character vocabulary is sorted and without duplicates")
    func vocabularyIsSortedAndUnique() throws {
        let tokenizer = try characters("banana\né😀")
        #expect(tokenizer.vocabulary == ["\n", "a", "b", "n", "é", "😀"])
        #expect(tokenizer.vocabularySize == 6)
        #expect(try tokenizer.encode("nab😀\n") == [3, 1, 2, 5, 0])
        #expect(tokenizer.decode([3, 1, 2, 5, 0]) == "nab😀\n")
        #expect(tokenizer.decode([1, 6, -1]) == "a\u{FFFD}\u{FFFD}")
    }

    @Test("A character token is a Unicode scalar")
    func characterIsAUnicodeScalar() throws {
        // Both look like é, and Swift's String calls them equal.
        let tokenizer = try characters("e\u{301}\u{E9}\r\n")
        #expect(tokenizer.vocabulary == ["\n", "\r", "e", "\u{E9}", "\u{301}"])
        #expect(try tokenizer.encode("e\u{301}") == [2, 4])
        #expect(Array(tokenizer.decode([2, 4]).unicodeScalars) == ["e", "\u{301}"])
        #expect(try tokenizer.encode("\r\n") == [1, 0])
    }

    @Test("Several texts share a vocabulary")
    func vocabularyOfSeveralTexts() throws {
        let texts = [try TextSource("ca", name: "1"), try TextSource("ab", name: "2")]
        #expect(try CharacterTokenizer(learningFrom: texts).vocabulary == ["a", "b", "c"])
    }

    /// Up to 256 tokens, up to 65,536, and more.
    @Test(
        "Whole texts survive encoding and decoding at every width of the token array",
        arguments: [5, 256, 257, 60_000, 70_000])
    func wholeTextsRoundTrip(size: Int) throws {
        let scalars = (0..<UInt32(0x110000)).lazy.compactMap(Unicode.Scalar.init).prefix(size)
        var content = ""
        content.unicodeScalars.append(contentsOf: scalars)
        content += "\u{3}\u{1}"
        let source = try TextSource(path: try folder.write(content, "text"))
        let tokenizer = try CharacterTokenizer(learningFrom: [source])
        #expect(tokenizer.vocabularySize == size)
        let tokens = try tokenizer.tokens(of: source)
        #expect(tokens.count == size + 2)
        #expect(try tokens[0..<tokens.count] == (0..<Int32(size)) + [3, 1])
        #expect(try tokenizer.encode(content) == tokens[0..<tokens.count])
        #expect(try tokenizer.decode(tokens[0..<tokens.count]) == content)
        #expect(try tokens.byteCount() == content.utf8.count)
        #expect(try tokens.slice(size - 1..<size + 2, name: "end").byteCount() == UTF8.width(scalars.last!) + 2)
    }

    @Test("Texts of several files are encoded while memory is released")
    func textsAcrossFilesAndReleasedMemory() throws {
        // 5 MB and an odd number of bytes a line, so that memory is given back while a file is being read.
        let line = "wörld \u{1F600}\n"
        let content = String(repeating: line, count: 400_000)
        let paths = [try folder.write(content, "1"), try folder.write("w", "2")]
        let source = try TextSource(paths: paths)
        let tokenizer = try CharacterTokenizer(learningFrom: [source])
        let tokens = try tokenizer.tokens(of: source)
        #expect(tokenizer.vocabularySize == 8)
        #expect(tokens.count == 8 * 400_000 + 1)
        #expect(try tokens[8 * 399_999..<tokens.count] == tokens[0..<9])
        #expect(try tokenizer.decode(tokens[0..<9]) == line + "w")
    }

    @Test("An unknown character is named with its position")
    func unknownCharacters() throws {
        let tokenizer = try characters("abc\n")
        expectError(
            naming: "position 3", "\"d\"", "U+0064", "4"
        ) { try tokenizer.encode("abd") }
        expectError(
            naming: "position 1", "\"😀\"", "U+1F600", "4"
        ) { try tokenizer.encode("😀") }
        let paths = [try folder.write("abc", "1"), try folder.write("a\nbb\u{E9}", "2")]
        expectError(
            naming: "\(paths[1]), line 2, column 3 (byte 4)", "\"é\" (U+00E9)", "4"
        ) { try tokenizer.tokens(of: try TextSource(paths: paths)) }
    }

    @Test(
        "Invalid UTF-8 is named with its position",
        arguments: [
            [0x80], [0xC3], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80], [0xE2, 0x82],
            [0xF0, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF], [0xE2, 0x41, 0x82],
        ] as [[UInt8]])
    func invalidUTF8(bytes: [UInt8]) throws {
        let path = try folder.write(Array("é\né".utf8) + bytes, "bad.txt")
        expectError(
            naming: "\(path), line 2, column 2 (byte 5)", "byte \(bytes[0])", "UTF-8", "byte tokens"
        ) { try CharacterTokenizer(learningFrom: [try TextSource(path: path)]) }
    }

    @Test("A character does not span files")
    func charactersDoNotSpanFiles() throws {
        let paths = [try folder.write([0xC3], "1"), try folder.write([0xA9], "2")]
        expectError(
            naming: "\(paths[0]), line 1, column 1 (byte 0)", "byte 195", "UTF-8", "byte tokens"
        ) {
            try CharacterTokenizer(learningFrom: [try TextSource(paths: paths)])
        }
    }

    // MARK: Saved and loaded

    @Test("Tokenizers are saved and loaded")
    func savedAndLoaded() throws {
        try ByteTokenizer().save(toFolder: folder.path)
        #expect(try TokenizerKind.load(fromFolder: folder.path) is ByteTokenizer)
        let tokenizer = try characters("\0\u{1}\n\r\t \"\\/aeé\u{301}\u{7F}\u{2028}\u{FEFF}\u{FFFD}😀")
        try tokenizer.save(toFolder: folder.path)
        let loaded = try #require(try TokenizerKind.load(fromFolder: folder.path) as? CharacterTokenizer)
        #expect(loaded.vocabulary == tokenizer.vocabulary)
        #expect(try loaded.encode("é😀") == tokenizer.encode("é😀"))
    }

    @Test("Each kind makes its tokenizer")
    func kindsMakeTheirTokenizers() throws {
        let text = try TextSource("hello", name: "text")
        #expect(try TokenizerKind.bytes.makeTokenizer(learningFrom: [text]).vocabularySize == 256)
        #expect(try TokenizerKind.characters.makeTokenizer(learningFrom: [text]).vocabularySize == 4)
    }

    @Test(
        "A malformed tokenizer file names the key",
        arguments: [
            (#"{"type": "words"}"#, #""type": expected one of "bytes", "characters", found "words""#),
            (#"{"vocabulary": "ab"}"#, #""type": is missing; expected one of "bytes", "characters""#),
            (#"{"type": "characters"}"#, #""vocabulary": is missing; expected a string"#),
            (
                #"{"type": "characters", "vocabulary": "ba"}"#,
                #""vocabulary": expected different characters in the order of Unicode"#
            ),
            (
                #"{"type": "characters", "vocabulary": "aa"}"#,
                #""vocabulary": expected different characters in the order of Unicode"#
            ),
            (
                #"{"type": "characters", "vocabulary": ""}"#,
                #""vocabulary": expected different characters in the order of Unicode"#
            ),
            (#"{"type": "bytes", "vocabulary": "ab"}"#, #"unknown key "vocabulary"; known keys: type"#),
        ])
    func filesThatAreNoTokenizer(json: String, problem: String) throws {
        let path = try folder.write(json, "tokenizer.json")
        expectError("\(path): \(problem)") { try TokenizerKind.load(fromFolder: folder.path) }
    }

    @Test("A missing tokenizer file is named")
    func missingFile() {
        expectError("\(folder.path)/tokenizer.json: cannot be read: No such file or directory") {
            try TokenizerKind.load(fromFolder: folder.path)
        }
    }

    // MARK: Streaming

    @Test("Incomplete characters are held back")
    func partsOfCharactersAreHeldBack() {
        var decoder = ByteTokenizer().makeDecoder()
        let pieces = ByteTokenizer().encode("aé€😀").map { decoder.append($0) }
        #expect(pieces == ["a", "", "é", "", "", "€", "", "", "", "😀"])
        #expect(decoder.finish() == "")
    }

    @Test("Bytes that cannot become a character are replaced at once")
    func whatCannotBecomeACharacterIsReplacedAtOnce() {
        func pieces(_ bytes: [Int32]) -> [String] {
            var decoder = ByteTokenizer().makeDecoder()
            return bytes.map { decoder.append($0) } + [decoder.finish()]
        }
        #expect(pieces([0x80]) == ["\u{FFFD}", ""])
        #expect(pieces([0xC3, 97]) == ["", "\u{FFFD}a", ""])
        #expect(pieces([0xF0, 0x9F]) == ["", "", "\u{FFFD}"])
        #expect(pieces([0xED, 0xA0]) == ["", "\u{FFFD}\u{FFFD}", ""])
        #expect(pieces([0xC3, 0xC3, 0xA9]) == ["", "\u{FFFD}", "é", ""])
        #expect(pieces([300]) == ["\u{FFFD}", ""])
    }

    @Test("Streaming random bytes gives the text of decoding them at once")
    func streamingGivesWhatDecodingGives() {
        // Bytes at which UTF-8's rules change, so that nearly valid characters are common.
        let alphabet: [Int32] = [
            0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4,
            0xF5,
        ]
        var generator = SplitMix64(seed: 1)
        for _ in 0..<3000 {
            let tokens = (0..<12).map { _ in alphabet[generator.next(below: alphabet.count)] }
            var decoder = ByteTokenizer().makeDecoder()
            var text = ""
            for (index, token) in tokens.enumerated() {
                text += decoder.append(token)
                // Never more than the beginning of one character is held back.
                #expect(
                    ByteTokenizer().decode(Array(tokens[...index])).unicodeScalars.count
                        - text.unicodeScalars.count <= 1)
            }
            text += decoder.finish()
            #expect(Array(text.unicodeScalars) == Array(ByteTokenizer().decode(tokens).unicodeScalars))
        }
    }

    @Test("Character tokens stream one by one")
    func charactersStreamOneByOne() throws {
        let tokenizer = try characters("aé😀")
        var decoder = tokenizer.makeDecoder()
        #expect(try tokenizer.encode("😀aé").map { decoder.append($0) } == ["😀", "a", "é"])
        #expect(decoder.finish() == "")
    }
}
