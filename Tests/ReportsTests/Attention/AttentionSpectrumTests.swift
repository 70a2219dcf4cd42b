import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import AttentionZooReports

@Suite struct AttentionSpectrumTests {
    /// Makes a matrix of rank r, with singular values r, r − 1 … 1.
    private func matrix(_ n: Int, rank: Int, seed: UInt64) -> Tensor {
        let left = Tensor.orthogonal([n, rank], key: RandomKey(seed: seed))
        let right = Tensor.orthogonal([rank, n], key: RandomKey(seed: seed + 100))
        let values = Tensor((0..<rank).map { Float(rank - $0) })
        return matrixProduct(left * values, right)
    }

    @Test("The spectrum of a matrix of rank r reaches 1 at r", arguments: [1, 3, 10])
    func aMatrixOfRankRReachesOneAtR(rank: Int) throws {
        let n = 12
        let weights = stack((0..<6).map { matrix(n, rank: rank, seed: UInt64($0)) }).reshaped([2, 3, n, n])
        let spectrum = try AttentionSpectrum(recorded([weights]))
        #expect(spectrum.layers.map(\.name) == ["Layer 1"] && spectrum.layers[0].heads.count == 3)
        let total = rank * (rank + 1) / 2
        for curve in spectrum.layers[0].heads + [spectrum.layers[0].mean] {
            for j in 0..<n {
                let kept = min(j + 1, rank)
                let expected = Double((0..<kept).reduce(0) { $0 + rank - $1 }) / Double(total)
                // Float32's rounding of 12 values, of which the zeros have some 1e-7.
                #expect(abs(curve[j] - expected) < 5e-6, "index \(j)")
            }
        }
    }

    @Test("Spectra are averaged over batch and heads")
    func headsAndBatchAreAveraged() throws {
        // Heads of rank 1 and of full rank; in the batch's second row the other way round for head 2.
        let n = 4
        let flat = Tensor.ones([n, n])
        let identity = Tensor.lowerTriangle(n, n) * Tensor.upperTriangle(n, n)
        let weights = stack([flat, identity, flat, flat]).reshaped([2, 2, n, n])
        let layer = try AttentionSpectrum(recorded([weights])).layers[0]
        func expect(_ curve: [Double], _ expected: [Double]) {
            #expect(zip(curve, expected).allSatisfy { abs($0 - $1) < 1e-6 }, "\(curve)")  // rounding of 4 values
        }
        expect(layer.heads[0], [1, 1, 1, 1])
        expect(layer.heads[1], [0.625, 0.75, 0.875, 1])
        expect(layer.mean, [0.8125, 0.875, 0.9375, 1])
        expect(try AttentionSpectrum(recorded([.zeros([1, 1, 3, 3])])).layers[0].mean, [1, 1, 1])
    }

    @Test("Matrices that have no spectrum are named")
    func matricesThatHaveNoSpectrumAreNamed() {
        #expect(
            throws: InputError(
                "cross: the matrices of attention are 6 × 4; expected the square ones of attention to all"
                    + " tokens")
        ) { try AttentionSpectrum(recorded([.ones([1, 1, 4, 4]), .ones([1, 1, 6, 4])], names: [nil, "cross"])) }
        var values = [Float](repeating: 1, count: 9)
        values[5] = .nan
        #expect(
            throws: InputError(
                "Layer 1: singular values: expected a matrix of finite numbers, found nan in row 1, column 2 of 3 × 3")
        ) { try AttentionSpectrum(recorded([Tensor(values, shape: [1, 1, 3, 3])])) }
        #expect(throws: InputError("the spectrum: the model has no matrices of attention")) {
            try AttentionSpectrum([])
        }
    }

    @Test("The figure has the curves of layers and a heatmap of heads")
    func theFigureHasBothParts() throws {
        let n = 8
        let layers = (0..<3).map { layer in
            stack((0..<2).map { matrix(n, rank: 2 + layer, seed: UInt64(layer * 2 + $0)) }).unsqueezed(0)
        }
        let spectrum = try AttentionSpectrum(recorded(layers))
        let plot = spectrum.plot()
        #expect(plot.series.map(\.name) == ["Layer 1", "Layer 2", "Layer 3"])
        #expect(plot.series[1].x == (1...n).map(Double.init) && plot.series[1].y == spectrum.layers[1].mean)
        // At a quarter, index 2, unless said otherwise.
        #expect(spectrum.heatmap().values == spectrum.layers.map { $0.heads.map { $0[1] } })
        #expect(spectrum.heatmap(at: 3).values == spectrum.layers.map { $0.heads.map { $0[2] } })
        #expect(spectrum.heatmap(at: 99).values == spectrum.layers.map { $0.heads.map { $0[n - 1] } })
        #expect(spectrum.heatmap().columns == ["Head 1", "Head 2"])

        let folder = try TemporaryFolder()
        for (name, parts) in [
            ("svg", ["<svg xmlns=", ">Layer 3<", ">A title<"]),
            ("html", ["<!DOCTYPE html>", ">A title<", ">of a model<", "up to 2 of 8", ">Head 2<", ">Layer 3<"]),
        ] {
            let path = folder.path + "/spectrum.\(name)"
            try spectrum.write(to: path, title: "A title", subtitle: "of a model")
            let text = try folder.read("spectrum.\(name)")
            for part in parts { #expect(text.contains(part), "\(part)") }
        }
        #expect(throws: InputError("figure.pdf: expected a name that ends in .svg or .html")) {
            try spectrum.write(to: "figure.pdf", title: "")
        }
    }
}
