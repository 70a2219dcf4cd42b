import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import AttentionZooReports

/// Layers as a model shows them.
func recorded(_ weights: [Tensor], names: [String?]? = nil) -> [AttentionRecorder.Layer] {
    let recorder = AttentionRecorder()
    for (index, tensor) in weights.enumerated() { recorder.record(tensor, name: names?[index]) }
    return recorder.layers
}

@Suite struct AttentionPanelTests {
    @Test("Few weights are drawn as squares")
    func fewWeightsBecomeSquaresOfDots() {
        let panel = AttentionPanel(Tensor([0, 1, 2, 3, 4, 5], shape: [2, 3]), size: 20)
        #expect((panel.width, panel.height) == (18, 20))
        #expect(panel.range == 0...5)
        var raster = Raster(width: 20, height: 22)
        panel.draw(on: &raster, x: 1, y: 2, range: panel.range, .reds)
        for y in 0..<20 {
            for x in 0..<18 {
                let value = Double(y / 10 * 3 + x / 6)
                #expect(raster[x + 1, y + 2] == ColorMap.reds(value / 5), "\(x), \(y)")
            }
        }
        #expect(raster[1, 2] == .white && raster[18, 21] == ColorMap.reds(1))
        #expect(raster[0, 5] == .white && raster[19, 5] == .white)
    }

    /// Nothing is left out, even if the numbers do not divide.
    @Test("Many weights are averaged over areas", arguments: [(12, 4), (10, 4), (7, 5), (5, 5), (1000, 96)])
    func manyWeightsAreAveraged(n: Int, count: Int) {
        let matrix = AttentionPanel.averages(n, count)
        #expect(matrix.shape == [count, n])
        // Rounded to 6e-8 of at most 1, up to 12 of them.
        #expect(matrix.sum(axes: [1]).values.allSatisfy { abs($0 - 1) < 1e-6 })
        let share = Float(count) / Float(n)
        #expect(matrix.sum(axes: [0]).values.allSatisfy { abs($0 - share) < 1e-6 })
    }

    @Test("Averages are taken over both axes")
    func averagesOfBothAxes() {
        let weights = Tensor((0..<24).map(Float.init), shape: [4, 6])
        let panel = AttentionPanel(weights, size: 3)
        #expect((panel.rows, panel.columns, panel.width, panel.height) == (3, 3, 3, 3))
        // Rows 4 → 3: the first is of row 0 and a third of row 1, in columns 0 and 1: (0.5 + 6.5 / 3) · 3/4.
        #expect(abs(panel.range!.lowerBound - 2) < 1e-5 && abs(panel.range!.upperBound - 21) < 1e-5)
    }

    @Test("Constant weights are white, missing ones gray")
    func constantAndMissingWeights() {
        func colors(_ values: [Float]) -> [Color] {
            let panel = AttentionPanel(Tensor(values, shape: [1, values.count]), size: values.count)
            var raster = Raster(width: values.count, height: values.count)
            panel.draw(on: &raster, x: 0, y: 0, range: panel.range, .reds)
            return values.indices.map { raster[$0, 0] }
        }
        #expect(colors([0.5, 0.5]) == [.white, .white])
        #expect(
            colors([0, .nan, 1, .infinity]) == [
                .white, ColorMap.reds.missing, ColorMap.reds(1), ColorMap.reds.missing,
            ])
        #expect(colors([.nan, .nan]) == [ColorMap.reds.missing, ColorMap.reds.missing])
    }
}

@Suite struct AttentionGridTests {
    /// Squares of one color that show where pictures are: each head of each layer of a value of its own.
    private let twoByThree: [AttentionRecorder.Layer] = {
        func weights(_ factor: Float) -> Tensor {
            let values: [Float] = (0..<2 * 3 * 16).map { (place: Int) -> Float in
                let (matrix, element) = (Float(place / 16 + 1), Float(place % 16))
                return factor * matrix * element
            }
            return Tensor(values, shape: [2, 3, 4, 4])
        }
        return recorded([weights(1), weights(2)])
    }()

    private func dark(_ raster: Raster) -> Int {
        let end = ColorMap.reds(1)
        var count = 0
        for y in 0..<raster.height {
            for x in 0..<raster.width where raster[x, y] == end { count += 1 }
        }
        return count
    }

    @Test("Each layer is a row and each head a column")
    func aRowALayerAColumnAHead() {
        let raster = AttentionGrid(twoByThree, title: "T").draw()
        let width = 2 * 28 + 24 + 3 * 320 + 2 * 12
        // Pictures of 4 × 80 dots, 12 between them; the darkest square of each is 80 × 80, and the key ends dark.
        #expect(raster.width == width)
        #expect(dark(raster) >= 6 * 80 * 80 && dark(raster) < 6 * 80 * 80 + 14 * 5)
    }

    @Test("Title and labels are drawn at their places")
    func titleAndLabelsAreDrawn() {
        var grid = AttentionGrid(twoByThree, title: "Title")
        let raster = grid.draw()
        // Below 28 dots of margin and 36 of title come 12 of nothing, then pictures of 320 dots, 12 between them.
        var texts = Raster(width: raster.width, height: raster.height)
        texts.write("Title", x: raster.width / 2 - PixelFont.width(of: "Title") * 3 / 2, y: 28, scale: 3)
        for row in 0..<2 {
            let (middle, label) = (76 + 332 * row + 160, "Layer \(row + 1)")
            texts.write(label, x: 28, y: middle + PixelFont.width(of: label), scale: 2, upwards: true)
        }
        for column in 0..<3 {
            let middle = 52 + 332 * column + 160
            let label = "Head \(column + 1)"
            texts.write(label, x: middle - PixelFont.width(of: label), y: 76 + 332 + 320 + 8, scale: 2)
        }
        var (dots, wrong) = (0, 0)
        for y in 0..<raster.height {
            for x in 0..<raster.width where texts[x, y] != .white || raster[x, y] == .black {
                dots += 1
                if raster[x, y] != texts[x, y] { wrong += 1 }
            }
        }
        #expect(wrong == 0 && dots > 2000, "\(wrong) of \(dots) dots")
        grid.title = "Other"
        #expect(grid.draw() != raster)
        grid.title = "Title"
        grid.note = "a note below"
        #expect(grid.draw().height == raster.height + 24)
        grid.note = ""
        grid.heads = [2]
        let one = grid.draw()
        #expect(one.width == 28 * 2 + 420)
        // The same picture as the last column's.
        #expect(dark(one) >= 2 * 80 * 80 && dark(one) < 2 * 80 * 80 + 14 * 5)
        #expect(
            grid.draw()
                != {
                    grid.heads = [1]
                    return grid.draw()
                }())
    }

    @Test("Only the first n_limit rows are shown")
    func nLimitIsHowManyRowsAreShown() {
        var grid = AttentionGrid(twoByThree, title: "T")
        let whole = grid.draw()
        grid.nLimit = 2
        let part = grid.draw()
        // Rows are drawn twice as high, and the greatest of them is another: darkest again.
        #expect(part.height == whole.height && part != whole)
        #expect(dark(part) >= 6 * 80 * 160)
        grid.nLimit = 99
        #expect(grid.draw() == whole)
    }

    @Test("The row of the batch and a common scale can be chosen")
    func theBatchRowAndTheScaleCanBeChosen() {
        var grid = AttentionGrid(twoByThree, title: "T")
        let own = dark(grid.draw())
        // On one scale only the second layer's third head reaches the end.
        grid.sharesScale = true
        let common = dark(grid.draw())
        #expect(own >= 6 * 6400 && common >= 6400 && common < 2 * 6400)
        let first = grid.draw()
        grid.batchRow = 1
        #expect(grid.draw() != first)
    }

    @Test("Layers of one head are side by side")
    func layersOfOneHeadStandSideBySide() {
        let names = (1...5).map { "Layer \($0): relu² in groups" }
        let layers = recorded((0..<5).map { _ in Tensor.ones([1, 1, 8, 8]) }, names: names)
        let raster = AttentionGrid(layers).draw()
        // Three in a row.
        #expect(raster.width == 2 * 28 + 3 * 320 + 2 * 12)
        #expect(raster.height < 3 * 320)
        // A single layer has its name at the left and "Head 1" below.
        let one = AttentionGrid(Array(layers.prefix(1))).draw()
        #expect(one.width == 2 * 28 + 420)
    }

    @Test("Layers of different sizes are drawn, empty ones refused")
    func layersOfDifferentSizes() {
        let layers = recorded([.ones([1, 2, 500, 500]), .ones([1, 1, 500, 30]), .ones([1, 4, 3, 2])])
        let raster = AttentionGrid(
            layers, title: "a title that is much too long for one line " + String(repeating: "x", count: 300)
        ).draw()
        #expect(raster.width == 2 * 28 + 24 + 4 * 320 + 3 * 12)
        #expect(throws: InputError("x.png: the model has no matrices of attention that could be drawn")) {
            try AttentionGrid([]).write(to: "x.png")
        }
        #expect(throws: InputError("x.png: the model has no matrices of attention that could be drawn")) {
            try AttentionGrid(recorded([.zeros([1, 2, 0, 0])])).write(to: "x.png")
        }
    }

    @Test("A row outside the batch stops with a message")
    func wrongRowsStop() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            var grid = AttentionGrid(recorded([.ones([2, 1, 3, 3])]))
            grid.batchRow = 2
            _ = grid.draw()
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("AttentionGrid: row 2 of batches of [2], n_limit 1"))
    }

    @Test("The visualizer shows any module that passes its mode on")
    func theVisualizerRunsWhatItIsGiven() throws {
        let visualizer = Visualizer { (x: Tensor, mode) in
            mode.recorder?.record(softmax(x))
            mode.child(1).recorder?.record(x, name: "raw")
        }
        let x = Tensor.normal([1, 2, 5, 3], key: RandomKey(seed: 1)).requiringGradient()
        let layers = visualizer.attention(of: x)
        #expect(layers.map(\.name) == ["Layer 1", "raw"])
        #expect(layers.map { $0.weights.values } == [softmax(x).values, x.values])
        let folder = try TemporaryFolder()
        let path = folder.path + "/heads.png"
        try visualizer.plotAllHeads(x, title: "Heads", to: path, nLimit: 4)
        let decoded = try DecodedPNG(Array(Data(contentsOf: URL(fileURLWithPath: path))))
        var grid = AttentionGrid(layers, title: "Heads")
        grid.nLimit = 4
        #expect(decoded.bytes == grid.draw().bytes)
    }
}
