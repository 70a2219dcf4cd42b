import Foundation
import Tensors

extension StateHistory {
    /// Draws how alike the states are and what is read of each, by block, and the cosines after the last one.
    /// - Parameter subtitle: what was read by which model.
    package func page(title: String = "States of a stream", subtitle: String = "") -> Page {
        var page = Page(title, subtitle: subtitle)
        page.add(
            "",
            .figure(
                "How alike states are", caption: "The mean cosine of two states after each block; 1: they are one.",
                svg: curves("mean cosine", \.meanCosine).svg)
                + .figure(
                    "How many directions they have", caption: "The effective rank of the states after each block.",
                    svg: curves("effective rank", \.rank).svg))
        for read in reads {
            page.add(
                read.name,
                .figure(
                    "What is read of states",
                    caption: "The share of each state, a row, in what the tokens up to the column's read of them.",
                    svg: heatmap(read).svg))
        }
        for (index, states) in written.enumerated() {
            page.add(
                name(index),
                .figure("Cosines", caption: "Of each two states after the last block.", svg: heatmap(states).svg))
        }
        return page
    }

    private func name(_ index: Int) -> String { written.count == 1 ? "States" : "States \(index + 1)" }

    /// A line for the states of each layer.
    func curves(_ quantity: String, _ value: (States) -> Double) -> LinePlot {
        let series = written.enumerated().map { index, states in
            Series(name(index), x: tokens.map(Double.init), y: states.map(value))
        }
        return LinePlot(
            quantity, x: Axis("tokens read", includesZero: true), y: Axis(quantity, includesZero: true),
            series: series, height: 260)
    }

    /// The states a layer reads, by block.
    func heatmap(_ read: Read) -> HeatmapPlot {
        let states = (read.shares.first ?? []).indices
        return HeatmapPlot(
            "What is read of each state", rows: states.map { "State \($0 + 1)" }, columns: tokens.map(String.init),
            values: states.map { state in read.shares.map { $0[state] } })
    }

    /// The cosines of the last states.
    func heatmap(_ states: [States]) -> HeatmapPlot {
        let cosines = states.last?.cosines ?? []
        return HeatmapPlot(
            "Cosines of states", rows: cosines.indices.map { "State \($0 + 1)" },
            columns: cosines.indices.map { "\($0 + 1)" }, values: cosines, range: -1...1)
    }

    /// Writes the page as `.html`.
    /// - Throws: `InputError` that names the path.
    public func write(to path: String, title: String = "States of a stream", subtitle: String = "") throws {
        guard (path as NSString).pathExtension.lowercased() == "html" else {
            throw InputError("\(path): expected a name that ends in .html")
        }
        try AtomicFile.write(Data(page(title: title, subtitle: subtitle).html.utf8), to: path)
    }
}
