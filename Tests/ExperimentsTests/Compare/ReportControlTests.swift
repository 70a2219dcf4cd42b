import AttentionZooTestSupport
import Testing

@testable import AttentionZooExperiments

/// The negative control: what a model cannot see it must not find more often than by guessing.
@Suite struct ReportControlTests {
    private func control(found: Int) -> PageText {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        results.recall = [
            RecallOutcome(
                task: .mqar, model: "local", parameters: 1, steps: 1, seconds: 1, trainingLength: 256, chance: 0.01,
                reach: 60,
                accuracies: [
                    .init(length: 256, distance: 32, asked: 100, found: 90),
                    .init(length: 256, distance: 64, asked: 100, found: 50),
                    .init(length: 256, distance: 128, asked: 400, found: found),
                    .init(length: 512, distance: 256, asked: nil, found: nil),
                ])
        ]
        return PageText(ComparisonReport(results).html)
    }

    /// 400 guesses with a chance of 1% find 11 and more with a probability of 0.0027, 12 and more with 0.0008.
    @Test(
        "The control holds unless guessing would hardly find as many",
        arguments: [(4, "1.0%", true), (11, "2.8%", true), (12, "3.0%", false), (0, "0%", true)])
    func controlIsSpelledOut(found: Int, share: String, holds: Bool) {
        let text =
            "Local attention sees no farther back than 60 tokens. Of what stands farther back it found \(share) "
            + "(\(found) of 400 answers), a guess without seeing it finds at most 1.0%: the control "
            + (holds ? "holds." : "does not hold.")
        #expect(control(found: found).text.contains(text), "\(control(found: found).text)")
    }

    /// Depths are distances from the end; the sample's `local` sees 64 tokens.
    @Test("Depths beyond the reach count for the control")
    func depthsBeyondReachAreControlled() {
        let task = RecallNumbers(.passkey, ReportSample.recall)
        let local = ComparedModel.ordered(["local"])[0]
        // Of 1024 and 4096 tokens all depths but the end, of 256 the first half.
        #expect(task.control(local)?.answers.asked == 51 * (4 + 4 + 3))
        #expect(task.answers(local, beyond: 64)?.asked == 51 * 3)
    }

    /// With a chance of 0.00001, one lucky number of five digits in 500 has a probability of 0.005, two of 0.00001.
    @Test("The binomial tail is exact for small chances")
    func smallChancesAreControlled() throws {
        #expect(abs(binomialTail(atLeast: 1, of: 500, probability: 1e-5) - 0.004988) < 1e-6)
        #expect(abs(binomialTail(atLeast: 2, of: 500, probability: 1e-5) - 1.243e-5) < 1e-8)
        // Of ten tosses 8, 9 or 10: (45 + 10 + 1) / 1024.
        #expect(abs(binomialTail(atLeast: 8, of: 10, probability: 0.5) - 56.0 / 1024) < 1e-12)
        #expect(binomialTail(atLeast: 0, of: 10, probability: 0.5) == 1)
        let local = ComparedModel.ordered(["local"])[0]
        func holds(_ found: Int) -> Bool? {
            var outcome = ReportSample.outcomes(.passkey).first { $0.model == "local" }!
            outcome.accuracies = [.init(length: 4096, depth: 0, asked: 500, found: found)]
            return RecallNumbers(.passkey, [outcome]).control(local)?.holds
        }
        #expect(holds(0) == true && holds(1) == true && holds(2) == false)
    }

    /// The model may exclude what it sees.
    @Test("The control uses the chance of a blind guess cell by cell")
    func blindGuessesAreOfTheirCells() throws {
        var outcome = ReportSample.outcomes(.mqar).first { $0.model == "local" }!
        outcome.accuracies = [
            .init(length: 256, distance: 64, asked: 50, found: 50),
            .init(length: 256, distance: 96, asked: 300, found: 9, blindChance: 0.03),
            .init(length: 256, distance: 128, asked: 100, found: 1, blindChance: 0.01),
        ]
        let control = try #require(RecallNumbers(.mqar, [outcome]).control(ComparedModel.ordered(["local"])[0]))
        #expect(control.answers.asked == 400 && abs(control.chance - 0.025) < 1e-12 && control.holds)
    }
}
