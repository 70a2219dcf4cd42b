import AttentionZooCommands
import ModelZoo
import Testing

@testable import AttentionZooExperiments

@Suite struct PrinterTests {
    private let cell = ComparisonCell.scale(model: "flash", length: 1024)

    @Test("A terminal's progress line is overwritten")
    func aTerminalHasOneLineThatIsWrittenOver() {
        var printer = ComparisonPrinter(isTerminal: true)
        #expect(printer.output(for: .started(finished: 2, of: 7)) == "2 of 7 cells finished already\n")
        let progress = ComparisonRun.Event.Progress(number: 3, total: 7, secondsLeft: 125)
        let first = printer.output(for: .progress(cell, "forward", progress))
        #expect(first == "3/7  scale 1024, flash  forward  about 2 min 5 s left")
        #expect(printer.output(for: .progress(cell, "forward", progress), width: 11) == "\r\u{1B}[K3/7  scale")
        let last = printer.output(for: .finished(cell, "too long", progress))
        #expect(last == "\r\u{1B}[K3/7  scale 1024, flash: too long\n")
        #expect(printer.end().isEmpty)
    }

    @Test("A file receives only finished cells")
    func aFileGetsWhatIsFinishedAlone() {
        var printer = ComparisonPrinter(isTerminal: false)
        #expect(printer.output(for: .started(finished: 0, of: 1)) == "1 cell\n")
        let progress = ComparisonRun.Event.Progress(number: 1, total: 1, secondsLeft: nil)
        #expect(printer.output(for: .progress(cell, "forward", progress)).isEmpty)
        #expect(printer.output(for: .finished(cell, "too long", progress)) == "1/1  scale 1024, flash: too long\n")
    }

    // MARK: Recall

    /// Answers by distance are part of the others and not counted again.
    @Test("A recall cell is summarized by its share at the training length, with its fault")
    func recallIsSummedUpAsInTheReport() {
        var outcome = RecallOutcome(
            task: .copying, model: "local", parameters: 1, steps: 17, seconds: 65, trainingLength: 256, chance: 0.1,
            reach: nil,
            accuracies: [
                .init(length: 64, asked: 10, found: 10), .init(length: 256, asked: 10, found: 3),
                .init(length: 256, distance: 128, asked: 2, found: 2),
                .init(length: 256, distance: 256, asked: 8, found: 1),
            ])
        #expect(outcome.summary == "30.0 % found in 256 tokens after 17 steps in 1 min 5 s")
        outcome.fault = "diverged after step 17"
        #expect(outcome.summary.hasPrefix("diverged after step 17; 30.0 % found in 256 tokens"))
        outcome.accuracies = [.init(length: 256, asked: nil, found: nil)]
        #expect(outcome.summary.contains("; nothing asked in 256 tokens"))
    }

    // MARK: Time left

    @Test("The time left is what the options allow, corrected by finished cells")
    func timeLeftIsWhatTheOptionsAllowUntilCellsAreFinished() {
        var options = ComparisonOptions()
        options.text.minutes = 2
        let cells = ["a", "b", "c"].map { ComparisonCell.text("t", model: $0) }
        var estimate = ComparisonEstimate(cells, options)
        #expect(estimate.secondsLeft(in: cells[0], share: 0, since: 0) == 360)
        #expect(estimate.secondsLeft(in: cells[0], share: 0.5, since: 90) == 330)
        // The first took 150 seconds where 120 were expected, and so will the others.
        estimate.finish(cells[0], seconds: 150)
        #expect(estimate.secondsLeft(in: cells[1], share: 0, since: 30) == 270)
    }

    @Test("Repeats of short sequences do not inflate the time left")
    func shortSequencesDoNotFrighten() throws {
        let cells = [512, 262_144].map { ComparisonCell.scale(model: "flash", length: $0) }
        var estimate = ComparisonEstimate(cells, ComparisonOptions())
        estimate.finish(cells[0], seconds: 6)
        let left = try #require(estimate.secondsLeft(in: cells[1], share: 0, since: 0))
        #expect(left > 50 && left < 80)
    }

    @Test("Without a time limit the time left is unknown until a cell is finished")
    func stepsSayNothingOfTimeUntilACellIsFinished() {
        var options = ComparisonOptions()
        (options.recall.minutes, options.recall.steps) = (nil, 100)
        let cells = ["a", "b"].map { ComparisonCell.recall(.mqar, model: $0) }
        var estimate = ComparisonEstimate(cells, options)
        #expect(estimate.secondsLeft(in: cells[0], share: 0.5, since: 10) == nil)
        estimate.finish(cells[0], seconds: 44)
        #expect(estimate.secondsLeft(in: cells[1], share: 0, since: 4) == 40)
    }
}
