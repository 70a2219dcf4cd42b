import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct BatchEvaluationTests {
    let folder = try! TemporaryFolder()
    let tokens = TokenTensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
    let targets = TokenTensor([2, 3, 4, 5, 6, 0], shape: [2, 3])

    func writeBatch(_ entries: [(String, TokenTensor)]) throws -> String {
        var writer = SafetensorsWriter()
        for (name, tokens) in entries { try writer.add(name, tokens) }
        let path = folder.path + "/batch.safetensors"
        try writer.write(to: path)
        return path
    }

    var output: String { folder.path + "/out.safetensors" }

    @Test("The file holds the model's own logits, loss, and gradients, without dropout")
    func logitsLossAndGradientsAreThoseOfTheModel() throws {
        let model = Bigram(vocabulary: 7, dropout: 0.5)
        let batch = try writeBatch([("tokens", tokens), ("targets", targets)])
        try model.evaluateBatch(batch, output: output, gradients: true)
        let file = try SafetensorsFile(path: output)
        #expect(
            file.names.sorted() == [
                "gradients/output.bias", "gradients/output.weight", "gradients/table.weight", "logits", "loss",
            ])
        let logits = model(tokens)  // without dropout
        #expect(try file.tensor("logits").shape == [2, 3, 7])
        #expect(try file.tensor("logits").values == logits.values)
        let loss = crossEntropy(logits, targets)
        #expect(try file.tensor("loss").shape == [1])
        #expect(try file.tensor("loss").item == loss.item)
        let gradients = gradients(of: loss)
        for (key, parameter) in model.trainable {
            #expect(try file.tensor("gradients/" + key).values == gradients[parameter]!.values)
        }
        try model.evaluateBatch(batch, output: output)
        #expect(try SafetensorsFile(path: output).names.sorted() == ["logits", "loss"])
        #expect(try SafetensorsFile(path: output).tensor("loss").item == loss.item)
    }

    @Test("A parameter that the loss does not depend on has a gradient of zeros")
    func aParameterWithoutInfluenceHasAGradientOfZeros() throws {
        // The table of the token before has no say in a model of one token... but a spare parameter never has.
        struct Spare: LanguageModel {
            let inner = Bigram(vocabulary: 7)
            let spare = Parameter(.ones([2, 2]))
            var vocabularySize: Int { 7 }
            var isCausal: Bool { true }
            typealias Carry = NoCarry
            func collect(into state: inout StateCollector) {
                state.add("inner", inner)
                state.add("spare", spare)
            }
            func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor { inner(tokens, mode: mode) }
            func startDecoding() -> Bigram.State { inner.startDecoding() }
            func decode(_ tokens: [[Int32]], states: inout [Bigram.State]) -> Tensor {
                inner.decode(tokens, states: &states)
            }
        }
        let batch = try writeBatch([("tokens", tokens), ("targets", targets)])
        try Spare().evaluateBatch(batch, output: output, gradients: true)
        #expect(try SafetensorsFile(path: output).tensor("gradients/spare").values == [0, 0, 0, 0])
    }

    @Test("Other tensors of a batch, of whatever type, are named and left alone")
    func otherTensors() throws {
        let plain = try writeBatch([("tokens", tokens), ("targets", targets)])
        #expect(try Bigram(vocabulary: 7).evaluateBatch(plain, output: output).unread == [])
        let expected = try SafetensorsFile(path: output).tensor("loss").item
        var writer = SafetensorsWriter()
        try writer.add("tokens", tokens)
        try writer.add("targets", targets)
        for (name, type) in [("phases", "C64"), ("ids", "U64"), ("scales", "F8_E4M3")] {
            let type = SafetensorsType(rawValue: type)
            let bytes = [UInt8](repeating: 0, count: type.size)
            try writer.add(name, dtype: type, shape: [1]) { output in try bytes.withUnsafeBytes { try output($0) } }
        }
        let path = folder.path + "/more.safetensors"
        try writer.write(to: path)
        let result = try Bigram(vocabulary: 7).evaluateBatch(path, output: output)
        #expect(result.unread == ["ids", "phases", "scales"] && result.loss.map { Float($0) } == expected)
        #expect(try SafetensorsFile(path: output).tensor("loss").item == expected)
    }

    @Test(
        "Tokens and targets are integers of any width",
        arguments: ["U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64"])
    func widths(type: String) throws {
        let type = SafetensorsType(rawValue: type)
        var writer = SafetensorsWriter()
        for (name, values) in [("tokens", tokens), ("targets", targets)] {
            let bytes = values.values.flatMap { value in
                withUnsafeBytes(of: UInt64(value).littleEndian) { Array($0.prefix(type.size)) }
            }
            try writer.add(name, dtype: type, shape: values.shape) { output in
                try bytes.withUnsafeBytes { try output($0) }
            }
        }
        let path = folder.path + "/narrow.safetensors"
        try writer.write(to: path)
        try Bigram(vocabulary: 7).evaluateBatch(path, output: output)
        let found = try SafetensorsFile(path: output).tensor("loss").item
        try Bigram(vocabulary: 7).evaluateBatch(writeBatch([("tokens", tokens), ("targets", targets)]), output: output)
        #expect(try SafetensorsFile(path: output).tensor("loss").item == found)
    }

    @Test("A malformed batch is refused and no file is written")
    func aBatchThatIsNoneIsRefusedAndNothingWritten() throws {
        func expectRefusal(
            _ message: String, _ entries: [(String, TokenTensor)], _ model: Bigram = Bigram(vocabulary: 7),
            location: SourceLocation = #_sourceLocation
        ) throws {
            let path = try writeBatch(entries)
            expectError("\(path): \(message)", sourceLocation: location) {
                try model.evaluateBatch(path, output: output)
            }
            #expect(!FileManager.default.fileExists(atPath: output), sourceLocation: location)
        }
        let form = "expected \"tokens\" and \"targets\", integers of one shape [batch, length]"
        try expectRefusal("\"targets\" is missing; \(form)", [("tokens", tokens)])
        try expectRefusal("\"tokens\" is missing; \(form)", [("targets", targets)])
        try expectRefusal(
            "\"tokens\": expected a shape [batch, length], found [6]",
            [("tokens", tokens.reshaped([6])), ("targets", targets)])
        try expectRefusal(
            "\"tokens\": expected a shape [batch, length], found [0, 3]",
            [("tokens", TokenTensor([], shape: [0, 3])), ("targets", targets)])
        try expectRefusal(
            "\"targets\": expected the shape [2, 3] of \"tokens\", found [3, 2]",
            [("tokens", tokens), ("targets", targets.reshaped([3, 2]))])
        try expectRefusal(
            "\"tokens\": 6 is outside the model's vocabulary; expected 0 to 5",
            [("tokens", tokens), ("targets", targets)], Bigram(vocabulary: 6))
        try expectRefusal(
            "\"targets\": -100 is outside the model's vocabulary; expected 0 to 6",
            [("tokens", tokens), ("targets", TokenTensor([1, 1, 1, 1, 1, -100], shape: [2, 3]))])
        try expectRefusal(
            "\"tokens\": expected at most 2 in a row, the longest the model's configuration allows, found 3",
            [("tokens", tokens), ("targets", targets)], Bigram(vocabulary: 7, maximumLength: 2))

        var writer = SafetensorsWriter()
        try writer.add("tokens", Tensor.ones([2, 3]))
        try writer.add("targets", targets)
        let path = folder.path + "/floats.safetensors"
        try writer.write(to: path)
        expectError("\(path): tensor \"tokens\": is F32; expected I64, I32, I16, I8, U64, U32, U16, U8 or BOOL") {
            try Bigram(vocabulary: 7).evaluateBatch(path, output: output)
        }
        expectError("\(folder.path)/none: cannot be read: No such file or directory") {
            try Bigram().evaluateBatch(folder.path + "/none", output: output)
        }
    }
}
