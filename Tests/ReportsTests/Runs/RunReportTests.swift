import AttentionZooTestSupport
import Foundation
import NN
import Testing

@testable import AttentionZooReports
@testable import Trainer

/// The page about one run.
@Suite struct RunReportTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func options(steps: Int = 6) -> TrainingOptions {
        TrainingOptions(
            sequenceLength: 16, batchSize: 2, length: .steps(steps), learningRate: 1e-2, clip: 0.5, validateEvery: 2,
            sampleEvery: 2, sampleLength: 5, saveEvery: 3, seed: 7)
    }

    private func begin(_ name: String, _ options: TrainingOptions? = nil, model: String = "flash") throws
        -> TrainingRun<Bigram>
    {
        try TrainingRun(
            Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(), options: options ?? self.options(),
            folder: folder.path + "/" + name, origin: RunOrigin(model: model, data: ["/texts/a b.txt"]),
            recording: { try RunReport($0).write() })
    }

    /// A record with metrics of the test's own.
    private func record(
        _ metrics: [StepMetrics], samples: [Sample] = [], options: TrainingOptions? = nil, model: String = "flash"
    ) throws -> RunRecord {
        let name = UUID().uuidString
        let configuration = try #require(try begin(name, options, model: model).folder).configuration()
        return RunRecord(
            name: "a run", path: "runs/a run", configuration: configuration, parameters: 1234, metrics: metrics,
            samples: samples)
    }

    private func metrics(_ step: Int, bits: Double, extra: [String: Double] = [:]) -> StepMetrics {
        StepMetrics(
            step: step, tokens: step * 100, loss: bits, bitsPerByte: bits, learningRate: 1e-3, gradientNorm: 0.5,
            tokensPerSecond: 1000 + 2 * Double(step), seconds: Double(step), extra: extra)
    }

    private func page(_ path: String) throws -> PageText { PageText(try String(contentsOfFile: path, encoding: .utf8)) }

    // MARK: In a training

    @Test("The page is written at every validation and at the end")
    func writtenAtEveryValidationAndAtTheEnd() throws {
        let run = try begin("run")
        let path = try #require(run.folder).reportPath
        var seen: [Int: String] = [:]
        try run.train { event in
            if case .step(let metrics, _) = event {
                seen[metrics.step] = try? String(contentsOfFile: path, encoding: .utf8)
            }
        }
        #expect(seen[1] == nil && seen[2] == nil)
        #expect(PageText(seen[3]!).text.contains("step 2 of 6"))
        #expect(PageText(seen[5]!).text.contains("step 4 of 6"))
        let page = try page(path)
        #expect(page.text.contains("step 6 of 6"))
        #expect(
            page.headings == ["Result", "Learning", "Course of the training", "Samples", "Commands", "Configuration"])
        #expect(
            page.title == "run"
                && page.text.contains(
                    "flash · \(Bigram().parameterCount.formatted(.number.locale(Locale(identifier: "en_US")))) parameters · a b.txt"
                ))
        // What was drawn while training is what can be drawn from the folder.
        #expect(
            try RunReport(RunRecord(RunFolder(path: folder.path + "/run"))).html
                == String(contentsOfFile: path, encoding: .utf8))
        let validation = try #require(
            try MetricsLog.read(path: run.folder!.metricsPath).last?.extra["validation_bits_per_byte"])
        #expect(page.row("validation, last") == [String(format: "%.4f", validation), "6"])
    }

    @Test("A resumed run has the samples of the uninterrupted one")
    func aResumedRunHasTheSameSamples() throws {
        try begin("whole").train()
        try begin("cut").train(until: 5)
        let cut = try RunFolder(path: folder.path + "/cut")
        // A sample that the run before has drawn after its last save.
        try SamplesLog(path: cut.samplesPath, resumingAfter: 5).append(Sample(step: 6, prompt: "x", text: "y"))
        try TrainingRun(
            resuming: cut, Bigram(seed: 2), on: byteSplit(), tokenizer: ByteTokenizer(),
            recording: { try RunReport($0).write() }
        ).train()
        let samples = try SamplesLog.read(path: cut.samplesPath)
        #expect(samples.map(\.step) == [2, 4, 6])
        #expect(try samples == SamplesLog.read(path: folder.path + "/whole/samples.jsonl"))
        let page = try page(cut.reportPath)
        #expect(page.text.contains("step 6 of 6"))
        #expect(page.elements.filter { $0.name == "pre" }.count == 4)  // and the commands
    }

    @Test("A page that cannot be written is a warning")
    func aReportThatCannotBeWrittenIsAWarning() throws {
        let run = try begin("run", options(steps: 2))
        let path = try #require(run.folder).reportPath
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        var warnings: [String] = []
        try run.train { if case .warning(let text) = $0 { warnings.append(text) } }
        #expect(warnings == ["the report is not written: \(path): cannot be written: Is a directory"])
        #expect(run.step == 2)
    }

    // MARK: What it says

    @Test("The page shows the numbers of the log")
    func numbersAreThoseGiven() throws {
        let all = (1...60).map { step in
            metrics(
                step, bits: 8 - Double(step) / 10,
                extra: step % 20 == 0
                    ? [
                        "validation_bits_per_byte": step == 40 ? 3.25 : 4.5, "validation_floor": 1.5,
                        "validation_window_floor": 1.75, "answered": 0.5, "validation_masked_accuracy": 0.125,
                        "validation_token_accuracy": 0.9975,
                    ] : [:])
        }
        let page = PageText(RunReport(try record(all)).html)
        #expect(page.row("training, last step") == ["2.0000", "60"])
        #expect(page.row("training, mean of the last 3") == ["2.1000", "60"])
        #expect(page.row("validation, last") == ["4.5000", "60"])
        #expect(page.row("validation, best") == ["3.2500", "40"])
        #expect(page.row("floor") == ["1.5000", ""])
        #expect(page.row("floor of the window") == ["1.7500", ""])
        #expect(page.row("tokens seen") == ["6,000"])
        #expect(page.row("tokens per second, median") == ["1,061"])  // of 1,002, 1,004 … 1,120
        #expect(page.row("time") == ["1 min"])
        #expect(page.row("parameters") == ["1,234"])
        #expect(page.row("questions answered") == ["50.0%"])
        #expect(page.row("hidden tokens found") == ["12.5%"])
        #expect(page.row("token accuracy") == ["99.8%"])
        #expect(page.row("optimizer.name") == ["adam"])
        #expect(page.row("training_tokens") == ["\(try byteSplit().training.count)"])
        for label in ["validation 4.500", "training 2.100", "floor 1.500", "floor of the window 1.750", "clip"] {
            #expect(page.labels.contains(label), "\(label)")
        }
        // A plot for a key that nothing else shows.
        #expect(page.text.contains("Validation masked accuracy"))
    }

    @Test("Answers are plotted by distance, with chance")
    func questionsByDistance() throws {
        let all = (1...4).map { step in
            metrics(
                step, bits: 2,
                extra: step % 2 == 0
                    ? ["answered_to_100": 0.25 * Double(step), "answered_to_1000": 0.5, "answered_by_chance": 0.0625]
                    : [:])
        }
        let page = PageText(RunReport(try record(all)).html)
        #expect(page.headings.contains("Memory"))
        for label in ["up to 100", "300–1k", "100%", "50%", "chance"] {
            #expect(page.labels.contains(label), "\(label)")
        }
        #expect(!page.labels.contains("100–300"))
        #expect(page.text.contains("After step 4."))
        #expect(!PageText(RunReport(try record([metrics(1, bits: 2)])).html).headings.contains("Memory"))
        #expect(
            [100, 300, 1000, 3000, 10_000, 100_000].map { DistanceGroup(bound: $0).label } == [
                "up to 100", "100–300", "300–1k", "1k–3k", "3k–10k", "10k–100k",
            ])
    }

    @Test("Logs may say less than 0 bits")
    func negativeBits() throws {
        for (early, late) in [(100, -1), (5, -1e300), (-1, -2), (1e300, -1e-300)] as [(Double, Double)] {
            let all = (0..<500).map {
                metrics($0 + 1, bits: $0 < 10 ? early : late - Double($0 % 7) * abs(late) * 0.01)
            }
            let html = RunReport(try record(all)).html
            #expect(html.contains("<svg") && !html.contains("nan"))
        }
    }

    @Test("Metrics that are not finite, zero, negative, or absent make a whole page", arguments: [0, 1, 2, 500])
    func strangeMetrics(count: Int) throws {
        for bits in [2, .nan, .infinity, 0, -1] as [Double] {
            let all = (0..<count).map {
                metrics(
                    $0 + 1, bits: bits, extra: ["validation_bits_per_byte": bits, "answered_to_300": .nan, "x": bits])
            }
            let html = RunReport(try record(all)).html
            let page = PageText(html)
            #expect(!html.contains("nan") && !html.contains("inf,") && page.text.contains("step \(count) of 6"))
            #expect(
                page.row("training, last step") == [
                    count == 0 || !bits.isFinite
                        ? bits == .infinity && count > 0 ? "∞" : "–"
                        : String(format: "%.4f", bits).replacing("-", with: "−"), count == 0 ? "" : "\(count)",
                ])
        }
    }

    @Test("The latest samples and the first are shown, escaped")
    func samplesFromTheLastToTheFirst() throws {
        let hostile = "</pre><script>alert(1)</script>&amp;\0 http://a"
        let samples = (1...30).map { Sample(step: $0 * 10, prompt: "p\($0)", text: $0 == 30 ? hostile : "t\($0)") }
        let page = PageText(RunReport(try record([metrics(300, bits: 2)], samples: samples)).html)
        let shown = page.elements.filter { $0.name == "b" }.map(\.text)
        #expect(shown == (22...30).reversed().map { "p\($0)" } + ["p1"])
        #expect(
            page.elements.first { $0.name == "span" && $0.text.contains("alert") }?.text
                == hostile.replacing("\0", with: "\u{FFFD}"))
        #expect(!page.elements.contains { $0.name == "script" })
        #expect(page.text.contains("20 more are in samples.jsonl."))
        #expect(page.text.contains("After step 300"))
    }

    @Test("The page's commands can be pasted into a shell")
    func commandsCanBePasted() throws {
        let page = PageText(RunReport(try record([metrics(6, bits: 2)])).html)
        let commands = try #require(page.elements.last { $0.name == "pre" }).text.split(separator: "\n")
        #expect(
            commands == [
                "swift run -c release Train --resume 'runs/a run' --steps 12",
                "swift run -c release Generate --run 'runs/a run' --prompt 'Once upon a time'",
                "swift run -c release Evaluate --run 'runs/a run'",
                "swift run -c release Report --runs 'runs/a run'",
            ])
        // Not finished: nothing to add. And a model that the commands do not know cannot be made again by them.
        #expect(RunReport(try record([metrics(5, bits: 2)])).html.contains("a run&#39;\nswift run"))
        #expect(!PageText(RunReport(try record([], model: RunOrigin().model)).html).headings.contains("Commands"))
        let other = try record([metrics(6, bits: 2)])
        for objective in ObjectiveKind.allCases {
            var configuration = other.configuration
            configuration.training.objective = objective
            let run = RunRecord(
                name: "a run", path: "a run", configuration: configuration, parameters: nil, metrics: other.metrics,
                samples: [])
            #expect(RunReport(run).html.contains("Generate --run") == (objective != .masked))
        }
        #expect(
            "it's".shellQuoted == #"'it'\''s'"# && "-x".pathArgument.shellQuoted == "./-x"
                && "".shellQuoted == "''")
        #expect("runs/flash-1".pathArgument.shellQuoted == "runs/flash-1" && "a;b".shellQuoted == "'a;b'")
    }

    // MARK: Parts

    @Test("The plot cuts off the first steps if they would squash the rest")
    func theFirstStepsDoNotSquashTheRest() throws {
        let learning = (1...200).map { metrics($0, bits: 2 + 6 * exp(-Double($0) / 4)) }
        let range = BitsRange([try record(learning)])
        let shown = try #require(range.shown)
        #expect(shown.lowerBound > 1.5 && shown.lowerBound < 2 && shown.upperBound < 3)
        #expect(range.cut == learning[0].bitsPerByte)
        #expect(range.caption == "The first steps, from 6.7 bits down, are cut off.")
        // Nothing to cut: a slow descent, few steps, or none.
        for all in [(1...200).map { metrics($0, bits: 3 - Double($0) / 200) }, Array(learning[..<10]), []] {
            let range = BitsRange([try record(all)])
            #expect(range.shown == nil && range.caption == nil)
        }
    }

    @Test(
        "Durations are written in words",
        arguments: [
            (0.84, "0.8 s"), (45, "45 s"), (59.7, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"),
            (273_600, "3 d 4 h"),
            (.nan, "–"),
        ])
    func durations(seconds: Double, text: String) { #expect(ReportText.duration(seconds) == text) }
}
