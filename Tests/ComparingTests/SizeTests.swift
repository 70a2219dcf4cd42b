import ModelZoo
import Testing

@Suite struct SizeTests {
    @Test(arguments: ModelZoo.identifiers, [300_000, 1_000_000, 3_000_000])
    func parametersAreMatchedWithinFivePercent(_ id: String, _ parameters: Int) throws {
        let architecture = try ModelZoo.architecture(id)
        let base = ModelSize(width: 64, sequenceLength: 512)
        let (size, count) = try architecture.fitting(base, parameters: parameters)
        let model = try architecture.makeModel(size, key: RandomKey(seed: 1))
        #expect(model.parameterCount == count)
        #expect(abs(Double(count) / Double(parameters) - 1) < 0.05, "\(count) at width \(size.width)")
        #expect(model.isCausal && model.vocabularySize == 256)
    }
}
