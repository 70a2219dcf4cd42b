import Foundation
import Testing

@testable import AttentionZooTokenizers

@Suite struct AgreementTests {
    @Test("Tokens and decoded texts are those of the Python package", arguments: kinds)
    func agrees(kind: String) throws {
        let tokenizer = try SubwordTokenizer(contentsOf: fixture("\(kind).tokenizer.json"))
        let texts = try json("texts.json").elements().map { try $0.string() }
        let expected = try json("\(kind).expected.json")
        let tokens = try expected.required("tokens").elements().map { try $0.elements().map { try $0.count() } }
        let decoded = try expected.required("decoded").elements().map { try $0.string() }
        #expect(texts.count > 100 && tokens.count == texts.count && decoded.count == texts.count)
        for (index, text) in texts.enumerated() {
            #expect(tokenizer.encode(text) == tokens[index], "\(text.debugDescription)")
            #expect(
                tokenizer.decode(tokens[index]).unicodeScalars.elementsEqual(decoded[index].unicodeScalars),
                "\(text.debugDescription)")
        }
    }

    @Test("A written file is read as the same tokenizer, and written again the same", arguments: kinds)
    func writesWhatItReads(kind: String) throws {
        let original = try SubwordTokenizer(contentsOf: fixture("\(kind).tokenizer.json"))
        let written = try SubwordTokenizer(data: original.data)
        #expect(written.data == original.data)
        for text in try json("texts.json").elements().map({ try $0.string() }) {
            #expect(written.encode(text) == original.encode(text))
        }
    }

    @Test("Merges are learned in the order of the Python package")
    func learnsTheSameMerges() throws {
        let text = try json("texts.json").elements()[2].string()
        let learned = BPETrainer(vocabularySize: 500).train(on: text + text)
        let file = Component(json: try JSONParser.parse([UInt8](learned.data), file: ""), file: "", path: "")
        func merges(_ component: Component) throws -> [[String]] {
            try component.elements().map { try $0.elements().map { try $0.string() } }
        }
        let expected = try merges(json("learned.json").required("merges"))
        #expect(expected.count > 200)
        #expect(try merges(file.required("model").required("merges")) == expected)
    }
}
