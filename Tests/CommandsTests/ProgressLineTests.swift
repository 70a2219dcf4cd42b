import Testing

@testable import AttentionZooCommands
@testable import Trainer

@Suite struct ProgressLineTests {
    private typealias Given = ProgressPrinterTests

    private func line(_ summary: TrainingSummary, _ steps: [StepMetrics] = []) -> ProgressLine {
        var line = ProgressLine()
        line.start(summary)
        for metrics in steps { line.add(metrics) }
        return line
    }

    @Test("The least useful parts are left out first on a narrow terminal")
    func partsAreLeftOutInTheOrderOfTheirUse() {
        let line = line(Given.summary(), [Given.metrics(50, seconds: 50, validation: 2.5)])
        func text(_ width: Int) -> String { line.text(width: width).rendered(withColor: false) }
        let whole = "step 50/100  50 %  2.000 bits/byte  validation 2.500  1000 tokens/s  50 s left"
        #expect(text(200) == whole)
        #expect(text(whole.count) == whole)
        #expect(text(whole.count - 1) == "step 50/100  2.000 bits/byte  validation 2.500  1000 tokens/s  50 s left")
        #expect(text(60) == "step 50/100  2.000 bits/byte  validation 2.500  50 s left")
        #expect(text(50) == "step 50/100  2.000 bits/byte  50 s left")
        #expect(text(30) == "step 50/100  2.000 bits/byte")
        #expect(text(20) == "step 50/100")
        #expect(text(7) == "step 50")
        #expect(text(0) == "")
        for width in 0...90 { #expect(line.text(width: width).width <= width) }
    }

    @Test("The time left includes validations between steps")
    func timeLeftCountsWhatComesBetweenSteps() throws {
        // A step takes 1 s, and each tenth one is followed by a validation of 5 s: 1.5 s a step.
        var seconds = 0.0
        let steps = (1...60).map { step in
            seconds += step % 10 == 0 ? 6 : 1
            return Given.metrics(step, seconds: seconds)
        }
        let left = try #require(line(Given.summary(steps: 160), steps).secondsLeft)
        #expect(abs(left / 150 - 1) < 0.1)  // where a validation lies in the span that counts is worth some percent
    }

    @Test("The time left follows a change of speed")
    func timeLeftFollowsAChangeOfSpeed() throws {
        // The first step takes 10 s, the next 100 take 1 s each: hardly more than 1 s a step is expected.
        let steps = (1...101).map { Given.metrics($0, seconds: 9 + Double($0)) }
        let left = try #require(line(Given.summary(steps: 201), steps).secondsLeft)
        #expect(left >= 100 && left < 103)  // a plain mean says 109
    }

    @Test("The time left counts only steps of this process")
    func timeLeftIsThatOfTheStepsMadeHere() throws {
        // Resumed after step 50, at 500 s: one step does not say how long a step takes, two do.
        let resumed = Given.summary(made: 50)
        #expect(line(resumed).secondsLeft == nil)
        #expect(line(resumed, [Given.metrics(51, seconds: 502)]).secondsLeft == nil)
        let two = line(resumed, [Given.metrics(51, seconds: 502), Given.metrics(52, seconds: 504)])
        #expect(two.secondsLeft == 96)
        #expect(line(resumed).text(width: 80).rendered(withColor: false) == "step 50/100  50 %")
    }

    @Test("The time left of a training by the clock is exact")
    func timeLeftOfATrainingByTheClockIsExact() {
        let byClock = Given.summary(steps: nil, seconds: 120)
        #expect(line(byClock, [Given.metrics(7, seconds: 90)]).secondsLeft == 30)
        #expect(line(byClock, [Given.metrics(7, seconds: 130)]).secondsLeft == 0)
        let text = line(byClock, [Given.metrics(7, seconds: 90)]).text(width: 80).rendered(withColor: false)
        #expect(text == "step 7  75 %  2.000 bits/byte  1000 tokens/s  30 s left")
    }

    @Test("Numbers are smoothed a little, and those that are not finite are left out")
    func numbersAreSmoothedALittle() {
        let steady = (1...40).map { Given.metrics($0, seconds: Double($0)) }
        let one = line(Given.summary(), steady + [Given.metrics(41, seconds: 41, bits: 3)])
        // A tenth of the way from 2 to 3.
        #expect(one.text(width: 80).rendered(withColor: false).contains("  2.10"))
        let odd = line(Given.summary(), [Given.metrics(1, seconds: 1, bits: .nan)])
        #expect(!odd.text(width: 80).rendered(withColor: false).contains("nan"))
    }

    @Test(
        "Durations are written in a short form",
        arguments: [
            (0, "0 s"), (59, "59 s"), (59.2, "1:00"), (725, "12:05"), (11525, "3:12:05"), (187_200, "2 d 4 h"),
            (.infinity, "?"), (.nan, "?"),
        ])
    func durationsAreWrittenInWords(seconds: Double, text: String) {
        #expect(ProgressLine.duration(seconds) == text)
    }
}
