import AttentionZooReports
import AttentionZooTestSupport
import ModelZoo
import Testing

@testable import AttentionZooExperiments

@Suite("A comparison's documents and its text in the terminal") struct ReportDocumentTests {
    private let whole = ComparisonReport(ReportSample.whole)

    @Test("The Markdown document is well-formed and complete")
    func markdownIsWhole() throws {
        let lines = whole.markdown.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        // Every row of a table has as many cells as its head.
        var cells: Int?
        for line in lines {
            let count = line.hasPrefix("|") ? line.replacing("\\|", with: "").count { $0 == "|" } : nil
            if let count, let cells { #expect(count == cells, "\(line)") }
            cells = count
        }
        #expect(lines.contains { $0.hasPrefix("| FLASH | **") })
        for (name, plot) in whole.plots { #expect(lines.contains("![\(plot.title)](\(name).svg)"), "\(name)") }
        #expect(whole.markdown(images: "comparison").contains("](comparison/scale-memory.svg)"))
        // Tables and lists are apart from what stands before them.
        for (before, line) in zip(lines, lines.dropFirst()) where line.hasPrefix("|") || line.hasPrefix("#") {
            #expect(before.isEmpty || before.hasPrefix("|"), "\(line)")
        }
        #expect(!whole.markdown.contains("<"))
    }

    /// Names that differ only by what slugs leave out are numbered.
    @Test("Plots of similarly named texts have different file names on every file system")
    func filesHaveNamesOfTheirOwn() {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        let names = ["a b.txt", "a-b.txt", "A.txt", "a.txt", "é.txt", "ü.txt", "a-b-txt-2"]
        results.text = names.flatMap { ReportSample.outcomes($0) }
        let plots = ComparisonReport(results).plots.map(\.name)
        let expected = ["a-b-txt", "a-b-txt-2", "a-txt", "a-txt-2", "--txt", "--txt-2", "a-b-txt-2-2"]
        #expect(plots == expected.flatMap { ["text-\($0)-by-time", "text-\($0)-by-tokens"] })
    }

    @Test("The longest sequence is marked if nothing stopped it")
    func longestSequencesThatCouldBeLongerAreMarked() {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        // No power of 2 times 512: the last length is 2048.
        results.options.scale.longest = 3000
        results.scale = ReportSample.scale.filter { $0.length <= 2048 && ["flash", "local"].contains($0.model) }
        results.scale[5].skipped = "took 61 s a pass, more than the 60 s allowed"
        let report = ComparisonReport(results)
        #expect(PageText(report.html).row("FLASH")?.first == "≥ 2k")
        #expect(PageText(report.html).row("Local attention")?.first == "1k")
        #expect(report.text.contains("≥ 2k"))
    }

    @Test("The page describes the training and departures from the papers")
    func trainingIsSpelledOut() {
        let text = PageText(whole.html).text
        for part in [
            "all models with one constant learning rate, 0.003", "8,192", "up to 8 times before the end",
            "begins each sequence, which the paper has not", "each is foreseen from the true ones before it",
        ] { #expect(text.contains(part), "\(part)") }
    }

    /// A segment, within which gradients pass, is a whole sequence.
    @Test("The page is right that gradients pass through whole sequences", arguments: [512, 1000, 1 << 18])
    func gradientsPassThroughWholeSequences(_ length: Int) throws {
        #expect(PageText(whole.html).text.contains("all are differentiated through the whole sequence"))
        let configuration = BlockRecurrentArchitecture().configuration(ModelSize(width: 64, sequenceLength: length))
        #expect(configuration.maximumLength >= length)
    }

    @Test("Names are escaped in HTML and Markdown")
    func namesCannotBecomeMarkup() {
        var results = ReportSample.whole
        let name = "</td><script>&|_*"
        for index in results.text.indices { results.text[index].text = name }
        for index in results.scale.indices { results.scale[index].model = name }
        let report = ComparisonReport(results)
        let page = PageText(report.html)
        #expect(!page.elements.contains { $0.name == "script" })
        #expect(page.rows.contains { $0[0] == name })
        #expect(report.markdown.contains("\\</td>\\<script>&\\|\\_\\*"))
        #expect(report.plots.allSatisfy { $0.name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "-" } })
    }

    @Test("The terminal shows short tables")
    func terminalHasShortTables() {
        let text = whole.text
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines.filter { $0.hasPrefix("FLASH ") }.count == 3)
        #expect(lines.contains("Longer sequences, at 8k tokens"))
    }
}
