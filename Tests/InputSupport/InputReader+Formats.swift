@_spi(Inputs) import ModelZoo

extension InputReader {
    private static let jsonSyntax = [
        "true", "false", "null", "{\"", "\":", "[]", "{}", "\\u00e9", "1e308", "-0.5", "\"",
    ]

    /// Documents, which must come back from what is printed of them.
    static func json() throws -> InputReader {
        let text =
            #"{"dim": 64, "heads": [1, 2.5, -3e-2], "causal": true, "name": "é \u00e9 \ud83e\uddab \n", "none": null}"#
        return InputReader(
            "json", file: "a.json", in: try InputFolder(),
            valid: [
                "object": Array(text.utf8), "mark": [0xEF, 0xBB, 0xBF] + Array("[]".utf8), "number": Array("0".utf8),
            ],
            doubtful: [
                "comma": Array("[1, 2,]".utf8), "twice": Array(#"{"a": 1, "a": 2}"#.utf8), "large": Array("1e999".utf8),
                "long": Array("123456789012345678901234567890".utf8), "not-finite": Array("[NaN, Infinity]".utf8),
                "deep": Array(repeating: UInt8(ascii: "["), count: 4000), "surrogate": Array(#""\ud83e""#.utf8),
                "cut": Array(text.utf8.dropLast(9)), "control": Array("\"\u{1}\"".utf8), "key": Array("{a: 1}".utf8),
            ],
            words: jsonSyntax
        ) { path in
            try FileInputs.readJSON(contents(ofFile: path), file: path)
        }
    }

    /// A learned vocabulary, which must read what it writes.
    static func tokenizer() throws -> InputReader {
        let folder = try InputFolder()
        let learned = try CharacterTokenizer(learningFrom: [TextSource("to be, or nöt 🦫\n", name: "a text")])
        try learned.save(toFolder: folder.path)
        return InputReader(
            "tokenizer", file: "tokenizer.json", in: folder,
            valid: [
                "learned": try contents(ofFile: folder.path + "/tokenizer.json"),
                "bytes": Array(#"{"type": "bytes"}"#.utf8),
            ],
            doubtful: [
                "order": Array(#"{"type": "characters", "vocabulary": "ba"}"#.utf8),
                "twice": Array(#"{"type": "characters", "vocabulary": "aa"}"#.utf8),
                "nothing": Array(#"{"type": "characters", "vocabulary": ""}"#.utf8),
                "last": Array(#"{"type": "characters", "vocabulary": "\u0000\udbff\udfff"}"#.utf8),
            ],
            words: jsonSyntax + ["type", "vocabulary", "bytes", "characters"]
        ) { path in
            let tokenizer = try TokenizerKind.load(fromFolder: folder.path)
            let tokens = (0..<Int32(tokenizer.vocabularySize)).map { $0 }
            let text = tokenizer.decode(tokens)
            if tokenizer.kind == .characters {
                let again = try tokenizer.encode(text)
                precondition(again == tokens, "\(tokens.count) tokens came back as \(again.count)")
            }
        }
    }

    /// Compressed texts.
    static func gzip() throws -> InputReader {
        // Made by Python's gzip module.
        let first: [UInt8] =
            [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 0xFF, 0x2B, 0xC9, 0x57, 0x48, 0x4A, 0xD5, 0x51, 0xC8, 0x2F, 0x52, 0xC8]
            + [0xCB, 0x2F, 0x51, 0x28, 1, 0xF1, 0xB8, 0, 0x84, 0xCD, 0xE8, 0x4B, 0x14, 0, 0, 0]
        let ofNothing: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 0xFF, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        // A stored block needs no compressor: "ab".
        let stored: [UInt8] =
            [
                0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF, 1, 2, 0, 0xFD, 0xFF, 0x61, 0x62, 0x6D, 0x48, 0x83, 0x9E, 2, 0, 0,
                0,
            ]
        return InputReader(
            "gzip", file: "text.gz", in: try InputFolder(),
            valid: ["one": first, "stored": stored, "two": first + ofNothing + stored, "padded": first + [0, 0, 0]],
            doubtful: [
                "cut": Array(first.dropLast(5)), "checksum": first.dropLast(8) + Array(repeating: 1, count: 8),
                "length": first.dropLast(4) + [255, 255, 255, 255],
                "named": [0x1F, 0x8B, 8, 0x1C] + first.dropFirst(4),
                "tail": first + [1, 2, 3],
            ]
        ) { path in
            let text = try TextSource(path: path)
            let content = try text[0..<text.count]
            precondition(content.count == text.count, "\(content.count) bytes of \(text.count)")
        }
    }

    /// Plain texts: characters must come back as they were, documents must cover all.
    static func text() throws -> InputReader {
        InputReader(
            "text", file: "text.txt", in: try InputFolder(),
            valid: [
                "lines": Array("to be,\nor nöt\n\n🦫\n".utf8), "nul": [0x61, 0, 0x62], "mark": [0xEF, 0xBB, 0xBF, 0x61],
            ],
            doubtful: [
                "overlong": [0xC0, 0x80], "surrogate": [0xED, 0xA0, 0x80], "beyond": [0xF4, 0x90, 0x80, 0x80],
                "cut": [0x61, 0xE2, 0x82], "lone": [0x61, 0x80],
            ]
        ) { path in
            let text = try TextSource(path: path)
            let content = try text[0..<text.count]
            for separator in [DocumentSeparator.nothing, .files, .marker(10)] {
                let source = ByteTokenizer().tokens(of: text).separated(by: separator)
                var end = 0
                while end < source.count { end = try source.documentEnd(after: end) }
                let bytes = try source.byteCount()
                precondition(end == content.count && bytes == content.count, "\(separator): \(end), \(bytes) bytes")
                _ = try? DataSplit(source, validationFraction: 0.3, sequenceLength: 2)
            }
            let tokenizer = try CharacterTokenizer(learningFrom: [text])
            let tokens = try tokenizer.tokens(of: text)
            let again = try Array(tokenizer.decode(tokens[0..<tokens.count]).utf8)
            precondition(again == content, "\(content.count) bytes came back as \(again.count)")
        }
    }
}
