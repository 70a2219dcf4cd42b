import AttentionZooReports
import AttentionZooTestSupport
import ModelZoo
import Testing

@testable import AttentionZooExperiments

/// The page, the document and the terminal's text of a comparison.
@Suite struct ReportTests {
    private let whole = ComparisonReport(ReportSample.whole)

    private static let full = "Transformer (full attention)"
    private static let names = [
        full, "Naive attention", "FLASH", "Local attention", "Linformer", "Fast weights", "Block-recurrent",
    ]

    /// The rows of the table with this head.
    private func rows(_ page: PageText, head: String) throws -> [[String]] {
        let start = try #require(page.rows.firstIndex { $0.contains(head) }, "\(head)")
        let width = page.rows[start].count
        return Array(page.rows[(start + 1)...].prefix { $0.count == width && Self.names.contains($0[0]) })
    }

    // MARK: Page

    @Test("The page has all its parts")
    func pageHasAllParts() {
        let page = PageText(whole.html)
        #expect(page.title == "Attention compared")
        #expect(
            page.headings == [
                "Summary", "Learning a text: a_story.txt", "Learning a text: the built-in corpus",
                "Recall: Multi-query associative recall", "Recall: Induction heads", "Recall: Selective copying",
                "Recall: Passkey retrieval", "Recall: Questions of the built-in corpus", "Longer sequences",
                "Models and options",
            ])
        for text in [
            "Example Processor at 2.0 GHz", "2 threads", "2026-11-22", "give or take 3.0%",
            "Those of recall have 210,000 to 215,000 parameters.", "within 60 s and 8 GB",
            "8 windows of 512 tokens", "from 64k tokens on: would take about",
        ] { #expect(page.text.contains(text), "\(text)") }
        #expect(!whole.html.contains("src=") && !whole.html.contains("href=") && !whole.html.contains("nan"))
    }

    @Test("Models have one order, and one color, dash, and marker each")
    func modelsHaveOneOrderAndOneLook() throws {
        let page = PageText(whole.html)
        for head in ["longest sequence", "recall: MQAR", "generated tokens/s", "256k", "µs per token", "width"] {
            let found = try rows(page, head: head).map { $0[0] }
            #expect(found.count > 5 && found == Self.names.filter(found.contains), "\(head)")
        }
        var looks: [String: Set<[Int?]>] = [:]
        for (_, plot) in whole.plots {
            let names = plot.series.map(\.name).filter { $0 != "a guess" }
            #expect(names == Self.names.filter(names.contains), "\(plot.title)")
            for line in plot.series where line.name != "a guess" {
                looks[line.name, default: []].insert([line.color, line.dash, line.marker])
            }
        }
        // Each has one, and in black and white no two are the same.
        #expect(looks.count == 7 && looks.values.allSatisfy { $0.count == 1 })
        #expect(Set(looks.values.flatMap { $0.map { [$0[1], $0[2]] } }).count == 7)
    }

    @Test("All plots are in the page and named for files")
    func plotsAreInThePageAndInFiles() {
        let names = whole.plots.map(\.name)
        let courses = ["a-story-txt", "corpus"].flatMap { ["text-\($0)-by-time", "text-\($0)-by-tokens"] }
        let recall = [
            "recall-mqar", "recall-mqar-by-distance", "recall-induction", "recall-induction-by-distance",
            "recall-copying", "recall-copying-by-distance", "recall-passkey", "recall-questions-by-distance",
        ]
        let scale = ["forward", "backward", "training", "generation", "memory", "state"].map { "scale-\($0)" }
        #expect(names == courses + recall + scale)
        let page = whole.html
        for (_, plot) in whole.plots { #expect(page.contains(plot.svg)) }
        var one = ReportSample.whole
        one.text = ReportSample.outcomes("a.txt")
        #expect(ComparisonReport(one).plots.map(\.name).prefix(2) == ["text-by-time", "text-by-tokens"])
    }

    // MARK: Tables

    @Test("The summary holds the measured numbers")
    func summaryHoldsTheNumbers() throws {
        let page = PageText(whole.html)
        let heads = try #require(page.rows.first { $0.contains("longest sequence") })
        #expect(
            heads == [
                "model", "bits per byte, a_story.txt", "bits per byte, the built-in corpus", "training tokens/s",
                "training memory", "generated tokens/s", "longest sequence", "state at 32k",
            ])
        let table = try rows(page, head: "longest sequence")
        #expect(table[0][3...] == ["15,600", "206 MB", "880", "32k", "131 MB"])
        #expect(table[1][1...] == ["–", "–", "–", "–", "–", "8k", "–"])
        #expect(table[2][3...] == ["21,300", "212 MB", "820", "≥ 256k", "512 kB"])
        let best = try #require(ReportSample.whole.text.first { $0.model == "flash" }?.best)
        #expect(table[2][1] == Numbers.text(best, decimals: 3))
        // Read by every model at the length of the training.
        let recall = try rows(page, head: "recall: MQAR")
        #expect(recall[0][1...4] == ["99.0%", "99.0%", "99.0%", "98%"])
        #expect(recall.count == 6)
    }

    @Test("The best of a column is bold")
    func bestOfAColumnIsBold() {
        let table = ModelTable(
            ComparedModel.ordered(["flash", "local", "linformer", "other"]),
            [
                .init(
                    "a", best: .least, { Numbers.text($0) },
                    value: { ["flash": 1.2, "local": 1.4, "linformer": 3][$0.id] }),
                .init(
                    "b", best: .greatest, { Numbers.text($0) },
                    value: { ["flash": 1, "local": .nan, "linformer": 3][$0.id] }),
                .init("none", { Numbers.text($0) }, value: { _ in .nan }),
                .init("alone", best: .least, { Numbers.text($0) }, value: { $0.id == "flash" ? 1 : nil }),
                .init(
                    "equal", best: .least, { _ in "same" }, value: { ["flash": 1, "local": 2, "linformer": 3][$0.id] }),
            ]
        ).table()
        #expect(table.head == ["model", "a", "b", "alone", "equal"])
        #expect(
            table.rows == [
                ["FLASH", "1", "1", "1", "same"], ["Local attention", "1", "–", "–", "same"],
                ["Linformer", "3", "3", "–", "same"],
            ])
        // What reads the same as the best is marked with it; a lone number, or equal ones, are not.
        #expect(table.marked == [.init(row: 0, column: 1), .init(row: 1, column: 1), .init(row: 2, column: 2)])
    }

    /// A guess finds 31 of 1000 answers; one guess in 16 finds 40 and more, one in millions finds 60.
    @Test("The best of a column is not bold if a guess may find as much", arguments: [(40, false), (60, true)])
    func guessesAreNotBold(found: Int, isBold: Bool) {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        results.recall = ["flash", "linformer"].map { model in
            let accuracy = RecallOutcome.Accuracy(
                length: 256, asked: 1000, found: model == "flash" ? found : 31, chance: 1.0 / 32)
            return RecallOutcome(
                task: .mqar, model: model, parameters: 1, steps: 1, seconds: 1, trainingLength: 256, chance: 1.0 / 64,
                reach: nil, accuracies: [accuracy])
        }
        let report = ComparisonReport(results)
        let marked = ModelTable(report.models, report.recallSummary()).table().marked
        #expect(marked == (isBold ? [.init(row: 0, column: 1)] : []))
        // In the summary and in the task's own table.
        let share = "**\(ComparisonText.share(Double(found) / 1000))**"
        #expect(report.markdown.components(separatedBy: share).count - 1 == (isBold ? 2 : 0))
    }

    @Test("The longest sequence is open unless a cell stopped it, whatever the last command asked for")
    func theLongestSequenceIsOpenWhereNothingStoppedIt() throws {
        var results = ReportSample.whole
        results.options.scale.longest = 1024
        let table = try rows(PageText(ComparisonReport(results).html), head: "longest sequence")
        #expect(table[0][6] == "32k" && table[2][6] == "≥ 256k")
    }

    @Test("The text table compares at a time and a number of tokens that all have reached")
    func textTableHasWhatAllHaveReached() throws {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        func outcome(_ model: String, _ points: [(Double, Int, Double)], fault: String? = nil) -> TextOutcome {
            TextOutcome(
                text: "t", checksum: "", model: model, parameters: 1_000_000, width: 64, steps: 10, tokens: 1000,
                seconds: 10, tokensPerSecond: 100, peakMegabytes: fault == nil ? 10 : nil,
                generationTokensPerSecond: 50, generationPrompt: 447,
                validations: points.map { .init(step: 1, tokens: $0.1, seconds: $0.0, bitsPerByte: $0.2) }, fault: fault
            )
        }
        results.text = [
            outcome("flash", [(10, 1000, 3), (20, 2000, 2), (30, 3000, 1.5)]),
            outcome("local", [(12, 500, 4), (25, 1500, 2.5)]),
            // Ended by a fault: it does not hold the others back.
            outcome("linformer", [(5, 100, 5), (8, 200, .nan)], fault: "numbers are not finite"),
        ]
        let page = PageText(ComparisonReport(results).html)
        let heads = try #require(page.rows.first { $0.contains("steps") })
        #expect(heads[5...6] == ["bits per byte after 25 s", "bits per byte after 1,500 tokens"])
        let table = try rows(page, head: "steps")
        #expect(
            table.map { Array($0[4...6]) } == [
                ["1.500", "1.750", "2.500"], ["2.500", "2.500", "2.500"], ["5.000", "–", "–"],
            ])
        #expect(table[2][8] == "–")
        #expect(page.text.contains("Linformer did not come to the end: numbers are not finite."))
    }

    @Test("Recall tables have dashes for sequences that a model cannot read")
    func recallTablesHaveDashesWhereAModelCannotRead() throws {
        let page = PageText(whole.html)
        #expect(page.rows.contains(["Linformer", "60%", "60%", "–", "–", "–"]))
        let plot = try #require(whole.plots.first { $0.name == "recall-induction" }).plot
        #expect(plot.series.first { $0.name == "Linformer" }?.x == [64, 256])
        #expect(plot.marks.map(\.value) == [256])
        #expect(
            page.labels.contains("longest trained on") && page.labels.contains("as far as Local attention sees"))
    }

    @Test("The numbers of a scale table share one unit")
    func scaleTablesAreOfOneUnit() throws {
        let page = PageText(whole.html)
        let table = try rows(page, head: "µs per token")
        #expect(table[0] == [Self.full, "33.6", "37.2", "44.3", "58.7", "87.3", "145", "259", "–", "–", "–"])
        #expect(page.rows.contains(["Naive attention", "8k", "0.33×", "0.33×", "0.0014×", "15×"]))
        let plot = try #require(whole.plots.first { $0.name == "scale-memory" }).plot
        #expect(
            plot.series[1].y.last.map { $0 / 1_048_576 }
                == ReportSample.scale.last { $0.model == "naive" && $0.skipped == nil }?.peakMegabytes)
        for label in ["512", "1k", "256k", "1 GB", "100 ms"] { #expect(page.labels.contains(label), "\(label)") }
    }

    @Test("A length measured beyond the budget is in the tables but not within the budget")
    func passedBudgetsAreNotReached() {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        results.scale = ReportSample.scale.filter { $0.model == "flash" && $0.length <= 2048 }
        results.scale[2].skipped = "took 61 s a pass, more than the 60 s allowed"
        let scale = ScaleNumbers(results.scale)
        let flash = ComparedModel.ordered(["flash"])[0]
        #expect(scale.longest(flash) == 1024 && scale.lengths(.training, flash) == [512, 1024, 2048])
        #expect(scale.stop(flash)?.length == 2048)
        #expect(PageText(ComparisonReport(results).html).row("FLASH")?.first == "1k")
    }

    /// They are part of those at all distances.
    @Test("Answers by distance are not counted twice")
    func answersAreCountedOnce() {
        var outcome = ReportSample.outcomes(.copying)[0]
        outcome.accuracies = [
            .init(length: 256, asked: 10, found: 5), .init(length: 256, distance: 128, asked: 4, found: 4),
            .init(length: 256, distance: 256, asked: 6, found: 1),
            .init(length: 512, distance: 128, asked: 4, found: 0),
            .init(length: 512, distance: 512, asked: 4, found: 2),
        ]
        let (task, model) = (RecallNumbers(.copying, [outcome]), ComparedModel.ordered([outcome.model])[0])
        #expect(task.answers(model, length: 256)?.asked == 10 && task.answers(model, length: 512)?.share == 0.25)
        // By distance at the length of the training, which has several.
        #expect(task.answers(model, distance: 128)?.asked == 4 && task.answers(model, distance: 512) == nil)
        #expect(task.answers(model)?.share == 0.5)
    }

    @Test("The page states the steps of each training and its fault")
    func recallSaysHowFarTrainingsCame() {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        results.recall = Array(ReportSample.outcomes(.mqar).prefix(2))
        results.recall[1].steps = 17
        results.recall[1].fault = "diverged after step 17"
        let text = PageText(ComparisonReport(results).html).text
        #expect(text.contains("Steps of training: FLASH 2,000; Local attention 17. Local attention did not come to"))
        #expect(text.contains("come to the end: diverged after step 17."))
    }

    /// All possible answers count if the chance of a length is unknown.
    @Test("A guess is shown for each length")
    func guessesAreOfTheirLength() throws {
        let page = PageText(whole.html)
        #expect(page.rows.contains(["a guess", "25%", "12%", "6.2%", "3.1%", "2.1%"]))
        #expect(page.text.contains("A guess among all possible answers finds 1.6%. A guess that knows what the text"))
        #expect(page.text.contains("but not where (any of its values), finds 3.1% in 256 tokens"))
        #expect(page.text.contains("in any order), finds 2.0% in 256 tokens"))
        func plot(_ name: String, _ report: ComparisonReport) throws -> LinePlot {
            try #require(report.plots.first { $0.name == name }).plot
        }
        let line = try #require(plot("recall-mqar", whole).series.last)
        #expect(line.name == "a guess" && line.x == [32, 64, 128, 256, 384] && line.y[1] == 1.0 / 8)
        #expect(try plot("recall-mqar", whole).references.isEmpty)
        // The same at all lengths, and at all distances of one length.
        #expect(try plot("recall-copying", whole).references.map(\.value) == [0.27])
        #expect(try plot("recall-mqar-by-distance", whole).references.map(\.value) == [1.0 / 32])
        var old = ReportSample.whole
        for index in old.recall.indices {
            for cell in old.recall[index].accuracies.indices { old.recall[index].accuracies[cell].chance = nil }
        }
        #expect(try plot("recall-mqar", ComparisonReport(old)).references.map(\.value) == [1.0 / 64])
        #expect(!ComparisonReport(old).html.contains("but not where"))
    }

    @Test(
        "Shares near 0 % and 100 % have more digits",
        arguments: [
            (1, "100%"), (0.9996, "99.9%"), (0.98, "98%"), (0.995, "99.5%"), (0.004, "0.4%"), (1e-5, "0.001%"),
            (0, "0%"),
        ])
    func sharesNearTheEndsHaveMoreDigits(_ share: Double, _ text: String) {
        #expect(ComparisonText.share(share) == text)
    }

    // MARK: Missing parts

    @Test(
        "The report of each task is whole by itself, as is an empty one",
        arguments: ["text", "recall", "scale", "nothing"])
    func partsStandAlone(_ part: String) throws {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        if part == "text" { results.text = ReportSample.text }
        if part == "recall" { results.recall = ReportSample.recall }
        if part == "scale" { results.scale = ReportSample.scale }
        let report = ComparisonReport(results)
        let page = PageText(report.html)
        #expect(page.headings.contains { $0.hasPrefix("Learning") } == (part == "text"))
        #expect(page.headings.contains { $0.hasPrefix("Recall") } == (part == "recall"))
        #expect(page.headings.contains("Longer sequences") == (part == "scale"))
        #expect(report.text.isEmpty == (part == "nothing"))
        #expect(report.plots.allSatisfy { $0.name.hasPrefix(part) })
        for (_, plot) in report.plots { _ = PageText(plot.svgDocument) }
        if part == "nothing" { #expect(page.text.contains("No cell is finished yet.") && page.headings.isEmpty) }
    }

    @Test("Cells with as little in them as possible make a whole report")
    func singleCells() {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        results.text = [ReportSample.text[0]]
        results.text[0].validations = []
        results.recall = [ReportSample.recall[0]]
        results.recall[0].accuracies = [.init(length: 64, asked: nil, found: nil)]
        results.scale = [ScaleOutcome(model: "flash", length: 512, parameters: 1, skipped: "too <slow>")]
        let report = ComparisonReport(results)
        let page = PageText(report.html)
        #expect(page.text.contains("from 512 tokens on: too <slow>"))
        #expect(!report.html.contains("nan") && !report.markdown.contains("nan"))
    }
}
