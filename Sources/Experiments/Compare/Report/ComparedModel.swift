import AttentionZooReports
import ModelZoo

/// A model in reports: its name, its rank and its look are the same everywhere.
struct ComparedModel: Hashable, Sendable {
    /// The id of full attention, which the others are compared with, and of its form with all n² scores in memory.
    static let (full, naive) = ("transformer", "naive")

    let id: String
    let name: String
    let style: PlotStyle

    /// In the order of reports: the baselines first, in the color of the text, then the zoo's entries in their order. No two
    /// dashes and shapes are the same, so that lines are told apart in black and white too.
    private static var known: [ComparedModel] {
        let naiveAttention = ComparedModel(
            id: naive, name: "Naive attention", style: PlotStyle(color: 6, dash: 6, marker: 6))
        let entries = Zoo.architectures.enumerated().map { index, entry in
            ComparedModel(id: entry.id, name: entry.displayName, style: entry.plotStyle ?? ownStyle(index))
        }
        return entries.filter { $0.id == full } + [naiveAttention] + entries.filter { $0.id != full }
    }

    /// A look for what brings none: the palette's pairs of color and dash from 21 on are not those of the zoo.
    private static func ownStyle(_ index: Int) -> PlotStyle {
        PlotStyle(color: 21 + index, dash: 21 + index, marker: index % 7)
    }

    /// The models of these ids in the order of reports; those that the zoo does not know come last, by their ids.
    static func ordered(_ ids: some Sequence<String>) -> [ComparedModel] {
        let (ids, known) = (Set(ids), known)
        let unknown = ids.subtracting(known.map(\.id)).sorted().enumerated().map { index, id in
            ComparedModel(id: id, name: id, style: ownStyle(index))
        }
        return known.filter { ids.contains($0.id) } + unknown
    }

    /// A line over numbers, with its points marked.
    func series(_ points: [(x: Double, y: Double)]) -> Series {
        Series(
            name, x: points.map(\.x), y: points.map(\.y), style: .points, color: style.color,
            dash: style.dash, marker: style.marker)
    }
}

/// Names as an enumeration: A, B and C.
func enumeration(_ names: [String]) -> String {
    guard let last = names.last, names.count > 1 else { return names.first ?? "" }
    return names.dropLast().joined(separator: ", ") + " and " + last
}
