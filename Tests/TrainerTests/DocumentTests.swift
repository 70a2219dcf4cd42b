import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct DocumentTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func documents(_ source: TokenSource) throws -> [Range<Int>] {
        var found: [Range<Int>] = []
        var start = 0
        while start < source.count {
            found.append(try start..<source.documentEnd(after: start))
            start = found.last!.upperBound
        }
        return found
    }

    @Test("A text without separators is one document")
    func textsAsOneDocument() throws {
        #expect(try documents(byteTokens("ab\ncd")) == [0..<5])
        #expect(try documents(byteTokens("ab\ncd", .files)) == [0..<5])
        #expect(try documents(byteTokens("ab\ncd", .marker(0))) == [0..<5])
        #expect(try documents(countingTokens(9).separated(by: .files)) == [0..<9])
    }

    @Test(
        "A marker belongs to the document that it ends",
        arguments: [
            ("ab\nc", [0..<3, 3..<4]), ("ab\nc\n", [0..<3, 3..<5]), ("\nab", [0..<1, 1..<3]),
            ("ab\n\n\nc", [0..<3, 3..<4, 4..<5, 5..<6]), ("\n\n", [0..<1, 1..<2]), ("a", [0..<1]),
        ])
    func theMarkerEndsItsDocument(text: String, expected: [Range<Int>]) throws {
        #expect(try documents(byteTokens(text, .marker(10))) == expected)
        let source = try TextSource(text, name: "a text")
        let tokenizer = try CharacterTokenizer(learningFrom: [source])
        #expect(try documents(tokenizer.tokens(of: source).separated(by: .marker(10))) == expected)
    }

    @Test("Files end documents, also in slices and in tokens of several bytes")
    func filesEndDocuments() throws {
        let parts = ["añb", "c", "€\n\nd", "efg"]
        let text = try TextSource(paths: parts.enumerated().map { try folder.write($1, "\($0).txt") })
        let bytes = ByteTokenizer().tokens(of: text).separated(by: .files)
        #expect(try documents(bytes) == [0..<4, 4..<5, 5..<11, 11..<14])
        let tokenizer = try CharacterTokenizer(learningFrom: [text])
        let characters = try tokenizer.tokens(of: text)
        #expect(try documents(characters) == [0..<11])
        #expect(try documents(characters.separated(by: .files)) == [0..<3, 3..<4, 4..<8, 8..<11])
        #expect(try documents(characters.separated(by: .marker(10))) == [0..<6, 6..<7, 7..<11])
        #expect(try documents(characters.separated(by: .marker(0xC3))) == [0..<11])  // half a character
        #expect(try documents(bytes.separated(by: .marker(0xC3))) == [0..<2, 2..<14])
        #expect(try documents(bytes.slice(2..<13, name: "part")) == [0..<2, 2..<3, 3..<9, 9..<11])
        #expect(try documents(bytes.slice(4..<11, name: "part").slice(1..<7, name: "part")) == [0..<6])
    }

    @Test("Documents of random texts are found from every position", arguments: 0..<60)
    func allDocumentsAreFound(seed: Int) throws {
        let example = DocumentExample(seed: seed, separator: .marker(DocumentExample.marker))
        let source = example.source
        #expect(try documents(source) == example.documents)
        for document in example.documents {
            for position in document {
                #expect(try source.documentEnd(after: position) == document.upperBound)
                #expect(try source.startsDocument(at: position) == (position == document.lowerBound))
                for limit in position + 1...source.count + 1 {
                    #expect(try source.documentEnd(after: position, limit: limit) == min(document.upperBound, limit))
                }
            }
        }
        #expect(try source.targetCount() == source.count - example.documents.count)
    }

    @Test("Documents longer than a read buffer are found")
    func documentsLongerThanTheirPieces() throws {
        // Bytes are read by the megabyte, other tokens by 4,096.
        var bytes = [UInt8](repeating: 97, count: 2_200_000)
        for end in [5_000, 1_048_576, 1_048_577, 2_150_000] { bytes[end - 1] = 10 }
        let expected = [
            0..<5_000, 5_000..<1_048_576, 1_048_576..<1_048_577, 1_048_577..<2_150_000, 2_150_000..<2_200_000,
        ]
        let text = try TextSource(path: try folder.write(bytes, "text"))
        #expect(try documents(ByteTokenizer().tokens(of: text).separated(by: .marker(10))) == expected)
        let tokenizer = try CharacterTokenizer(learningFrom: [text])
        #expect(try documents(tokenizer.tokens(of: text).separated(by: .marker(10))) == expected)
    }

    @Test("The first token of each document is no target")
    func bytesOfTheTargets() throws {
        let text = try TextSource("ñ€.€a.", name: "a text")
        let tokenizer = try CharacterTokenizer(learningFrom: [text])
        let tokens = try tokenizer.tokens(of: text)
        #expect(try tokens.targetByteCount() == 9)
        let separated = tokens.separated(by: .marker(UInt8(ascii: ".")))
        #expect(try separated.targetByteCount() == 6)  // €.a.
        #expect(try separated.targetCount() == 4)
    }

    // MARK: Evaluation

    @Test("The loss of a text is that of its documents, each evaluated alone", arguments: [1, 3])
    func evaluationsForgetWhereADocumentEnds(batchSize: Int) throws {
        func expectSum(_ model: some LanguageModel) throws {
            let source = try byteTokens(someText(60), .marker(10))
            let parts = try documents(source).filter { $0.count > 1 }.map { document in
                let text = source.slice(document, name: "a document").separated(by: .nothing)
                return try model.evaluate(text, sequenceLength: 7)
            }
            #expect(parts.count > 2)
            let whole = try model.evaluate(source, sequenceLength: 7, batchSize: batchSize)
            #expect(whole.tokens == parts.reduce(0) { $0 + $1.tokens })
            #expect(whole.bytes == parts.reduce(0) { $0 + $1.bytes })
            let loss = parts.reduce(0) { $0 + $1.loss * Double($1.tokens) } / Double(whole.tokens)
            #expect(abs(whole.loss - loss) <= 1e-6 * loss)  // means of float32 losses, weighted in float64
        }
        try expectSum(Bigram())
        try expectSum(Trigram())
        try expectSum(Trigram(maximumLength: 3))
    }

    // MARK: As text

    @Test(
        "Names of separators are read and written",
        arguments: [
            ("none", DocumentSeparator.nothing), ("files", .files), ("lines", .marker(10)), ("byte:0", .marker(0)),
            ("byte:255", .marker(255)), ("byte:0x1e", .marker(30)), ("byte:0xFF", .marker(255)),
            ("byte:\\n", .marker(10)),
            ("byte:\\r", .marker(13)), ("byte:\\t", .marker(9)), ("byte:\\0", .marker(0)),
        ])
    func names(text: String, separator: DocumentSeparator) {
        #expect(DocumentSeparator(text) == separator)
        #expect(DocumentSeparator(separator.description) == separator)
    }

    @Test(
        "Other names are no separators",
        arguments: [
            "", "None", "file", "byte", "byte:", "byte:256", "byte:-1", "byte:+1", "byte:0x", "byte:0x+1", "byte:0x100",
            "byte:n", "byte:\\", "byte:\\x", "byte: 1", "10",
        ])
    func namesOfNothing(text: String) {
        #expect(DocumentSeparator(text) == nil)
    }

    @Test("Separators have canonical names")
    func canonicalNames() {
        #expect(
            [.nothing, .files, .marker(10), .marker(0)].map(\DocumentSeparator.description) == [
                "none", "files", "lines", "byte:0",
            ])
    }

    // MARK: Splits

    @Test(
        "A split falls between documents where one ends near it",
        arguments: [
            ("aaaa\nbbb\ncc", 0.4, 9),  // 7 of 11 tokens would end within the second line
            ("aaaa\nbbb\ncc", 0.2, 9), ("aaaa\nbbb\ncc", 0.55, 5),  // where a document begins already
            ("aaaa\nbbb\ncc", 0.7, 5), ("aaaabbbbbcc", 0.5, 5), ("aaaa\nbbbbb", 0.4, 6),  // none begins any more
            ("aaaabbbbb\nc", 0.5, 5),  // too little would be left
            ("aaaabbbb\ncc", 0.5, 9),
        ])
    func splitsBetweenDocuments(text: String, fraction: Double, boundary: Int) throws {
        let split = try DataSplit(byteTokens(text, .marker(10)), validationFraction: fraction, sequenceLength: 1)
        #expect(split.training.count == boundary)
        #expect(split.validation?.count == text.utf8.count - boundary)
        #expect(split.training.separator == .marker(10))
        #expect(split.validation?.separator == .marker(10))
        let whole = try DataSplit(byteTokens(text), validationFraction: fraction, sequenceLength: 1)
        #expect(whole.training.count == text.utf8.count - Int((Double(text.utf8.count) * fraction).rounded()))
    }
}
