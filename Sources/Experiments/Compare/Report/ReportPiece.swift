import AttentionZooReports

/// A piece of a section of the report, so that the page and the document are made from the same.
enum ReportPiece {
    case paragraph(String)
    case heading(String)
    case list([(topic: String, text: String)])
    case table(Table)
    case plot(NamedPlot)
    /// Plots of half the page's width.
    case plots([NamedPlot])
    /// Pictures of the page, and the same as a table for the document.
    case heatmaps([HeatmapPlot], Table)
}

/// A plot that is a file of its own too.
struct NamedPlot {
    /// The name of the file, without its ending.
    let name: String
    var plot: LinePlot
    var caption = ""
}

struct ReportSection {
    let title: String
    let pieces: [ReportPiece]

    var plots: [NamedPlot] {
        pieces.flatMap { piece -> [NamedPlot] in
            switch piece {
            case .plot(let plot): [plot]
            case .plots(let plots): plots
            default: []
            }
        }
    }
}

// MARK: As pages

extension ReportSection {
    var html: HTML { pieces.reduce(.empty) { $0 + $1.html } }
}

extension ReportPiece {
    private static let halfWidth = 430.0

    fileprivate var html: HTML {
        switch self {
        case .paragraph(let text): .paragraph(text)
        case .heading(let text): .heading(text)
        case .list(let items): .list(items)
        case .table(let table): table.html
        case .plot(let plot): Self.figure(plot)
        case .plots(let plots): .pairs(plots.map(Self.figure))
        case .heatmaps(let maps, _):
            .pairs(
                maps.map { map in
                    var map = map
                    map.width = Self.halfWidth
                    return .figure(map.title, svg: map.svg)
                })
        }
    }

    private static func figure(_ plot: NamedPlot) -> HTML {
        .figure(plot.plot.title, caption: plot.caption, svg: plot.plot.svg)
    }
}

// MARK: As documents

extension ReportSection {
    /// - Parameter images: the folder of the plots, as a path from the document.
    func markdown(images: String) -> String {
        "## \(Markdown.escape(title))\n\n" + pieces.map { $0.markdown(images: images) + "\n" }.joined()
    }
}

extension ReportPiece {
    /// Ended by a line end.
    fileprivate func markdown(images: String) -> String {
        func image(_ plot: NamedPlot) -> String {
            let title = Markdown.escape(plot.plot.title)
            let caption = plot.caption.isEmpty ? "" : "\n\n" + Markdown.escape(plot.caption)
            return "![\(title)](\(images)\(plot.name).svg)\(caption)\n"
        }
        return switch self {
        case .paragraph(let text): Markdown.escape(text) + "\n"
        case .heading(let text): "### \(Markdown.escape(text))\n"
        case .list(let items):
            items.map { item in
                let topic = item.topic.isEmpty ? "" : "**\(Markdown.escape(item.topic))** "
                return "- \(topic)\(Markdown.escape(item.text))\n"
            }.joined()
        case .table(let table), .heatmaps(_, let table): table.markdown
        case .plot(let plot): image(plot)
        case .plots(let plots): plots.map(image).joined(separator: "\n")
        }
    }
}
