import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

/// The plain form as an oracle of the fused one.
@Suite("Plain and fused forms") struct BlockRecurrentFormsTests {
    /// Draws numbers and choices, one after another.
    private struct Draws {
        var key: RandomKey
        private var count = 0

        init(seed: Int) { key = RandomKey(seed: UInt64(seed)) }

        mutating func number(_ range: ClosedRange<Int>) -> Int {
            count += 1
            return range.lowerBound + Int(key.child(count).value % UInt64(range.count))
        }

        mutating func chance(_ part: Int) -> Bool { number(1...part) == 1 }
        mutating func one<T>(of choices: [T]) -> T { choices[number(0...choices.count - 1)] }
    }

    /// A configuration with any options.
    private static func configuration(_ draws: inout Draws) -> BlockRecurrentConfiguration {
        let depth = draws.number(1...4)
        var c = BlockRecurrentConfiguration(
            tokens: vocabulary, dimension: draws.one(of: [5, 8, 12]), depth: depth)
        (c.heads, c.headDimension) = (draws.number(1...4), draws.one(of: [2, 4, 6]))
        c.blockWidth = draws.number(1...7)
        c.maximumLength = c.blockWidth * draws.number(1...4)
        c.feedForwardMultiple = draws.one(of: [1, 2.5])
        c.normalizesAllLayers = draws.chance(2)
        if draws.chance(2) { c.normalizedScale = draws.one(of: [0.5, 3]) }
        let layers = (1...depth).filter { _ in draws.chance(2) }
        c.recurrentLayers = draws.chance(2) ? layers : layers.reversed()
        if draws.chance(2) { c.readRecurrentLayers = c.recurrentLayers!.map { draws.number(1...$0) } }
        if draws.chance(2) { c.stateVectors = draws.number(1...9) }
        c.gate = draws.one(of: StateGateKind.allCases)
        c.stateUpdate = draws.one(of: StateUpdate.allCases)
        c.usesFeedback = draws.chance(3)
        if c.blockWidth > 1, draws.chance(3) {
            (c.compressesMemory, c.compressedMemoryFactor) = (true, draws.number(1...4))
        } else if c.blockWidth > 1, draws.chance(3) {
            c.attentionWindow = draws.number(2...c.blockWidth + 1)
        }
        if draws.chance(3) { c.stateWindow = draws.number(1...2 * c.blockWidth) }
        if draws.chance(2) { c.ignoreIndex = 3 }
        if draws.chance(2) { drawAuthors(&c, &draws) }
        (c.memoriesDropout, c.stateDropout) = (draws.one(of: [0, 0.5]), draws.one(of: [0, 0.5]))
        return c
    }

    /// Options of the authors' code that the peer has not.
    private static func drawAuthors(_ c: inout BlockRecurrentConfiguration, _ draws: inout Draws) {
        c.learnsTemperatures = draws.chance(2)
        if !c.compressesMemory, draws.chance(2) {
            c.keyValueHeads = draws.one(of: (1...c.heads).filter { c.heads % $0 == 0 })
        }
        c.writesDirectly = c.stateUpdate == .skip && draws.chance(2)
        c.usesRelativeBias = draws.chance(2)
        if c.gate == .lstm, draws.chance(2) { c.forgetBias = draws.one(of: [-1, 3]) }
        (c.initialStateScale, c.identifierScale) = (draws.one(of: [0.1, 1]), draws.one(of: [1, 3]))
    }

    /// A model whose parameters all carry weight.
    private static func model(_ c: BlockRecurrentConfiguration, seed: Int) -> BlockRecurrentTransformer {
        let key = RandomKey(seed: UInt64(seed)).child(1)
        let model = BlockRecurrentTransformer(c, key: key)
        for (index, (_, parameter)) in model.trainable.enumerated() {
            let noise = Tensor.uniform(parameter.shape, low: -0.3, high: 0.3, key: key.child(100 + index))
            parameter.assign(parameter.value.detached() + noise)
        }
        return model
    }

    @Test("Agree for any options, over segments, with all gradients", arguments: 0..<80) func agree(seed: Int) {
        var draws = Draws(seed: seed)
        let c = Self.configuration(&draws)
        let model = Self.model(c, seed: seed)
        let segments = draws.number(1...3)
        let n = max(segments, draws.number(1...c.maximumLength * segments))
        let shape = [draws.number(1...3), min(n, c.maximumLength * segments)]
        expectFormsAgree(
            of: model, randomTokens(shape, seed: UInt64(seed)), randomTokens(shape, seed: UInt64(seed + 1000)),
            segments: segments, dropout: draws.chance(2) ? RandomKey(seed: UInt64(seed)) : nil, "\(c.json), \(shape)")
    }

    @Test("The card lists the plain form") func listing() throws {
        try expectListing(
            inCard: "Models/BlockRecurrent/README.md", of: "Models/BlockRecurrent/BlockRecurrent.swift", lines: 60)
    }

    @Test("Rows that have read unequally much agree", arguments: BlockRecurrentVariant.some)
    func raggedRowsAgree(_ variant: BlockRecurrentVariant) {
        let model = makeBlockRecurrentModel(variant)
        let carries = [0, 18, 4, 18].map { $0 == 0 ? nil : model.read(randomTokens([1, $0])).carries[0] }
        let next = randomTokens([4, 9], seed: 30)
        let plain = model.logits(next, carries: carries, mode: .inference.using(.plain))
        let fused = model.logits(next, carries: carries, mode: .inference)
        expectSameBlockRecurrent(fused.logits, plain.logits, "logits")
        for (a, b) in zip(fused.carries, plain.carries) {
            for (name, tensor) in b!.tensors { expectSameBlockRecurrent(a!.tensors[name]!, tensor, name) }
        }
    }

    @Test("Record the same weights of attention", arguments: BlockRecurrentVariant.some) func recordTheSame(
        _ variant: BlockRecurrentVariant
    ) {
        let model = makeBlockRecurrentModel(variant)
        func layers(_ implementation: Implementation) -> [AttentionRecorder.Layer] {
            let recorder = AttentionRecorder()
            let carries = model.read(randomTokens([2, 8])).carries
            _ = model.logits(
                randomTokens([2, 9], seed: 9), carries: carries, mode: .recording(recorder).using(implementation))
            return recorder.layers
        }
        let (plain, fused) = (layers(.plain), layers(.fused))
        #expect(plain.map(\.name) == fused.map(\.name))
        for (a, b) in zip(fused, plain) { expectSameBlockRecurrent(a.weights, b.weights, a.name) }
    }
}
