import AttentionZooTestSupport
import Foundation
import NN
import Testing

@testable import AttentionZooReports
@testable import Trainer

/// The page that compares runs.
@Suite struct RunsReportTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A trained run; `bits` replaces what was measured.
    private func record(_ name: String, seed: UInt64, bits: Double, validates: Bool = true) throws -> RunRecord {
        let options = TrainingOptions(
            sequenceLength: 16, batchSize: 2, length: .steps(4), sampleEvery: 0, seed: seed)
        let run = try TrainingRun(
            Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(), options: options, folder: folder.path + "/" + name,
            origin: RunOrigin(model: "flash"))
        let metrics = (1...4).map { step in
            StepMetrics(
                step: step, tokens: step * 1000, loss: bits, bitsPerByte: bits + 1 / Double(step), learningRate: 1,
                gradientNorm: 1, tokensPerSecond: 100 * Double(seed), seconds: 300 * Double(step),
                extra: validates && step % 2 == 0
                    ? [
                        "validation_bits_per_byte": bits, "validation_floor": 1.125, "answered": 0.25,
                        "answered_to_100": 0.25,
                    ]
                    : [:])
        }
        return RunRecord(
            name: name, path: folder.path + "/" + name, configuration: try run.folder!.configuration(),
            parameters: nil, metrics: metrics, samples: [])
    }

    @Test("The page compares results, curves, and configurations of runs")
    func resultsCurvesAndDifferences() throws {
        let page = PageText(
            RunsReport([
                try record("first", seed: 1, bits: 2.5), try record("<second>", seed: 2, bits: 3),
                try record("third", seed: 3, bits: 3.5, validates: false),
            ]).html)
        #expect(page.title == "3 runs")
        #expect(page.headings == ["Results", "Learning", "Memory", "Speed", "Differences in configuration"])
        #expect(page.rows[0] == ["run", "steps", "tokens", "time", "training", "validation", "best", "answered"])
        #expect(page.row("first") == ["4", "4,000", "20 min", "2.7500", "2.5000", "2.5000", "25.0%"])
        #expect(page.row("<second>") == ["4", "4,000", "20 min", "3.2500", "3.0000", "3.0000", "25.0%"])
        #expect(page.row("third") == ["4", "4,000", "20 min", "3.7500", "–", "–", "–"])
        // One row: all else is configured alike.
        #expect(page.rows.suffix(2) == [["key", "first", "<second>", "third"], ["training.seed", "1", "2", "3"]])
        // A label in each of three plots, the legend of the answers, and the bar of its speed.
        for name in ["first", "<second>", "third"] {
            #expect(page.elements.count { $0.name == "text" && $0.text == name } == 5, "\(name)")
        }
        for label in ["step", "tokens", "minutes", "up to 100", "100", "200", "300"] {
            #expect(page.labels.contains(label), "\(label)")
        }
        // The third run was not validated with the others' text.
        #expect(!page.labels.contains("floor 1.125"))
    }

    @Test("Runs of one configuration have no differences, and share their floor")
    func runsOfOneConfigurationAndFloor() throws {
        var (a, b) = (try record("a", seed: 1, bits: 2), try record("b", seed: 1, bits: 3))
        let page = PageText(RunsReport([a, b]).html)
        #expect(page.text.contains("There are none."))
        #expect(page.labels.contains("floor 1.125"))
        (a.metrics, b.metrics) = ([], [])
        #expect(PageText(RunsReport([a, b]).html).labels.contains("nothing to draw"))
    }
}
