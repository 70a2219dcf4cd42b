import NN
import Tensors
import Testing

@testable import Trainer

/// Rows longer than the longest segment of a model that carries something: loss and gradients are those of its segments,
/// one after another, put together by hand.
@Suite struct SegmentTests {
    let folder = try! TemporaryFolder()
    let model = Rememberer(vocabulary: 7, maximumLength: 4)
    let tokens = TokenTensor((0..<22).map { Int32($0 * $0 % 7) }, shape: [2, 11])

    /// Everything a segment's mean loss gives, segment by segment.
    func parts(_ targets: TokenTensor) -> [(loss: Double, targets: Int, gradients: Gradients)] {
        var carries: [Rememberer.Carry?] = [nil, nil]
        return [0..<4, 4..<8, 8..<11].map { range in
            func cut(_ tokens: TokenTensor) -> TokenTensor {
                TokenTensor(
                    (0..<2).flatMap { row in range.map { tokens.values[row * 11 + $0] } }, shape: [2, range.count])
            }
            let part = model.loss(cut(tokens), cut(targets), carries: carries, mode: .inference)
            carries = part.carries
            let counted = cut(targets).values.count { $0 != ignoredTarget }
            return (Double(part.loss.item), counted, gradients(of: part.loss))
        }
    }

    /// The weighted sum of the segments' gradients of each parameter, against what was found.
    func expectSum(
        _ parts: [(loss: Double, targets: Int, gradients: Gradients)], weights: [Double],
        _ found: (_ key: String, _ parameter: Parameter) throws -> Tensor, location: SourceLocation = #_sourceLocation
    ) rethrows {
        for (key, parameter) in model.trainable {
            let values = try found(key, parameter).values
            #expect(values.contains { $0 != 0 }, "\(key)", sourceLocation: location)
            for index in values.indices {
                let expected = zip(parts, weights).reduce(0.0) { sum, item in
                    sum + item.1 * Double(item.0.gradients[parameter]?.values[index] ?? 0)
                }
                // Sums of three float32 numbers below 1.
                #expect(abs(Double(values[index]) - expected) <= 2e-7, "\(key)", sourceLocation: location)
            }
        }
    }

    @Test("The loss of an evaluated batch is the mean over its segments", arguments: [[Int](), [3, 14, 20]])
    func aBatchHasTheMeanOverSegments(ignored: [Int]) throws {
        var targets = TokenTensor((1...22).map { Int32($0 * $0 % 7) }, shape: [2, 11])
        for place in ignored { targets.values[place] = ignoredTarget }
        let (input, output) = (folder.path + "/batch.safetensors", folder.path + "/out.safetensors")
        var writer = SafetensorsWriter()
        try writer.add("tokens", tokens)
        try writer.add("targets", targets)
        try writer.write(to: input)
        try model.evaluateBatch(input, output: output, gradients: true)
        let file = try SafetensorsFile(path: output)

        // The carries make the segments equal to the whole.
        let whole = Rememberer(vocabulary: 7)
        #expect(try file.tensor("logits").shape == [2, 11, 7])
        #expect(try file.tensor("logits").values == whole(tokens).values)
        let parts = parts(targets)
        let loss = parts.reduce(0) { $0 + $1.loss } / 3
        #expect(abs(Double(try file.tensor("loss").item) - loss) <= 1e-6)  // rounded to float32
        try expectSum(parts, weights: [1 / 3, 1 / 3, 1 / 3]) { key, _ in try file.tensor("gradients/" + key) }
        // Segments of unequal length or with ignored targets weigh the same, so it is not the mean over tokens.
        #expect(abs(loss - Double(whole.loss(tokens, targets).item)) > 1e-3)

        try model.evaluateBatch(input, output: output)
        #expect(try SafetensorsFile(path: output).tensor("loss").item == file.tensor("loss").item)
    }

    @Test("A segment without targets does not count in the mean")
    func aSegmentWithoutTargetsDoesNotCount() throws {
        var targets = TokenTensor((1...22).map { Int32($0 * $0 % 7) }, shape: [2, 11])
        for place in [4, 5, 6, 7, 15, 16, 17, 18] { targets.values[place] = ignoredTarget }
        let (input, output) = (folder.path + "/batch.safetensors", folder.path + "/out.safetensors")
        func evaluate() throws -> SafetensorsFile {
            var writer = SafetensorsWriter()
            try writer.add("tokens", tokens)
            try writer.add("targets", targets)
            try writer.write(to: input)
            try model.evaluateBatch(input, output: output, gradients: true)
            return try SafetensorsFile(path: output)
        }
        let file = try evaluate()
        var parts = parts(targets)
        #expect(parts[1].targets == 0)
        parts[1] = (0, 0, Gradients())
        #expect(abs(Double(try file.tensor("loss").item) - (parts[0].loss + parts[2].loss) / 2) <= 1e-6)  // as above
        try expectSum(parts, weights: [0.5, 0, 0.5]) { key, _ in try file.tensor("gradients/" + key) }

        targets.values = Array(repeating: ignoredTarget, count: 22)
        let none = try evaluate()
        #expect(try none.tensor("loss").item.isNaN)
        #expect(try none.tensor("gradients/tables.0.weight").values.allSatisfy { $0 == 0 })
    }

    @Test("The loss of a training step is the mean over all targets, whatever their segment", arguments: [false, true])
    func aStepHasTheMeanOverTargets(continues: Bool) throws {
        var targets = TokenTensor((1...22).map { Int32($0 * $0 % 7) }, shape: [2, 11])
        for place in [3, 14, 20] { targets.values[place] = ignoredTarget }
        let batch = TokenBatch(
            inputs: tokens.values, targets: targets.values, shape: [2, 11], startsDocument: [true, true], textCount: 22)
        var carries: [Rememberer.Carry?] = continues ? [nil, nil] : []
        let step = model.stepGradients(of: [batch], carries: &carries, key: RandomKey(seed: 1))
        let parts = parts(targets)
        let weights = parts.map { Double($0.targets) / 19 }
        #expect(parts.map(\.targets).reduce(0, +) == 19 && step.targets == 19)
        let loss = zip(parts, weights).reduce(0) { $0 + $1.0.loss * $1.1 }
        #expect(abs(step.loss - loss) <= 1e-12 * loss)
        #expect(abs(loss - Double(Rememberer(vocabulary: 7).loss(tokens, targets).item)) <= 1e-6)  // one float32 mean
        expectSum(parts, weights: weights) { _, parameter in step.gradients[parameter]! }
        // What the last segment leaves goes to the next step, where there is one that goes on.
        #expect(carries.map { $0?.last } == (continues ? [tokens.values[10], tokens.values[21]] : []))
        #expect(carries.map { $0?.first } == (continues ? [tokens.values[0], tokens.values[11]] : []))
    }

    // MARK: Forgetting

    /// Mean nats of a text read in segments, from whose carries something is taken before each.
    private func nats(_ text: [Int32], _ length: Int, _ change: (Rememberer.Carry?) -> Rememberer.Carry?) -> Double {
        var (carry, sum): (Rememberer.Carry?, Double) = (nil, 0)
        for start in stride(from: 0, to: text.count - 1, by: length) {
            let end = min(start + length, text.count - 1)
            let part = model.loss(
                TokenTensor(Array(text[start..<end]), shape: [1, end - start]),
                TokenTensor(Array(text[start + 1...end]), shape: [1, end - start]), carries: [change(carry)],
                mode: .inference)
            sum += Double(part.loss.item) * Double(end - start)
            carry = part.carries[0]
        }
        return sum / Double(text.count - 1)
    }

    private func loss(_ parts: Set<String>, length: Int = 8, carries: Bool = true) throws -> Double {
        let text = TokenSource(name: "digits", tokens: tokens.values)
        return try model.evaluate(text, sequenceLength: length, carries: carries, forgetting: parts).loss
    }

    @Test("The named parts of a carry are forgotten before each segment")
    func partsAreForgottenBeforeEachSegment() throws {
        typealias Carry = Rememberer.Carry
        let all = tokens.values
        let changes: [(Set<String>, (Carry?) -> Carry?)] = [
            ([], { carry in carry }), (["first"], { carry in carry.map { Carry(first: nil, last: $0.last) } }),
            (["last"], { carry in carry.map { Carry(first: $0.first, last: nil) } }),
            (["first", "last"], { _ in nil }),
        ]
        for (parts, change) in changes {
            // Means of float32 losses.
            #expect(abs(try loss(parts) - nats(all, 4, change)) <= 1e-6, "\(parts)")
        }
        #expect(Set(try changes.map { try loss($0.0) }).count == 4)
        // Without anything, a window of one segment is a window that begins.
        #expect(try loss(["first", "last"], length: 4) == loss([], length: 4, carries: false))
    }

    @Test("Unknown parts, and models without parts, are refused")
    func whatCannotBeForgottenIsRefused() throws {
        let text = TokenSource(name: "digits", tokens: tokens.values)
        expectError("forgetting: expected some of first,last, found \"frst\"; did you mean \"first\"?") {
            try model.evaluate(text, sequenceLength: 8, forgetting: ["frst", "last"])
        }
        expectError(
            naming: "forgetting", "expected", "carries true", "order sequential"
        ) { try model.evaluate(text, sequenceLength: 8, carries: false, forgetting: ["last"]) }
        expectError(naming: "forgetting", "expected carries false") {
            try Trigram(vocabulary: 7).evaluate(text, sequenceLength: 8, forgetting: ["last"])
        }
        expectError("forgetting: the model carries nothing from window to window") {
            try Bigram(vocabulary: 7).evaluate(text, sequenceLength: 8, forgetting: ["last"])
        }
    }
}
