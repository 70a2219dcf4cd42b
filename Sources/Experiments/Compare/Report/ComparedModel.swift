import AttentionZooReports
import ModelZoo

/// The name, the rank, and the look of a model in reports: the same everywhere.
struct ComparedModel: Hashable, Sendable {
    /// The id of full attention, which the others are compared with, and of its form with all n² scores in memory.
    static let (full, naive) = ("transformer", "naive")

    let id: String
    let name: String
    /// The indices of color, dash, and shape of points in the palette.
    let color: Int, dash: Int, marker: Int

    /// In the order of reports. Baselines have the color of the text; no two dashes and shapes are the same, so that
    /// lines are told apart in black and white too.
    private static let known = [
        ComparedModel(id: full, name: "Transformer (full attention)", color: 6, dash: 0, marker: 0),
        ComparedModel(id: naive, name: "Naive attention", color: 6, dash: 6, marker: 6),
        ComparedModel(id: "flash", name: "FLASH", color: 0, dash: 1, marker: 1),
        ComparedModel(id: "local", name: "Local attention", color: 1, dash: 3, marker: 2),
        ComparedModel(id: "linformer", name: "Linformer", color: 2, dash: 4, marker: 3),
        ComparedModel(id: "fast-weights", name: "Fast weights", color: 3, dash: 5, marker: 4),
        ComparedModel(id: "block-recurrent", name: "Block-recurrent", color: 4, dash: 2, marker: 5),
    ]

    /// The models of these ids in the order of reports; those that it does not know come last, by their ids.
    static func ordered(_ ids: some Sequence<String>) -> [ComparedModel] {
        let ids = Set(ids)
        let unknown = ids.subtracting(known.map(\.id)).sorted().enumerated().map { index, id in
            // From here on the palette's pairs of color and dash are not those above.
            ComparedModel(id: id, name: id, color: 21 + index, dash: 21 + index, marker: index)
        }
        return known.filter { ids.contains($0.id) } + unknown
    }

    /// A line over numbers, with its points marked.
    func series(_ points: [(x: Double, y: Double)]) -> Series {
        Series(
            name, x: points.map(\.x), y: points.map(\.y), style: .points, color: color, dash: dash, marker: marker)
    }
}

/// Names as an enumeration: A, B and C.
func enumeration(_ names: [String]) -> String {
    guard let last = names.last, names.count > 1 else { return names.first ?? "" }
    return names.dropLast().joined(separator: ", ") + " and " + last
}
