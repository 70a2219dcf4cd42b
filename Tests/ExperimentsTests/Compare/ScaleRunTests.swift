import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

@testable import AttentionZooExperiments

/// Runs of `--task scale`: the order of the lengths, stopping, going on.
@Suite struct ScaleRunTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    /// Fast weights and local attention at 512 and 1,024 tokens.
    private func command(_ change: (inout CompareCommand) -> Void = { _ in }) -> CompareCommand {
        workspace.command(task: "scale", models: "fast-weights,local") {
            ($0.longest, $0.parameters) = (1024, 300_000)
            change(&$0)
        }
    }

    /// Outcomes that were finished before.
    private func finish(_ outcomes: [ScaleOutcome], before command: CompareCommand) throws {
        var results = ComparisonResults(try command.options([.scale]), machine: .current)
        results.scale = outcomes
        try FileManager.default.createDirectory(atPath: workspace.out, withIntermediateDirectories: true)
        try results.write(to: workspace.out + "/results.json")
    }

    private func outcome(_ model: String, _ length: Int, seconds: Double) -> ScaleOutcome {
        var outcome = ScaleOutcome(model: model, length: length, parameters: 300_000)
        (outcome.forwardSeconds, outcome.trainingSeconds, outcome.peakMegabytes) = (seconds / 3, seconds, 5)
        return outcome
    }

    private func names(_ outcomes: [ScaleOutcome]) -> [String] { outcomes.map { "\($0.model) \($0.length)" } }

    /// A longer length is judged by those before.
    @Test("Lengths ascend, and a stopped run resumes after its finished cells")
    func stoppedBetweenLengths() throws {
        let (first, second) = (Diary(), Diary())
        let stopped = try command().run(report: first.add, stop: { first.finished == 3 })
        #expect(!stopped.isComplete)
        #expect(names(stopped.results.scale) == ["fast-weights 512", "local 512", "fast-weights 1024"])
        #expect(try ComparisonResults(path: workspace.out + "/results.json") == stopped.results)
        let rest = try command().run(report: second.add)
        #expect(rest.isComplete && second.lines == ["3 of 4", "4/4 scale 1024, local"])
        #expect(Array(rest.results.scale.prefix(3)) == stopped.results.scale)
        #expect(rest.results.scale.allSatisfy { $0.skipped == nil && $0.trainingSeconds != nil })
    }

    @Test("A cell stopped halfway leaves nothing")
    func stoppedInTheMiddleOfALength() throws {
        let diary = Diary()
        var isInside = false
        let stopped = try command().run(
            report: { event in
                diary.add(event)
                if case .progress(.scale("local", 1024), "generation", _) = event { isInside = true }
            }, stop: { isInside })
        #expect(isInside && !stopped.isComplete && diary.finished == 3)
        #expect(names(stopped.results.scale) == ["fast-weights 512", "local 512", "fast-weights 1024"])
        #expect(try ComparisonResults(path: workspace.out + "/results.json") == stopped.results)
    }

    @Test("A model is judged by its own lengths")
    func aModelIsJudgedByItsOwnLengths() throws {
        try finish([outcome("local", 512, seconds: 50), outcome("fast-weights", 512, seconds: 0.1)], before: command())
        let results = try command().run().results
        #expect(names(results.scale.suffix(2)) == ["fast-weights 1024", "local 1024"])
        #expect(results.scale[2].skipped == nil && results.scale[2].trainingSeconds != nil)
        #expect(results.scale[3].skipped == "would take about 200 s a pass, more than the 60 s allowed")
        #expect(results.scale[3].forwardSeconds == nil)
    }

    @Test("A longer sequence over budget does not refuse a shorter one")
    func longerSequencesAreNotAskedBefore() throws {
        let command = command { ($0.models, $0.longest) = ("local", 2048) }
        try finish([outcome("local", 512, seconds: 0.1), outcome("local", 2048, seconds: 1e4)], before: command)
        let results = try command.run().results
        #expect(names(results.scale) == ["local 512", "local 2048", "local 1024"])
        #expect(results.scale[2].skipped == nil && results.scale[2].trainingSeconds != nil)
    }

    @Test("A longer plan adds lengths, judged by the finished ones")
    func aLongerPlanGoesOn() throws {
        let before = command { ($0.models, $0.longest) = ("local", 512) }
        try finish([outcome("local", 512, seconds: 50)], before: before)
        let results = try command { ($0.models, $0.longest) = ("local", 2048) }.run().results
        #expect(names(results.scale) == ["local 512", "local 1024", "local 2048"])
        #expect(results.scale[1].skipped == "would take about 200 s a pass, more than the 60 s allowed")
        #expect(results.scale[2].skipped == "would take about 800 s a pass, more than the 60 s allowed")
    }

    /// In a process of its own, as tensors share their memory.
    @Test("A model beyond the budget is run at no longer sequence")
    func whatIsBeyondTheBudgetStaysBeyond() async {
        await #expect(processExitsWith: .success) {
            // More than parameters and gradients of 2.3 MB, less than a pass over 512 tokens.
            let results = try ScaleRunTests().command {
                ($0.models, $0.longest, $0.budgetGigabytes) = ("local", 4096, 2.5 / 1024)
            }.run().results
            require(results.scale.map(\.length) == [512, 1024, 2048, 4096], "\(results.scale)")
            let reasons = results.scale.map { $0.skipped ?? "" }
            require(reasons[0].hasPrefix("took "), reasons[0])
            require(reasons[0].hasSuffix(" MB, more than the 2.5 MB allowed"), reasons[0])
            require(results.scale[0].trainingSeconds != nil, "\(results.scale[0])")
            for (outcome, reason) in zip(results.scale, reasons).dropFirst() {
                require(reason.hasPrefix("would take about ") && outcome.forwardSeconds == nil, "\(outcome.length)")
            }
        }
    }
}
