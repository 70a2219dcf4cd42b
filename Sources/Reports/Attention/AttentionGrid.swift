import Foundation
import NN
import Tensors

/// Pictures of the weights of attention: a row a layer, a column a head; queries go down, keys (or slots) across. Layers
/// of a single head are placed side by side.
///
/// Each picture has a scale of its own, from its least (white) to its greatest value (dark red), after averaging where it
/// has fewer dots than weights; so do those of linformer-pytorch's Visualizer, without the averaging.
public struct AttentionGrid: Sendable {
    /// The layers, from top to bottom.
    public var layers: [AttentionRecorder.Layer]
    /// The title above the pictures.
    public var title: String
    /// A line below the title; may be empty.
    public var note = ""
    /// The row of the batch.
    public var batchRow = 0
    /// The heads that are drawn, from 0, those that a layer has; nil for all.
    public var heads: [Int]?
    /// The first so many queries are drawn; nil for all.
    public var nLimit: Int?
    /// True if all pictures have the same scale.
    public var sharesScale = false
    /// The colors from the least weight to the greatest.
    public var colors = ColorMap.reds

    /// Creates pictures of all heads and queries.
    public init(_ layers: [AttentionRecorder.Layer], title: String = "Visualization of Attention Heads") {
        self.layers = layers
        self.title = title
    }

    /// A row of pictures with the name at its left, and the line under each picture.
    struct Row {
        var name: String?
        var panels: [AttentionPanel] = []
        var captions: [String] = []

        var height: Int { panels.map(\.height).max() ?? 0 }
    }

    /// The pictures with their names.
    public func draw() -> Raster {
        require(
            layers.allSatisfy { (0..<max($0.weights.shape[0], 1)).contains(batchRow) } && nLimit ?? 1 >= 1,
            "AttentionGrid: row \(batchRow) of batches of \(layers.map { $0.weights.shape[0] }), n_limit \(nLimit ?? 1)"
        )
        return GridLayout(self, rows).draw()
    }

    /// Draws them into a PNG file.
    /// - Throws: `InputError` where there are none, or that names the path and the system's reason.
    public func write(to path: String) throws {
        guard !shown.isEmpty else {
            throw InputError("\(path): the model has no matrices of attention that could be drawn")
        }
        try draw().write(to: path)
    }

    // MARK: Rows

    /// Dots of the whole that pictures may take, and the least and the most for one of them.
    private static let room = (width: 1600, height: 2400)
    private static let sizes = 96...320

    /// A layer and those of its heads that are drawn.
    private struct Shown {
        let layer: AttentionRecorder.Layer
        let heads: [Int]
    }

    private var shown: [Shown] {
        layers.map { layer in
            let all = 0..<layer.weights.shape[1]
            return Shown(layer: layer, heads: heads.map { $0.filter(all.contains) } ?? Array(all))
        }
        .filter { !$0.heads.isEmpty && $0.layer.weights.count > 0 }
    }

    private var rows: [Row] {
        let shown = self.shown
        let isByLayer = shown.count > 1 && shown.allSatisfy { $0.layer.weights.shape[1] == 1 }
        let most = shown.map(\.heads.count).max() ?? 1
        let across = isByLayer ? Int(Double(shown.count).squareRoot().rounded(.up)) : most
        let down = isByLayer ? (shown.count + across - 1) / across : shown.count
        let fitting = min(Self.room.width / across, Self.room.height / max(down, 1))
        let size = min(max(fitting, Self.sizes.lowerBound), Self.sizes.upperBound)
        if isByLayer { return sideBySide(shown.map(\.layer), across, size) }
        return shown.enumerated().map { index, row in
            // A head is named where no layer below has it, so once a column.
            let below = shown[(index + 1)...].map(\.heads.count).max() ?? 0
            return Row(
                name: row.layer.name, panels: row.heads.map { panel(row.layer, $0, size) },
                captions: row.heads.enumerated().map { $0 < below ? "" : "Head \($1 + 1)" })
        }
    }

    private func sideBySide(_ layers: [AttentionRecorder.Layer], _ across: Int, _ size: Int) -> [Row] {
        stride(from: 0, to: layers.count, by: across).map { start in
            let some = layers[start..<min(start + across, layers.count)]
            return Row(panels: some.map { panel($0, 0, size) }, captions: some.map(\.name))
        }
    }

    private func panel(_ layer: AttentionRecorder.Layer, _ head: Int, _ size: Int) -> AttentionPanel {
        let weights = layer.weights.at(0, batchRow).at(0, head)  // [n, m]
        let limit = min(nLimit ?? weights.shape[0], weights.shape[0])
        return AttentionPanel(weights.sliced(0, to: limit), size: size)
    }
}
