import ModelZoo
import Testing

@testable import AttentionZooExperiments

@Suite("Predicted costs of a length, and lengths refused by them") struct ScalePredictionTests {
    private func outcome(_ length: Int, seconds: Double?, megabytes: Double? = nil, forward: Double? = nil)
        -> ScaleOutcome
    {
        var outcome = ScaleOutcome(model: "flash", length: length, parameters: 1)
        (outcome.trainingSeconds, outcome.peakMegabytes, outcome.forwardSeconds) = (seconds, megabytes, forward)
        return outcome
    }

    @Test(
        "Predictions extrapolate from the last two lengths",
        arguments: [
            // Nothing to go by.
            ([], 1024, nil),
            // One length alone: as the square.
            ([(512, 3)], 1024, 12), ([(512, 3)], 2048, 48),
            // As between the last two.
            ([(512, 1), (1024, 4)], 2048, 16), ([(512, 1), (1024, 4)], 4096, 64),
            ([(512, 7), (1024, 2), (2048, 6)], 4096, 18), ([(512, 2), (2048, 8)], 4096, 16),
            // At least with the length, at most with its square.
            ([(512, 4), (1024, 5)], 2048, 10), ([(512, 4), (1024, 2)], 4096, 8), ([(512, 0), (1024, 2)], 2048, 8),
            ([(512, 1), (1024, 6)], 2048, 24),
        ] as [([(Int, Double)], Int, Double?)])
    func extrapolation(_ points: [(Int, Double)], to length: Int, expected: Double?) throws {
        let got = ScalePrediction.extrapolate(points.map { (length: $0, value: $1) }, to: length)
        // A power and a logarithm, some roundings of 1e-16 each.
        if let expected { #expect(abs(try #require(got) - expected) < 1e-9) } else { #expect(got == nil) }
    }

    @Test("Only shorter, measured lengths count")
    func onlyShorterLengthsThatWereMeasuredCount() throws {
        let before = [
            outcome(2048, seconds: 4, megabytes: 30), outcome(512, seconds: 1, megabytes: 10),
            outcome(1024, seconds: 2, megabytes: 15), outcome(4096, seconds: 1000), outcome(8192, seconds: nil),
        ]
        let prediction = ScalePrediction(of: 4096, before: before)
        #expect(abs(try #require(prediction.seconds) - 8) < 1e-9)
        #expect(abs(try #require(prediction.megabytes) - 60) < 1e-9)
        // A pass that was not run with gradients takes at least what it took without.
        let longer = ScalePrediction(of: 4096, before: [outcome(2048, seconds: nil, forward: 70)])
        #expect(longer.seconds == 280 && longer.megabytes == nil)
        #expect(ScalePrediction(of: 512, before: before) == ScalePrediction())
    }

    @Test(
        "A prediction beyond the budget is refused with the reason",
        arguments: [
            (nil, nil, nil), (60, 8192, nil),
            (61, nil, "would take about 61.0 s a pass, more than the 60 s allowed"),
            (249.7, 8000, "would take about 250 s a pass, more than the 60 s allowed"),
            (249.7, 9000, "would take about 8.79 GB, more than the 8 GB allowed"),
            (1, 16384, "would take about 16.0 GB, more than the 8 GB allowed"),
            (nil, 8600, "would take about 8.40 GB, more than the 8 GB allowed"),
        ] as [(Double?, Double?, String?)])
    func refusals(_ seconds: Double?, _ megabytes: Double?, _ expected: String?) {
        #expect(ScalePrediction(seconds: seconds, megabytes: megabytes).refusal(ScaleOptions()) == expected)
    }

    @Test("Small budgets are written in their own units")
    func smallBudgetsAreNamedAsTheyAre() {
        var options = ScaleOptions()
        (options.budgetSeconds, options.budgetMegabytes) = (0.25, 1000)
        #expect(
            ScalePrediction(seconds: 1.26).refusal(options)
                == "would take about 1.26 s a pass, more than the 250 ms allowed")
        #expect(
            ScalePrediction(megabytes: 1001).refusal(options)
                == "would take about 1,001 MB, more than the 1,000 MB allowed")
    }

    @Test("Measured values are compared with the budgets too")
    func whatWasMeasuredMayBeTooMuch() {
        let options = ScaleOptions()
        #expect(options.excess("took", seconds: 60, megabytes: 8192) == nil)
        #expect(
            options.excess("took", seconds: 80.2, megabytes: 8192)
                == "took 80.2 s a pass, more than the 60 s allowed")
        #expect(options.excess("took", seconds: 80.2, megabytes: 9318.4) == "took 9.10 GB, more than the 8 GB allowed")
        #expect(
            options.excess("took", seconds: 72, of: "a pass without gradients")
                == "took 72.0 s a pass without gradients, more than the 60 s allowed")
    }

    @Test("Raising a prediction never lowers it")
    func raisingNeverLowers() {
        var prediction = ScalePrediction(seconds: 1)
        prediction.raise(megabytes: 5)
        #expect(prediction == ScalePrediction(seconds: 1, megabytes: 5))
        prediction.raise(megabytes: 4)
        #expect(prediction.megabytes == 5)
    }
}
