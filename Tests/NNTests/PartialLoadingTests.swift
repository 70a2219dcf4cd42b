import AttentionZooTestSupport
import NN
import Tensors
import Testing

/// A body and a head, of which models may have different ones.
private struct Classifier: Module {
    let body: Linear
    let head: Linear

    init(classes: Int, seed: UInt64) {
        body = Linear(3, 4, key: RandomKey(seed: seed))
        head = Linear(4, classes, key: RandomKey(seed: seed + 1))
    }

    func collect(into state: inout StateCollector) {
        state.add("body", body)
        state.add("head", head)
    }
}

@Suite("Loading of what fits") struct PartialLoadingTests {
    let temporary = try! TemporaryFolder()
    private let base = Classifier(classes: 5, seed: 1)

    private func saved(_ metadata: [String: String] = [:]) throws -> String {
        let path = temporary.path + "/base.safetensors"
        try base.save(to: path)
        return path
    }

    private func expectEqual(_ a: Linear, _ b: Linear, location: SourceLocation = #_sourceLocation) {
        #expect(a.weight.value.values == b.weight.value.values, sourceLocation: location)
    }

    @Test("What has the same key and shape is taken, and the report lists the rest") func matching() throws {
        let model = Classifier(classes: 7, seed: 5)
        let head = model.head.weight.value.values
        let report = try model.load(from: saved(), .matching)
        expectEqual(model.body, base.body)
        #expect(model.head.weight.value.values == head)
        #expect(report.taken == ["body.weight", "body.bias"])
        #expect(report.missing == [] && report.unused == [])
        #expect(
            report.misshaped == [
                "head.weight is F32 [5, 4], expected F32 [7, 4]", "head.bias is F32 [5], expected F32 [7]",
            ])
        #expect(
            report.note
                == "\(report.path): 2 taken; 2 of another shape (head.weight is F32 [5, 4], expected F32 [7, 4],"
                + " head.bias is F32 [5], expected F32 [7])")
    }

    @Test("Excluded keys stay as they are, also where loading is strict") func excluding() throws {
        let model = Classifier(classes: 5, seed: 5)
        let head = model.head.weight.value.values
        let report = try model.load(from: saved(), .strict, excluding: "head.*")
        expectEqual(model.body, base.body)
        #expect(model.head.weight.value.values == head)
        #expect(report.taken == ["body.weight", "body.bias"] && report.unused == [])
    }

    @Test("Renamed tensors are taken under the model's keys") func renaming() throws {
        let model = MLP([3, 4, 5], key: RandomKey(seed: 5))
        let report = try model.load(from: saved(), .strict) {
            $0.replacing("body.", with: "layers.0.").replacing("head.", with: "layers.1.")
        }
        #expect(report.taken.count == 4)
        expectEqual(model.layers[0], base.body)
        expectEqual(model.layers[1], base.head)

        let half = MLP([3, 4, 5], key: RandomKey(seed: 6))
        let partial = try half.load(from: saved(), .matching) { $0.replacing("body.", with: "layers.0.") }
        expectEqual(half.layers[0], base.body)
        #expect(partial.missing == ["layers.1.weight", "layers.1.bias"])
        #expect(partial.unused == ["head.bias", "head.weight"])
        let error = #expect(throws: InputError.self) { try half.load(from: saved(), .matching) { _ in "a" } }
        #expect(error?.message.contains("are both renamed to \"a\"; expected names of their own") == true)
    }

    @Test("A file of which nothing fits is refused") func nothing() throws {
        let model = MLP([2, 2], key: RandomKey(seed: 5))
        let before = model.layers[0].weight.value.values
        let error = #expect(throws: InputError.self) { try model.load(from: saved(), .matching) }
        #expect(error?.message.contains("base.safetensors: has nothing that fits the model") == true)
        #expect(model.layers[0].weight.value.values == before)
    }

    @Test("Norms, biases and embeddings are told apart") func roles() {
        struct Parts: Module {
            let table = Embedding(4, 3, key: RandomKey(seed: 0))
            let linear = Linear(3, 2, key: RandomKey(seed: 0))
            let norm = LayerNorm(3)
            func collect(into state: inout StateCollector) {
                state.add("table", table)
                state.add("linear", linear)
                state.add("norm", norm)
            }
        }
        #expect(Parts().parameters(of: [.embeddings]).patterns == ["table.weight"])
        #expect(Parts().parameters(of: [.biases]).patterns == ["linear.bias", "norm.bias"])
        #expect(Parts().parameters(of: [.norms]).patterns == ["norm.weight"])
        #expect(Parts().withoutDecay.patterns == ["table.weight", "linear.bias", "norm.weight", "norm.bias"])
    }
}
