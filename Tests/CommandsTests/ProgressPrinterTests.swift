import NN
import Tensors
import Testing

@testable import AttentionZooCommands
@testable import Trainer

@Suite("Output for the events of a training") struct ProgressPrinterTests {
    static func metrics(_ step: Int, seconds: Double, bits: Double = 2, validation: Double? = nil) -> StepMetrics {
        StepMetrics(
            step: step, tokens: step * 100, loss: 1.5, bitsPerByte: bits, learningRate: 1e-3, gradientNorm: 0.5,
            tokensPerSecond: 1000, seconds: seconds,
            extra: validation.map { ["validation_loss": 1, "validation_bits_per_byte": $0] } ?? [:])
    }

    static func summary(
        steps: Int? = 100, seconds: Double? = nil, made: Int = 0, folder: String? = "run"
    ) -> TrainingSummary {
        TrainingSummary(
            parameters: 10, trainingTokens: 1000, validationTokens: 100, tokensPerStep: 100, totalSteps: steps,
            totalSeconds: seconds, stepsMade: made, folder: folder, floor: 1.25, windowFloor: nil)
    }

    private static let erase = "\r\u{1B}[K"

    // MARK: Plain lines

    @Test("Steps are printed less often as the training goes on")
    func stepsAreWrittenMoreSeldomTheLongerItTakes() {
        #expect([0, 5, 10, 100, 600, 1e6].map(ProgressPrinter.interval) == [1, 1, 1, 10, 60, 60])
        var printer = ProgressPrinter(.lines)
        // A step each 0.3 s, the clock having been at 50 when the run was resumed.
        let steps = (1...400).filter { step in
            let event = TrainingEvent.step(Self.metrics(step, seconds: 50 + Double(step) * 0.3), total: 1000)
            return !printer.output(for: event).isEmpty
        }
        #expect(Array(steps.prefix(4)) == [1, 5, 9, 13])
        let gaps = zip(steps.dropFirst(), steps).map { $0 - $1 }
        // At the end, after 120 s, each 12 s: 40 steps.
        #expect(gaps == gaps.sorted() && gaps.last! > 30 && gaps.last! <= 40)
    }

    @Test("Validations and the last step are always printed")
    func validationsAndTheLastStepAreAlwaysWritten() {
        var printer = ProgressPrinter(.lines)
        func text(_ step: Int, validation: Double? = nil) -> String {
            printer.output(
                for: .step(Self.metrics(step, seconds: Double(step) * 1e-3, validation: validation), total: 9))
        }
        #expect(text(1).hasPrefix("step 1/9  loss 1.5000  2.0000 bits/byte  rate 1.00e-03  gradient 0.5  1000 tokens"))
        #expect(text(2) == "")
        #expect(text(3, validation: 2.5).hasSuffix("  validation 2.5000 bits/byte\n"))
        #expect(text(8) == "")
        #expect(text(9).hasPrefix("step 9/9 "))
        #expect(printer.output(for: .finished(step: 9, seconds: 61)) == "finished after 9 steps, 0:01:01\n")
    }

    @Test("Answers are printed below their validation", arguments: [ProgressPrinter.Style.lines, .line(color: false)])
    func answersStandBelowTheirValidation(style: ProgressPrinter.Style) {
        var printer = ProgressPrinter(style)
        var metrics = Self.metrics(3, seconds: 1, validation: 2.5)
        metrics.extra.merge(["validation_floor": 0.25, "answered": 0.4, "answered_to_100": 0.66, "answered_to_3000": 0])
        {
            $1
        }
        let text = printer.output(for: .step(metrics, total: 9)).replacing(Self.erase, with: "")
        #expect(
            text.contains(
                "  validation 2.5000 bits/byte  floor 0.2500  answered 40.0 %\n"
                    + "  questions answered by bytes back: 66 % to 100, 0 % to 3000\n"))
    }

    @Test("The last step before a stop is printed")
    func theLastStepBeforeAStopIsWritten() {
        var printer = ProgressPrinter(.lines)
        _ = printer.output(for: .step(Self.metrics(1, seconds: 0), total: 9))
        #expect(printer.output(for: .step(Self.metrics(2, seconds: 0.1), total: 9)) == "")
        let end = printer.output(for: .interrupted(step: 2, seconds: 0.1, folder: "run"))
        #expect(end.split(separator: "\n").map { $0.prefix(8) } == ["step 2/9", "stopped "])
        #expect(printer.end() == "")
    }

    @Test("Control characters never reach the terminal")
    func nothingThatATerminalWouldActOnIsWritten() {
        let hostile = TrainingEvent.sample(
            step: 1, prompt: "a\u{1B}[2J\r\u{7}", text: "b\u{7F}\u{9B}\u{202E}\nc\td\r\nü🦢")
        for style in [ProgressPrinter.Style.lines, .line(color: false)] {
            var printer = ProgressPrinter(style)
            _ = printer.output(for: .started(Self.summary()))
            let text = printer.output(for: hostile).replacing(Self.erase, with: "")
            #expect(text.contains("a␛[2J␍␇|b␡\u{FFFD}\u{FFFD}\nc\td␍\nü🦢"))
            #expect(!text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" && $0 != "\t" })
        }
        var printer = ProgressPrinter(.lines)
        #expect(printer.output(for: .warning("a\u{1B}b")) == "warning: a␛b\n")
    }

    // MARK: A terminal

    @Test("A terminal's progress line is overwritten")
    func aTerminalsLineIsWrittenOver() {
        var printer = ProgressPrinter(.line(color: false))
        let start = printer.output(for: .started(Self.summary()))
        #expect(start.hasSuffix(", folder run\nstep 0/100"))
        let first = printer.output(for: .step(Self.metrics(1, seconds: 1), total: 100))
        #expect(first == Self.erase + "step 1/100  1 %  2.000 bits/byte  1000 tokens/s  1:39 left")
        // Too soon to be seen.
        #expect(printer.output(for: .step(Self.metrics(2, seconds: 1.05), total: 100)) == "")
        let third = printer.output(for: .step(Self.metrics(3, seconds: 3, validation: 2.25), total: 100))
        #expect(
            third.hasPrefix(Self.erase + "step 3/100  3.0 s  2.0000 bits/byte  validation 2.2500 bits/byte\nstep 3/100")
        )
        #expect(third.contains("\nstep 3/100  3 %  2.000 bits/byte  validation 2.250  1000 tokens/s  "))
        let saved = printer.output(for: .saved(step: 3, folder: "run"))
        #expect(saved.hasPrefix(Self.erase + "saved step 3 in run\nstep 3/100"))
        #expect(printer.end() == "\n")
        #expect(printer.end() == "")
    }

    @Test("The end removes the progress line")
    func theEndTakesTheLineAway() {
        var printer = ProgressPrinter(.line(color: false))
        _ = printer.output(for: .started(Self.summary()))
        _ = printer.output(for: .step(Self.metrics(1, seconds: 1), total: 100))
        let end = printer.output(for: .interrupted(step: 1, seconds: 1, folder: "run"))
        #expect(end == Self.erase + "step 1/100  1.0 s  2.0000 bits/byte\nstopped after 1 step, 1.0 s\n")
        #expect(printer.end() == "")
    }

    @Test("Colors only add to the plain text, and end where they began")
    func colorsAreWhatIsAddedToPlainText() {
        var (plain, colored) = (ProgressPrinter(.line(color: false)), ProgressPrinter(.line(color: true)))
        for event in [
            .started(Self.summary()), .step(Self.metrics(1, seconds: 1, validation: 2), total: 2), .warning("w"),
            .sample(step: 1, prompt: "p", text: "t"), .saved(step: 1, folder: "run"), .finished(step: 1, seconds: 1),
        ] as [TrainingEvent] {
            let text = colored.output(for: event, width: 50)
            #expect(text.replacing(#/\u{1B}\[[0-9]+m/#, with: "") == plain.output(for: event, width: 50))
            // Nothing stays on: what begins with a color ends with the end of it.
            #expect(text.matches(of: #/\u{1B}\[[1-9][0-9]*m/#).count == text.matches(of: #/\u{1B}\[0m/#).count)
        }
    }

    // MARK: JSON and quiet

    @Test("Every event is a line of JSON")
    func everyEventIsALineOfJSON() throws {
        var printer = ProgressPrinter(.json)
        let events: [TrainingEvent] = [
            .started(Self.summary(steps: nil, seconds: 90, folder: nil)),
            .step(Self.metrics(1, seconds: 1, bits: .nan), total: nil),
            .sample(step: 1, prompt: "\"", text: "\u{1B}\n"),
            .saved(step: 1, folder: "a\\b"), .warning("w"), .finished(step: 1, seconds: 1.5),
            .interrupted(step: 1, seconds: 1.5, folder: nil),
        ]
        for event in events {
            let text = printer.output(for: event)
            #expect(text.hasPrefix("{\"event\":\"\(event.name)\","))
            #expect(text.split(separator: "\n", omittingEmptySubsequences: false).count == 2)
            let members = try #require(JSONValue(parsing: text.utf8, file: "line").objectValue)
            switch event {
            case .started:
                #expect(members["total_steps"] == .null && members["folder"] == .null)
                #expect(members["total_seconds"]?.doubleValue == 90)
                #expect(members["floor"] == .number(1.25) && members["window_floor"] == .null)
            case .step: #expect(members["bits_per_byte"] == .null && members["loss"] == .number(1.5))
            case .sample: #expect(members["text"] == .string("\u{1B}\n") && members["prompt"] == .string("\""))
            case .saved: #expect(members["folder"] == .string("a\\b"))
            case .warning: #expect(members["message"] == .string("w"))
            case .finished: #expect(members["seconds"] == .number(1.5))
            case .interrupted: #expect(members["folder"] == .null && members["step"] == .integer(1))
            }
        }
        #expect(printer.end() == "")
    }

    @Test("The quiet style prints nothing")
    func quietWritesNothing() {
        var printer = ProgressPrinter(.quiet)
        #expect(printer.output(for: .started(Self.summary())) + printer.output(for: .warning("w")) == "")
        #expect(printer.output(for: .step(Self.metrics(1, seconds: 1), total: 1)) + printer.end() == "")
    }

    @Test("Times that no training takes are written too", arguments: [1e18, 1e300, .infinity, -.infinity, .nan])
    func times(seconds: Double) {
        for event in [
            TrainingEvent.step(Self.metrics(1, seconds: seconds), total: 5), .finished(step: 1, seconds: seconds),
            .interrupted(step: 1, seconds: seconds, folder: nil),
        ] {
            var printer = ProgressPrinter(.line(color: false))
            #expect(!printer.output(for: event).isEmpty)
        }
    }
}
