import Testing

@testable import AttentionZooTokenizers

@Suite struct PatternTests {
    @Test(
        "The scanners cut random strings as the regular expressions do",
        arguments: [KnownPattern.gpt2, .llama3(mostDigits: 3), .llama3(mostDigits: 1)])
    func scannersAreTheirPatterns(pattern: KnownPattern) throws {
        #expect(KnownPattern(pattern.pattern) == pattern)
        let expression = try RegularExpression(pattern.pattern)
        for string in randomStrings(5000) {
            string.withUnsafeBufferPointer { text in
                #expect(Pattern.known(pattern).matches(in: text) == expression.matches(in: text), "\(string)")
            }
        }
    }

    @Test("A text is cut only where words begin", arguments: [KnownPattern.gpt2, .llama3(mostDigits: 3)])
    func cutsAreBetweenWords(pattern: KnownPattern) {
        for string in randomStrings(3000) {
            string.withUnsafeBufferPointer { text in
                guard let cut = KnownPattern.lastCut(in: text) else { return }
                #expect(Pattern.known(pattern).matches(in: text).contains { $0.lowerBound == cut }, "\(string)")
            }
        }
    }

    @Test(
        "Separators are removed, kept or joined to a neighbor",
        arguments: [
            (SplitBehavior.removed, ["the", "final", "count"]),
            (.isolated, ["the", "-", "final", "-", "-", "-", "count"]),
            (.mergedWithPrevious, ["the-", "final-", "-", "-", "count"]),
            (.mergedWithNext, ["the", "-final", "-", "-", "-count"]),
            (.contiguous, ["the", "-", "final", "---", "count"]),
        ])
    func splits(behavior: SplitBehavior, expected: [String]) {
        let text = Array("the-final---count".utf8)
        text.withUnsafeBufferPointer { bytes in
            let separators = Pattern.string([UInt8(ascii: "-")]).matches(in: bytes)
            let pieces = behavior.pieces(of: text.count, at: separators).map {
                String(decoding: text[$0], as: UTF8.self)
            }
            #expect(pieces == expected)
        }
    }

    @Test("White space, words and digits of expressions are those of Oniguruma")
    func classesAreOnigurumas() throws {
        func matches(_ pattern: String, _ text: String) throws -> Int {
            let expression = try RegularExpression(pattern)
            return Array(text.utf8).withUnsafeBufferPointer { expression.matches(in: $0).count }
        }
        #expect(try matches(#"\s"#, " \t\n\u{B}\u{85}\u{2028}\u{200B}") == 6)
        #expect(try matches(#"[\w.]"#, "aé_²½٣.\u{301}-") == 8)
        #expect(try matches(#"\\s"#, #"\s s"#) == 1)
    }
}
