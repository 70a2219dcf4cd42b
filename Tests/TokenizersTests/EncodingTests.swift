import Foundation
import Testing

@testable import AttentionZooTokenizers

@Suite struct EncodingTests {
    private let texts = ["Hello zoo", "it's 12345", " \n\n x", "漢字 😀 e\u{301}", ""]

    @Test("Byte-level tokens give back any bytes", arguments: ["gpt2", "llama3"])
    func byteLevelKeepsBytes(kind: String) throws {
        let tokenizer = try SubwordTokenizer(contentsOf: fixture("\(kind).tokenizer.json"))
        for bytes in randomStrings(2000) {
            let tokens = tokenizer.encode(bytes: bytes, addSpecialTokens: false)
            #expect(tokenizer.decodeBytes(tokens, skipSpecialTokens: false) == bytes)
        }
    }

    @Test("Byte tokens keep bytes that are not UTF-8, and text decoding replaces them")
    func byteFallbackKeepsBytes() throws {
        let tokenizer = try SubwordTokenizer(contentsOf: fixture("llama2.tokenizer.json"))
        let tokens = tokenizer.encode(bytes: [0x61, 0xFF, 0xC3, 0x62] as [UInt8])
        #expect(tokens.contains(try #require(tokenizer.id(for: "<0xFF>"))))
        #expect(tokenizer.decodeBytes(tokens) == [0x61, 0xFF, 0xC3, 0x62])
        #expect(tokenizer.decode(tokens) == "a\u{FFFD}\u{FFFD}b")
    }

    @Test("The fast way and the general way of splitting give the same tokens")
    func fastIsGeneral() throws {
        let fast = try SubwordTokenizer(contentsOf: fixture("llama3.tokenizer.json"))
        guard case .pattern = fast.parts.splitting else {
            Issue.record("not the fast way")
            return
        }
        // Another spelling of the same expression, which no scanner knows.
        let file = String(decoding: fast.data, as: UTF8.self).replacing("{1,3}", with: "{1,2}\\\\p{N}?")
        let general = try tokenizer(file)
        guard case .bytes = general.parts.splitting else {
            Issue.record("not the general way")
            return
        }
        for bytes in randomStrings(2000) { #expect(fast.encode(bytes: bytes) == general.encode(bytes: bytes)) }
    }

    @Test("Long words are merged as short ones are")
    func longWordsAreMergedAlike() throws {
        let tokenizer = try SubwordTokenizer(contentsOf: fixture("gpt2.tokenizer.json"))
        guard case .bpe(let model) = tokenizer.parts.model else {
            Issue.record("not BPE")
            return
        }
        let file = Component(json: try JSONParser.parse([UInt8](tokenizer.data), file: ""), file: "", path: "")
        let merges = try file.required("model").required("merges").elements().map { merge in
            let parts = try merge.elements().map { try $0.string() }
            return try (parts + [parts.joined()]).map { try #require(tokenizer.id(for: $0)) }
        }
        for seed in 0..<40 {
            let word = (0..<50 + seed).map { Array("theasin ".utf8)[($0 * $0 * 7 + seed * $0 / 3) % 8] }
            // By the definition: all occurrences of each pair, in the order of the merges.
            var expected = try word.map {
                try #require(tokenizer.id(for: $0 == 0x20 ? "Ġ" : String(UnicodeScalar($0))))
            }
            for merge in merges {
                var i = 0
                while i + 1 < expected.count {
                    if Array(expected[i...i + 1]) == Array(merge[..<2]) {
                        expected.replaceSubrange(i...i + 1, with: [merge[2]])
                    }
                    i += 1
                }
            }
            var tokens: [Int32] = []
            word.withUnsafeBufferPointer { model.append(byteLevel: $0, to: &tokens) }
            #expect(tokens.map(Int.init) == expected)
        }
    }

    @Test("A word of some hundred thousand letters is encoded")
    func longInputsAreEncoded() throws {
        let tokenizer = try SubwordTokenizer(contentsOf: fixture("gpt2.tokenizer.json"))
        let text = String(repeating: "the", count: 1 << 17)
        #expect(tokenizer.decode(tokenizer.encode(text)) == text)
    }

    @Test("Special tokens are added on request, found in text, and left out of decoded text")
    func specialTokens() throws {
        let tokenizer = try SubwordTokenizer(contentsOf: fixture("llama3.tokenizer.json"))
        #expect(tokenizer.encode("zoo") == [0] + tokenizer.encode("zoo", addSpecialTokens: false))
        #expect(tokenizer.encode("<|eot_id|>", addSpecialTokens: false) == [1])
        #expect(tokenizer.decode([0, 1]) == "")
        #expect(tokenizer.decode([0, 1], skipSpecialTokens: false) == "<|begin_of_text|><|eot_id|>")
    }

    @Test("Tokens have numbers and numbers have tokens, also where spellings are canonically equivalent")
    func tokensAndNumbers() throws {
        let tokenizer = try tokenizer(
            #"{"model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "é": 1, "e\u0301": 2, "b": 5}}}"#)
        #expect(tokenizer.id(for: "é") == 1)
        #expect(tokenizer.id(for: "e\u{301}") == 2)
        #expect(tokenizer.encode("e\u{301}") == [2])
        #expect(tokenizer.token(for: 5) == "b")
        #expect(tokenizer.token(for: 3) == nil && tokenizer.token(for: -1) == nil)
        #expect(tokenizer.vocabularySize == 6)
        #expect(tokenizer.decode([1, 3, 5]) == "é b")
    }

    @Test("Several tasks encode with one tokenizer")
    func encodesConcurrently() async throws {
        let tokenizer = try SubwordTokenizer(contentsOf: fixture("bert.tokenizer.json"))
        let expected = texts.map { tokenizer.encode($0) }
        await withTaskGroup(of: [[Int]].self) { group in
            for _ in 0..<8 { group.addTask { [texts] in texts.map { tokenizer.encode($0) } } }
            for await tokens in group { #expect(tokens == expected) }
        }
    }

    @Test("Normalization takes no character beyond the basic plane for another, and leaves later ones as they are")
    func normalizes() {
        func normalized(_ text: String, _ form: NormalizationForm) -> [Unicode.Scalar] {
            Array(String(decoding: form.apply(to: Array(text.utf8)), as: UTF8.self).unicodeScalars)
        }
        // The low 16 bits of U+200D5 are those of Õ.
        #expect(normalized("\u{200D5}\u{301}", .nfc) == ["\u{200D5}", "\u{301}"])
        #expect(normalized("\u{11099}\u{110BA}e\u{301}", .nfc) == ["\u{1109A}", "é"])
        #expect(normalized("\u{1EE00}\u{32FF}ﬁ", .nfkc) == ["\u{627}", "\u{32FF}", "f", "i"])
    }
}
