import Foundation
import Testing

@testable import AttentionZooTokenizers

@Suite struct InputTests {
    private static let model = #""model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}"#

    @Test(
        "A file that is none is refused in one line that names file, key and what was expected",
        arguments: [
            ("", "t.json: line 1: expected a value"),
            ("{\n\"a\": 1,}", "t.json: line 2: expected a key in quotes"),
            ("{} x", "t.json: line 1: expected the end of the document"),
            (#"{"a": "\ud800x"}"#, "t.json: line 1: expected a pair of surrogates"),
            ("[]", "t.json: expected an object, found an array"),
            ("{}", "t.json: model is missing"),
            (
                #"{"surprise": 1, \#(model)}"#,
                #"t.json: unknown "surprise"; known are version, truncation, padding, added_tokens, normalizer, pre_tokenizer, "#
                    + "post_processor, decoder, model"
            ),
            (
                #"{"model": {"type": "X"}}"#,
                #"t.json: model: unknown "X"; known are BPE, WordPiece, Unigram, WordLevel"#
            ),
            (
                #"{"normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled"}]}, \#(model)}"#,
                #"t.json: normalizer.normalizers[0]: unknown "Precompiled"; known are BertNormalizer, ByteLevel, Lowercase, NFC, "#
                    + "NFD, NFKC, NFKD, Nmt, Prepend, Replace, Sequence, Strip, StripAccents"
            ),
            (
                #"{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}, \#(model)}"#,
                #"t.json: pre_tokenizer.pattern.Regex: expected a regular expression, found "(""#
            ),
            (
                #"{"pre_tokenizer": {"type": "Punctuation", "behavior": "Gone"}, \#(model)}"#,
                #"t.json: pre_tokenizer.behavior: unknown "Gone"; known are Removed, Isolated, MergedWithPrevious, "#
                    + "MergedWithNext, Contiguous"
            ),
            (
                #"{"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}}"#,
                #"t.json: model.vocab: "b": expected different tokens with different numbers, found 0 again"#
            ),
            (
                #"{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}"#,
                #"t.json: model.vocab: "a": expected a number from 0 to 16777215"#
            ),
            (
                #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}"#,
                #"t.json: model.merges[0]: expected tokens of the vocabulary, found "b""#
            ),
            (
                #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}}"#,
                "t.json: model.dropout: expected null or 0: merges are not left out by chance here"
            ),
            (
                #"{"model": {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "[UNK]"}}"#,
                #"t.json: model.unk_token: expected a token of the vocabulary, found "[UNK]""#
            ),
            (
                #"{"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}}"#,
                "t.json: model.unk_id: expected the number of one of the 1 tokens"
            ),
            (
                #"{"post_processor": {"type": "TemplateProcessing", "single": [], "special_tokens": {}}, \#(model)}"#,
                #"t.json: post_processor.single: expected "Sequence" "A""#
            ),
            (
                #"{"added_tokens": [{"id": 1.5, "content": "x"}], \#(model)}"#,
                "t.json: added_tokens[0].id: expected a whole number from 0 to 2147483647, found a number"
            ),
        ])
    func refuses(file: String, expected: String) { #expect(message(file) == expected) }

    @Test("A file that is missing is named")
    func missingFile() throws {
        let error = #expect(throws: TokenizerError.self) {
            try SubwordTokenizer(contentsOf: URL(filePath: "/no/such.json"))
        }
        #expect(error?.message.hasPrefix("/no/such.json: cannot be read: ") == true)
        #expect(error?.message.contains("\n") == false)
    }

    @Test("Damaged files are read or refused, never a trap", arguments: kinds)
    func damagedFiles(kind: String) throws {
        let bytes = [UInt8](try Data(contentsOf: fixture("\(kind).tokenizer.json")))
        let replacements = Array("{}[]\",:0e-\\n".utf8)
        var refused = 0
        for step in 0..<60 {
            var damaged = bytes
            let place = step % 3 == 0 ? step * 37 : (step &* 7919) % bytes.count
            damaged[place % bytes.count] = replacements[step % replacements.count]
            do {
                let tokenizer = try SubwordTokenizer(data: Data(damaged), name: "t.json")
                _ = tokenizer.decode(tokenizer.encode("Zoo 12 é"))
            } catch let error as TokenizerError {
                #expect(error.message.hasPrefix("t.json: ") && !error.message.contains("\n"))
                refused += 1
            }
        }
        #expect(refused > 10)
    }
}
