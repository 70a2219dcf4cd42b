import NN
import Synchronization
import Tensors
import Testing

/// An embedding, two layers with a norm between them, and a table of the embedding's as output: names as models have them.
private struct Small: Module {
    let embedding: Embedding
    let first: Linear
    let norm: RMSNorm
    let second: Linear
    let projection: Parameter
    /// Pullbacks that ran behind the first layer and behind the second.
    let passed = Passed()

    final class Passed: Sendable {
        let first = Atomic<Int>(0), second = Atomic<Int>(0)
    }

    init(seed: UInt64 = 1) {
        let key = RandomKey(seed: seed)
        embedding = Embedding(5, 4, key: key.child(0))
        first = Linear(4, 4, key: key.child(1))
        norm = RMSNorm(4)
        second = Linear(4, 4, key: key.child(2))
        projection = Parameter(.normal([4, 4], key: key.child(3)), .frozen)
    }

    func collect(into state: inout StateCollector) {
        state.add("embedding", embedding)
        state.add("layers", [first, second])
        state.add("norm", norm)
        state.add("output.weight", embedding.weight)
        state.add("projection", projection)
    }

    func loss() -> Tensor {
        let passed = passed
        func counted(_ x: Tensor, _ count: @escaping @Sendable () -> Void) -> Tensor {
            .record("counted", x.detached(), inputs: [x]) { gradient, slots in
                count()
                slots[0].add(gradient)
            }
        }
        let x = embedding(TokenTensor([3, 1, 4]))
        let y = counted(first(x)) { passed.first.add(1, ordering: .relaxed) }
        let z = counted(second(norm(y))) { passed.second.add(1, ordering: .relaxed) }
        let logits = linear(matrixProduct(z, projection.value), weight: embedding.weight.matrix)
        return crossEntropy(logits, TokenTensor([1, 4, 0]))
    }

    /// The keys with a gradient.
    func keysWithGradients() -> [String] {
        let gradients = gradients(of: loss())
        return trainable.filter { gradients[$0.parameter] != nil }.map(\.key)
            + state.filter { !$0.parameter.isTrainable && gradients[$0.parameter] != nil }.map { "untrained " + $0.key }
    }
}

@Suite struct FreezingTests {
    @Test("Backward stops at the first parameter that is trained") func stops() throws {
        let model = Small()
        let every = [
            "embedding.weight", "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "norm.weight",
        ]
        #expect(model.keysWithGradients() == every)
        #expect(model.passed.first.exchange(0, ordering: .relaxed) == 1)
        let frozen = try model.freeze(matching: ["embedding.*", "layers.0.*"])
        #expect(frozen == ["embedding.weight", "layers.0.weight", "layers.0.bias"])
        #expect(model.frozenKeys == ["embedding.weight", "layers.0.weight", "layers.0.bias", "output.weight"])
        #expect(model.keysWithGradients() == ["layers.1.weight", "layers.1.bias", "norm.weight"])
        #expect(model.passed.first.load(ordering: .relaxed) == 0)
        #expect(model.passed.second.exchange(0, ordering: .relaxed) == 2)
        #expect(!model.first(model.embedding(TokenTensor([1]))).requiresGradient)
        model.unfreeze()
        #expect(model.keysWithGradients() == every)
    }

    @Test("Gradients of what is trained do not depend on what is frozen") func sameGradients() throws {
        let model = Small()
        let all = gradients(of: model.loss())
        let expected = all[model.second.weight]
        try model.freeze(allBut: "layers.1.*")
        let some = gradients(of: model.loss())
        #expect(some[model.second.weight]?.values == expected?.values)
    }

    @Test("Freezing all but a selection thaws the selection and keeps other kinds") func allBut() throws {
        let model = Small()
        try model.freeze(matching: "*")
        #expect(model.trainable.isEmpty && model.parameterCount == 0)
        #expect(
            try model.freeze(allBut: ["layers.*.bias", "output.*"]) == [
                "layers.0.bias", "layers.1.bias", "output.weight",
            ])
        #expect(model.trainable.map(\.key) == ["embedding.weight", "layers.0.bias", "layers.1.bias"])
        model.unfreeze()
        #expect(!model.projection.isTrainable && !model.projection.isFrozen)
    }

    @Test("A pattern that matches nothing is named, and nothing is frozen") func nothingMatches() {
        let model = Small()
        let error = #expect(throws: InputError.self) { try model.freeze(matching: ["norm.*", "layer.0.weight"]) }
        let message = error?.message ?? ""
        #expect(message.contains("\"layer.0.weight\"") && message.contains("\"layers.0.weight\""))
        #expect(throws: InputError.self) { try model.freeze(allBut: "projection") }
        #expect(model.frozenKeys.isEmpty)
    }

    @Test("Weight decay is kept from tables, norms and biases") func withoutDecay() {
        let selection = Small().withoutDecay
        #expect(
            selection.patterns == [
                "embedding.weight", "layers.0.bias", "layers.1.bias", "norm.weight", "output.weight",
            ])
    }

    @Test("Packed parameters are frozen one by one") func packed() {
        let packed = PackedParameters([
            Tensor([[1, 2]].flatMap { $0 }, shape: [1, 2]), Tensor([3, 4], shape: [1, 2]),
        ])
        packed.parts[0].freeze()
        let some = gradients(of: (packed.value * packed.value).sum())
        #expect(some[packed.parts[0]] == nil)
        #expect(some[packed.parts[1]]?.values == [6, 8])
        packed.parts[1].freeze()
        #expect(!packed.value.requiresGradient)
        packed.parts[0].unfreeze()
        #expect(gradients(of: packed.value.sum())[packed.parts[0]]?.values == [1, 1])
    }

    @Test("A frozen model is saved and loaded whole") func files() throws {
        let files = try Files()
        let (one, two) = (Small(), Small(seed: 2))
        try one.freeze(matching: "layers.0.*")
        try two.freeze(matching: "*")
        try one.save(to: files.path)
        try two.load(from: files.path)
        #expect(two.state.map(\.parameter.value.values) == one.state.map(\.parameter.value.values))
        #expect(two.trainable.isEmpty)
    }
}
