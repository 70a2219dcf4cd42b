import AttentionZooReports
import Foundation
import ModelZoo

/// Plots and tables of the models, from all finished cells: a page, a document, and text for a terminal.
///
/// Tasks without results are left out, so that a part of a comparison has its report too.
package struct ComparisonReport: Sendable {
    let results: ComparisonResults
    /// All there are, in the order of every table and plot.
    let models: [ComparedModel]

    /// The report of what is finished.
    package init(_ results: ComparisonResults) {
        self.results = results
        models = ComparedModel.ordered(
            results.text.map(\.model) + results.recall.map(\.model) + results.scale.map(\.model)
                + (results.published ?? []).map(\.cell.model))
    }

    /// The texts that have results, in the order in which they came.
    var texts: [TextNumbers] {
        var names: [String] = []
        for outcome in results.text where !names.contains(outcome.text) { names.append(outcome.text) }
        return names.map { TextNumbers($0, results.text) }
    }

    var scaleNumbers: ScaleNumbers { ScaleNumbers(results.scale) }

    /// The tasks that have results.
    var tasks: [RecallNumbers] {
        RecallTaskName.allCases.map { RecallNumbers($0, results.recall) }.filter { !$0.ids.isEmpty }
    }

    var sections: [ReportSection] {
        guard !models.isEmpty else { return [] }
        return [summarySection].compactMap { $0 } + textSections + recallSections
            + [publishedSection, scaleSection, setUpSection].compactMap { $0 }
    }

    static let title = "Attention compared"

    /// One line on what was compared, where and when.
    var subtitle: String {
        [results.machine.description, results.machine.date, "AttentionZoo \(results.version)"].joined(separator: " · ")
    }

    // MARK: What is written

    /// The plots of the page in its order, and the names, without an ending, of the files that hold them
    /// one by one: `recall-mqar` is in recall-mqar.svg.
    package var plots: [(name: String, plot: LinePlot)] {
        sections.flatMap(\.plots).map { ($0.name, $0.plot) }
    }

    /// The document, which needs nothing beside it.
    package var html: String {
        var page = Page(Self.title, subtitle: subtitle)
        page.add("", .paragraph(introduction))
        for section in sections { page.add(section.title, section.html) }
        return page.html
    }

    /// Sections of GitHub's markdown, without a title. The plots are links to the files that `plots` names.
    /// - Parameter images: the folder of these files, as a path from the document; empty for the document's own.
    package func markdown(images: String) -> String {
        let folder = images.isEmpty || images.hasSuffix("/") ? images : images + "/"
        let head = Markdown.escape(introduction) + "\n\n" + Markdown.escape(subtitle) + "\n\n"
        return head + sections.map { $0.markdown(images: folder) }.joined()
    }

    /// The same with the plots beside the document.
    package var markdown: String { markdown(images: "") }
}
