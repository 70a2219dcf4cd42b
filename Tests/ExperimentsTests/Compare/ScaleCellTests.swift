import ModelZoo
import Synchronization
import Testing

@testable import AttentionZooExperiments

/// The model that a cell makes.
private func model(_ name: String, _ length: Int, parameters: Int = 300_000) throws -> any LanguageModel {
    try ScaleModel(name, parameters: parameters).makeModel(length, key: RandomKey(seed: 1))
}

/// The passes over one sequence, of every model.
@Suite struct ScaleCellTests {
    private static let parameters = 300_000
    private static let models = Zoo.identifiers + [ScaleCell.naive]

    /// A count of how often a cell has asked whether to stop.
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
            options, parameters: Self.parameters, seed: 3, before: before, progress: progress,
            stop: asking.stop)
    }

    @Test("A cell measures all passes and reports progress", arguments: models)
    func measuresEverything(_ model: String) throws {
        var shares: [Double] = []
        let outcome = try #require(try run(model, 40, progress: { share, _ in shares.append(share) }))
        #expect(outcome.model == model && outcome.length == 40 && outcome.skipped == nil)
        let (training, backward) = try (#require(outcome.trainingSeconds), #require(outcome.backwardSeconds))
        #expect(backward > 0 && training > backward)
        #expect(try #require(outcome.forwardSeconds) > 0)
        #expect(try #require(outcome.generationSeconds) > 0)
        #expect((outcome.stateMegabytes == nil) == (model == ScaleCell.naive))
        #expect(shares == shares.sorted() && shares.first == 0 && shares.last == 1)
    }

    @Test("Only learned positions make a model larger for longer sequences")
    func onlyPositionsMakeModelsLarger() throws {
        for name in Self.models {
            let lengths = [512, 1024, 1536]
            let counts = try lengths.map { try model(name, $0).parameterCount }
            // Known without making them.
            let sized = try ScaleModel(name, parameters: Self.parameters)
            #expect(try lengths.map(sized.parameterCount) == counts, "\(name)")
            #expect(abs(Double(counts[0]) / Double(Self.parameters) - 1) <= 0.05, "\(name)")
            #expect((counts[1] > counts[0]) == (name == "local"), "\(name): \(counts)")
        }
    }

    @Test("The naive form is the baseline with the same weights")
    func theNaiveFormIsTheBaselines() throws {
        let naive = try #require(try model(ScaleCell.naive, 64) as? Transformer)
        let fused = try #require(try model("transformer", 64) as? Transformer)
        #expect(naive.configuration.attention == .naive && fused.configuration.attention == .fused)
        #expect(naive.parameterCount == fused.parameterCount)
        #expect(zip(naive.state, fused.state).allSatisfy { $0.parameter.value.values == $1.parameter.value.values })
    }

    // MARK: Not run

    @Test("A length that would take too long is not run")
    func whatWouldTakeTooLongIsNotRun() throws {
        var before = ScaleOutcome(model: "flash", length: 32, parameters: 1)
        (before.trainingSeconds, before.peakMegabytes) = (20, 1)
        let asking = Asking()
        let outcome = try #require(try run("flash", 64, before: [before], asking: asking))
        #expect(outcome.skipped == "would take about 80.0 s a pass, more than the 60 s allowed")
        #expect(outcome.trainingSeconds == nil && outcome.forwardSeconds == nil && asking.count == 1)
        #expect(outcome.parameters > 0)
        // Another model's times say nothing.
        before.model = "local"
        #expect(try run("flash", 64, before: [before])?.skipped == nil)
    }

    @Test("The memory of the naive form is known without running it")
    func theNaiveFormsMemoryIsKnownBefore() throws {
        let outcome = try #require(try run(ScaleCell.naive, 8192))
        // 8192² numbers of 4 heads, 7 times, and 4 masks: exactly 8 GB, and parameters and gradients.
        #expect(outcome.skipped == "would take about 8.00 GB, more than the 8 GB allowed")
        #expect(outcome.forwardSeconds == nil)
    }

    @Test("A pass that took too long is not run with gradients")
    func aPassThatTookTooLongIsNotRunWithGradients() throws {
        var options = ScaleOptions()
        options.budgetSeconds = 1e-9
        let outcome = try #require(try run("transformer", 32, options))
        #expect(outcome.skipped?.hasPrefix("took ") == true)
        #expect(outcome.skipped?.hasSuffix(" a pass without gradients, more than the 1 ns allowed") == true)
        #expect(outcome.forwardSeconds != nil && outcome.trainingSeconds == nil && outcome.generationSeconds == nil)
    }

    @Test("A cell stops at every question whether to stop", arguments: ["fast-weights", ScaleCell.naive])
    func stopsWhereItIsAsked(_ model: String) throws {
        let all = Asking()
        #expect(try run(model, 20, asking: all) != nil)
        // Before it begins, before each of three passes, the last of which is the prompt where there is a state; then before
        // each token.
        #expect(all.count == (model == ScaleCell.naive ? 4 : 4 + 2))
        for question in 1...all.count {
            let asking = Asking(last: question)
            #expect(try run(model, 20, asking: asking) == nil, "question \(question)")
            #expect(asking.count == question)
        }
    }

    @Test("Unknown models and impossible sizes are named")
    func mistakesAreNamed() {
        let unknown = #expect(throws: InputError.self) { try run("flsh", 64) }
        #expect(unknown?.message.hasPrefix("unknown model \"flsh\", did you mean \"flash\"?") == true)
        let small = #expect(throws: OptionError.self) { try model(ScaleCell.naive, 64, parameters: 100) }
        #expect(small?.description.hasPrefix("parameters: no width of transformer has 100 within 5 %") == true)
    }
}

@Suite("The run that counts, by an artificial clock") struct FastestTests {
    /// The runs take so many seconds, one after another; returns the number of the run that counts, from 1, its seconds, and
    /// how many there were.
    private func fastest(for time: Double, _ seconds: [Double], stop: Int = .max) -> (
        run: Int, seconds: Double, runs: Int
    )? {
        var (runs, passed, questions) = (0, 100.0, 0)
        let found = fastestPass(
            for: time, clock: { passed },
            stop: {
                questions += 1
                return questions == stop
            },
            {
                passed += seconds[runs]
                runs += 1
                return runs
            })
        return found.map { ($0.value, $0.seconds, runs) }
    }

    @Test("The fastest run counts, with its result")
    func theFastestCountsWithWhatItReturned() throws {
        let found = try #require(fastest(for: 2, [0.75, 0.25, 0.5, 0.5, 0.125]))
        #expect(found == (2, 0.25, 4))
    }

    /// The first run is slow, as its memory is new.
    @Test(
        "Long passes are repeated once, those of a minute never",
        arguments: [(0.5, 4), (3.0, 2), (59.5, 2), (60.0, 1)])
    func longPassesAreRepeatedOnce(first: Double, runs: Int) throws {
        let found = try #require(fastest(for: 2, [first, 0.5, 0.5, 0.5, 0.5, 0.5]))
        #expect(found.runs == runs)
        // Of equals the first.
        #expect(found.run == (runs == 2 ? 2 : 1))
    }

    @Test("A pass runs once if there is no time to repeat it")
    func onceWhereThereIsNoTime() throws {
        #expect(try #require(fastest(for: 0, [1, 1])) == (1, 1, 1))
    }

    @Test("Repeats stop when asked", arguments: [1, 2, 3])
    func stops(question: Int) {
        #expect(fastest(for: 2, [0.5, 0.5, 0.5, 0.5], stop: question) == nil)
    }
}

/// In processes of their own: the memory of tensors is everybody's.
@Suite struct ScaleMemoryTests {
    /// With 300,000 parameters.
    private static func outcomes(_ model: String, _ lengths: [Int]) -> [ScaleOutcome] {
        lengths.map {
            let outcome = try? ScaleCell(model: model, length: $0, secondsOfRepeats: 0).run(
                ScaleOptions(), parameters: 300_000, seed: 3, before: [], progress: { _, _ in },
                stop: { false })
            require(outcome != nil, "\(model) at \($0)")
            return outcome!
        }
    }

    @Test("The naive form takes the expected memory")
    func theNaiveFormTakesWhatIsExpected() async {
        await #expect(processExitsWith: .success) {
            for outcome in ScaleMemoryTests.outcomes(ScaleCell.naive, [1024, 2048]) {
                let made = try model(ScaleCell.naive, outcome.length)
                let expected = (made as! Transformer).configuration.naiveMegabytes(outcome.length)
                let peak = outcome.peakMegabytes ?? 0
                // And parameters, gradients, and what grows with n.
                require(
                    peak > expected && peak < 1.2 * expected, "\(peak) MB at \(outcome.length), expected \(expected)")
            }
        }
    }

    /// Local attention's positions for 16 million tokens are 8 GB and more, with their gradients. Nor does the search for the width make models that
    /// are much larger than asked for.
    @Test("A refused model is never allocated")
    func whatIsRefusedIsNotMade() async {
        await #expect(processExitsWith: .success) {
            for name in Zoo.identifiers + [ScaleCell.naive] {
                var before = ScaleOutcome(model: name, length: 1 << 23, parameters: 1)
                before.trainingSeconds = 1000
                let outcome = try ScaleCell(model: name, length: 1 << 24).run(
                    ScaleOptions(), parameters: 300_000, seed: 3, before: [before], progress: { _, _ in },
                    stop: { false })
                require(outcome?.skipped != nil, name)
            }
            let outcome = ScaleMemoryTests.outcomes("local", [1 << 24])[0]
            require(outcome.skipped?.hasSuffix("GB, more than the 8 GB allowed") == true, outcome.skipped ?? "run")
            // 300,000 parameters are 1.2 MB.
            let peak = MemoryPool.shared.statistics.peak
            require(peak < 3 << 20, "\(peak) bytes at once")
        }
    }

    @Test("A pass measured beyond the memory budget keeps its numbers, and nothing longer is run")
    func aPassThatTookTooMuchMemoryIsBeyondTheBudget() async {
        await #expect(processExitsWith: .success) {
            var options = ScaleOptions()
            // More than 300,000 parameters and their gradients, 2.3 MB; less than what 512 tokens take with them.
            options.budgetMegabytes = 2.5
            func run(_ length: Int, before: [ScaleOutcome]) throws -> ScaleOutcome {
                let outcome = try ScaleCell(model: "transformer", length: length, secondsOfRepeats: 0).run(
                    options, parameters: 300_000, seed: 3, before: before, progress: { _, _ in }, stop: { false })
                require(outcome != nil, "\(length)")
                return outcome!
            }
            let outcome = try run(512, before: [])
            let took = "took \(ComparisonText.megabytes(outcome.peakMegabytes ?? 0)), more than the 2.5 MB allowed"
            require(outcome.skipped == took, "\(outcome)")
            require(
                outcome.trainingSeconds != nil && outcome.generationSeconds != nil && outcome.stateMegabytes != nil,
                "\(outcome)")
            let longer = try run(1024, before: [outcome])
            require(longer.skipped?.hasPrefix("would take about ") == true, "\(longer)")
            require(longer.peakMegabytes == nil && longer.forwardSeconds == nil, "\(longer)")
            let longest = try run(8192, before: [outcome, longer])
            require(longest.skipped?.hasPrefix("would take about ") == true, "\(longest)")
            require(longest.forwardSeconds == nil, "\(longest)")
        }
    }

    /// Twice the length takes about twice the memory with gradients.
    @Test("Training memory grows with the length")
    func memoryGrowsWithTheLength() async {
        await #expect(processExitsWith: .success) {
            for model in Zoo.identifiers {
                let outcomes = ScaleMemoryTests.outcomes(model, [1024, 2048])
                let ratio = outcomes[1].peakMegabytes! / outcomes[0].peakMegabytes!
                require(ratio > 1.5 && ratio < 2.2, "\(model): \(ratio)")
            }
        }
    }

    /// It holds keys and values of all tokens; Linformer's is full once it holds the slots of 256 segments.
    @Test("Only the transformer's decoding state grows with the text")
    func statesGrowOnlyInTheTransformer() async {
        await #expect(processExitsWith: .success) {
            for name in Zoo.identifiers {
                let outcomes = ScaleMemoryTests.outcomes(name, name == "linformer" ? [8192, 16384] : [512, 1024])
                let states = outcomes.map { $0.stateMegabytes! }
                require(states[0] > 0, "\(name): \(states)")
                guard name == "transformer" else {
                    require(states[1] == states[0], "\(name): \(states)")
                    continue
                }
                let c = (try model(name, 512) as! Transformer).configuration
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
