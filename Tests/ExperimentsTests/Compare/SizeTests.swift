import ModelZoo
import Synchronization
import Testing

@Suite struct SizeTests {
    @Test(
        "Every architecture fits a number of parameters within 5 %",
        arguments: Zoo.identifiers, [300_000, 1_000_000, 3_000_000])
    func parametersAreMatchedWithinFivePercent(_ id: String, _ parameters: Int) throws {
        let architecture = try Zoo.architecture(id)
        let base = ModelSize(width: 64, sequenceLength: 512)
        let (size, count) = try architecture.fitting(base, parameters: parameters)
        let model = try architecture.makeModel(size, key: RandomKey(seed: 1))
        #expect(model.parameterCount == count)
        #expect(abs(Double(count) / Double(parameters) - 1) < 0.05, "\(count) at width \(size.width)")
        #expect(model.isCausal && model.vocabularySize == 256)
    }

    /// An architecture that writes down how large the models are that are made, under a name of its own: what was counted
    /// is remembered by name.
    private struct Watched<Inner: Architecture>: Architecture {
        let inner: Inner
        let diary: Diary
        var id: String { "watched-" + inner.id }
        var presetNames: [String] { inner.presetNames }

        func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset<Inner.Configuration> {
            try inner.preset(name, objective: objective)
        }
        func configuration(_ size: ModelSize) throws -> Inner.Configuration { try inner.configuration(size) }
        func makeModel(_ configuration: Inner.Configuration, key: RandomKey) throws -> any LanguageModel {
            let model = try inner.makeModel(configuration, key: key)
            // Its memory is counted first.
            if !Outline.isActive { diary.counts.withLock { $0.append(model.parameterCount) } }
            return model
        }
    }

    private final class Diary: Sendable {
        let counts = Mutex<[Int]>([])
    }

    private func watched(_ inner: some Architecture, _ diary: Diary) -> any Architecture {
        Watched(inner: inner, diary: diary)
    }

    @Test("The search for a width makes no large model, and none twice", arguments: Zoo.identifiers)
    func nothingLargeIsMadeToFindTheWidth(_ id: String) throws {
        let diary = Diary()
        let architecture = try watched(Zoo.architecture(id), diary)
        let base = ModelSize(width: 64, sequenceLength: 512)
        let first = try architecture.fitting(base, parameters: 2_000_000)
        let made = diary.counts.withLock { $0 }
        // The first width that has as many parameters has a few percent more at this size.
        #expect(try #require(made.max()) < 2_200_000, "\(made)")
        #expect(Set(made).count == made.count && made.count <= 12, "\(made)")
        let again = try architecture.fitting(base, parameters: 2_000_000)
        #expect(again == first && diary.counts.withLock { $0.count } == made.count)
    }

    @Test("Too many parameters are refused without making a model", arguments: Zoo.identifiers)
    func tooManyParametersAreRefused(_ id: String) throws {
        let diary = Diary()
        let architecture = try watched(Zoo.architecture(id), diary)
        for parameters in [1_000_000_001, 1_000_000_000_000, .max] {
            let error = OptionError("parameters", "expected at most 1000000000, found \(parameters)")
            #expect(throws: error) {
                try architecture.fitting(ModelSize(width: 64, sequenceLength: 512), parameters: parameters)
            }
        }
        #expect(diary.counts.withLock { $0.isEmpty })
    }
}
