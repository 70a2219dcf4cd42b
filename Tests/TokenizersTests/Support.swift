import Foundation
import Testing

@testable import AttentionZooTokenizers

/// The kinds of tokenizers that Scripts/check-tokenizers trains.
let kinds = [
    "gpt2", "roberta", "llama3", "llama2", "words_bpe", "prefix_bpe", "bert", "unigram", "unigram_bytes", "word_level",
]

func fixture(_ name: String) throws -> URL {
    try #require(Bundle.module.url(forResource: name, withExtension: nil, subdirectory: "Fixtures"))
}

func json(_ name: String) throws -> Component {
    Component(json: try JSONParser.parse([UInt8](Data(contentsOf: fixture(name))), file: name), file: name, path: "")
}

/// A tokenizer from the text of a file.
func tokenizer(_ file: String) throws -> SubwordTokenizer {
    try SubwordTokenizer(data: Data(file.utf8), name: "t.json")
}

/// The message of the error that reading a file throws.
func message(_ file: String) -> String? {
    do {
        _ = try tokenizer(file)
        return nil
    } catch {
        return "\(error)"
    }
}

/// Random strings of characters that patterns tell apart, the same each time.
func randomStrings(_ count: Int) -> [[UInt8]] {
    var state: UInt64 = 26
    func next(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
    }
    let parts: [[UInt8]] =
        [
            " ", " ", "  ", "\n", "\r\n", "\t", "\u{A0}", "\u{85}", "\u{3000}", "a", "b", "S", "t", "'", "'s", "'LL",
            "ſ", "é",
            "漢", "1", "23", "4567", "½", "٣", "Ⅷ", ".", "!?", "€", "😀", "\u{301}", "\u{200D}", "\0", "_",
        ].map { Array($0.utf8) } + [[0xFF], [0xC3], [0xE2, 0x82], [0xED, 0xA0, 0x80]]
    return (0..<count).map { _ in (0..<next(14)).flatMap { _ in parts[next(parts.count)] } }
}
