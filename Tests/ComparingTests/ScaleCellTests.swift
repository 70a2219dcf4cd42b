import ModelZoo
import Synchronization
import Testing

@testable import Comparing

extension ModelSize {
    fileprivate static let base = ModelSize(width: 64, sequenceLength: 512)
}

/// The passes over one sequence, of every model.
@Suite struct ScaleCellTests {
    private static let parameters = 300_000
    private static let models = ModelZoo.identifiers + [ScaleCell.naive]

    /// How often a cell has asked whether to stop.
    private final class Asking: Sendable {
        private let asked = Mutex(0)
        private let last: Int

        /// - Parameter last: the question that is answered with yes.
        init(last: Int = .max) { self.last = last }

        var count: Int { asked.withLock { $0 } }
        func stop() -> Bool {
            asked.withLock {
                $0 += 1
                return $0 >= last
            }
        }
    }

    private func run(
        _ model: String, _ length: Int, _ options: ScaleOptions = ScaleOptions(), before: [ScaleOutcome] = [],
        progress: (Double, String) -> Void = { _, _ in }, asking: Asking = Asking()
    ) throws -> ScaleOutcome? {
        try ScaleCell(model: model, length: length, secondsOfRepeats: 0).run(
            options, size: .base, parameters: Self.parameters, seed: 3, before: before, progress: progress,
            stop: asking.stop)
    }

    @Test(arguments: models) func measuresEverything(_ model: String) throws {
        var shares: [Double] = []
        let outcome = try #require(try run(model, 40, progress: { share, _ in shares.append(share) }))
        #expect(outcome.model == model && outcome.length == 40 && outcome.skipped == nil)
        let made = try ScaleCell(model: model, length: 40)
            .makeModel(.base, parameters: Self.parameters, key: RandomKey(seed: 1))
        #expect(outcome.parameters == made.parameterCount)
        let (training, backward) = try (#require(outcome.trainingSeconds), #require(outcome.backwardSeconds))
        #expect(backward > 0 && training > backward)
        #expect(try #require(outcome.forwardSeconds) > 0)
        #expect(try #require(outcome.generationSeconds) > 0)
        #expect((outcome.stateMegabytes == nil) == (model == ScaleCell.naive))
        #expect(shares == shares.sorted() && shares.first == 0 && shares.last == 1)
    }

    /// Models are as large as at 512 tokens, but for what they learn of each position.
    @Test func onlyPositionsMakeModelsLarger() throws {
        for model in Self.models {
            let counts = try [512, 1024].map {
                try ScaleCell(model: model, length: $0)
                    .makeModel(.base, parameters: Self.parameters, key: RandomKey(seed: 1)).parameterCount
            }
            #expect(abs(Double(counts[0]) / Double(Self.parameters) - 1) <= 0.05, "\(model)")
            #expect((counts[1] > counts[0]) == ["local", "linformer"].contains(model), "\(model): \(counts)")
        }
    }

    @Test func theNaiveFormIsTheBaselines() throws {
        func model(_ name: String) throws -> Transformer {
            let made = try ScaleCell(model: name, length: 64)
                .makeModel(.base, parameters: Self.parameters, key: RandomKey(seed: 1))
            return try #require(made as? Transformer)
        }
        let (naive, fused) = try (model(ScaleCell.naive), model("transformer"))
        #expect(naive.configuration.attention == .naive && fused.configuration.attention == .fused)
        #expect(naive.parameterCount == fused.parameterCount)
        #expect(zip(naive.state, fused.state).allSatisfy { $0.parameter.value.values == $1.parameter.value.values })
    }

    // MARK: Not run

    @Test func whatWouldTakeTooLongIsNotRun() throws {
        var before = ScaleOutcome(model: "flash", length: 32, parameters: 1)
        (before.trainingSeconds, before.peakMegabytes) = (20, 1)
        let asking = Asking()
        let outcome = try #require(try run("flash", 64, before: [before], asking: asking))
        #expect(outcome.skipped == "would take about 80 s a pass, more than the 60 s allowed")
        #expect(outcome.trainingSeconds == nil && outcome.forwardSeconds == nil && asking.count == 1)
        #expect(outcome.parameters > 0)
        // Another model's times say nothing.
        before.model = "local"
        #expect(try run("flash", 64, before: [before])?.skipped == nil)
    }

    @Test func theNaiveFormsMemoryIsKnownBefore() throws {
        let outcome = try #require(try run(ScaleCell.naive, 8192))
        // 8192² numbers of 4 heads, 7 times, and 4 masks: exactly 8 GB, and parameters and gradients.
        #expect(outcome.skipped == "would take about 8.0 GB, more than the 8 GB allowed")
        #expect(outcome.forwardSeconds == nil)
    }

    @Test func aPassThatTookTooLongIsNotRunWithGradients() throws {
        var options = ScaleOptions()
        options.budgetSeconds = 1e-9
        let outcome = try #require(try run("transformer", 32, options))
        #expect(outcome.skipped?.hasPrefix("took 0.0") == true && outcome.skipped?.hasSuffix("s allowed") == true)
        #expect(outcome.forwardSeconds != nil && outcome.trainingSeconds == nil && outcome.generationSeconds == nil)
    }

    /// Whenever it is asked, it can be stopped.
    @Test(arguments: ["fast-weights", ScaleCell.naive]) func stopsWhereItIsAsked(_ model: String) throws {
        let all = Asking()
        #expect(try run(model, 20, asking: all) != nil)
        // Before it begins, before each of three passes; where there is a state also before each token.
        #expect(all.count == (model == ScaleCell.naive ? 4 : 4 + 17))
        for question in [1, 2, 3, 12, 13, all.count] where question <= all.count {
            let asking = Asking(last: question)
            #expect(try run(model, 20, asking: asking) == nil, "question \(question)")
            #expect(asking.count == question)
        }
    }

    @Test func mistakesAreNamed() {
        let unknown = #expect(throws: InputError.self) { try run("flsh", 64) }
        #expect(unknown?.message.hasPrefix("unknown model \"flsh\", did you mean \"flash\"?") == true)
        let small = #expect(throws: InputError.self) {
            try ScaleCell(model: ScaleCell.naive, length: 64).makeModel(.base, parameters: 100, key: RandomKey(seed: 1))
        }
        #expect(small?.message.hasPrefix("--parameters: no width of transformer has 100 within 5 %") == true)
    }
}

/// In processes of their own: the memory of tensors is everybody's.
@Suite struct ScaleMemoryTests {
    /// With 300,000 parameters.
    private static func outcomes(_ model: String, _ lengths: [Int]) -> [ScaleOutcome] {
        lengths.map {
            let outcome = try? ScaleCell(model: model, length: $0, secondsOfRepeats: 0).run(
                ScaleOptions(), size: .base, parameters: 300_000, seed: 3, before: [], progress: { _, _ in },
                stop: { false })
            require(outcome != nil, "\(model) at \($0)")
            return outcome!
        }
    }

    @Test func theNaiveFormTakesWhatIsExpected() async {
        await #expect(processExitsWith: .success) {
            for outcome in ScaleMemoryTests.outcomes(ScaleCell.naive, [1024, 2048]) {
                let model = try ScaleCell(model: ScaleCell.naive, length: outcome.length)
                    .makeModel(.base, parameters: 300_000, key: RandomKey(seed: 1))
                let expected = (model as! Transformer).configuration.naiveMegabytes(outcome.length)
                let peak = outcome.peakMegabytes ?? 0
                // And parameters, gradients, and what grows with n.
                require(
                    peak > expected && peak < 1.2 * expected, "\(peak) MB at \(outcome.length), expected \(expected)")
            }
        }
    }

    /// Twice the length takes about twice the memory with gradients.
    @Test func memoryGrowsWithTheLength() async {
        await #expect(processExitsWith: .success) {
            for model in ModelZoo.identifiers {
                let outcomes = ScaleMemoryTests.outcomes(model, [1024, 2048])
                let ratio = outcomes[1].peakMegabytes! / outcomes[0].peakMegabytes!
                require(ratio > 1.5 && ratio < 2.2, "\(model): \(ratio)")
            }
        }
    }

    /// Keys and values of all tokens in the transformer; in the others something that does not grow.
    @Test func statesGrowOnlyInTheTransformer() async {
        await #expect(processExitsWith: .success) {
            for model in ModelZoo.identifiers {
                let outcomes = ScaleMemoryTests.outcomes(model, [512, 1024])
                let states = outcomes.map { $0.stateMegabytes! }
                require(states[0] > 0, "\(model): \(states)")
                guard model == "transformer" else {
                    require(states[1] == states[0], "\(model): \(states)")
                    continue
                }
                let made = try ScaleCell(model: model, length: 512).makeModel(
                    .base, parameters: 300_000, key: RandomKey(seed: 1))
                let c = (made as! Transformer).configuration
                // Floats of a token; the pool's classes hold at most an eighth more.
                let floats = Double(2 * c.heads * c.headDimension * c.depth)
                for (state, n) in zip(states, [512.0, 1024]) {
                    let expected = 4 * n * floats / Double(1 << 20)
                    require(state >= expected && state <= 1.125 * expected, "\(state) MB at \(n), expected \(expected)")
                }
            }
        }
    }
}
