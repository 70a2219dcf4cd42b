import Foundation
import NN
import Tensors

/// The spectrum of attention, which shows how near to low rank it is: the singular values of its n × n matrices of
/// weights, added up from the greatest down. Linformer, Wang et al. 2020, https://arxiv.org/abs/2006.04768, figure 1
/// and theorem 1.
public struct AttentionSpectrum: Sendable {
    /// The spectra of one layer.
    public struct Layer: Sendable {
        /// The layer's name.
        public let name: String
        /// By head: Σ_{i ≤ j} s_i / Σ s_i for j = 1 … n, the mean over the batch.
        public let heads: [[Double]]

        /// The mean over the heads, n values.
        public var mean: [Double] {
            (heads.first ?? []).indices.map { j in heads.reduce(0) { $0 + $1[j] } / Double(heads.count) }
        }
    }

    /// The spectra, by layer.
    public let layers: [Layer]

    /// - Parameter layers: the weights of attention, [b, h, n, n].
    /// - Throws: `InputError` that names the layer whose matrices are not square or not finite.
    public init(_ layers: [AttentionRecorder.Layer]) throws {
        guard !layers.isEmpty else { throw InputError("the spectrum: the model has no matrices of attention") }
        self.layers = try layers.map { layer in
            let shape = layer.weights.shape
            guard shape[2] == shape[3] else {
                throw InputError(
                    "\(layer.name): the matrices of attention are \(shape[2]) × \(shape[3]); expected the"
                        + " square ones of attention to all tokens")
            }
            do {
                return Layer(name: layer.name, heads: try Self.spectra(layer.weights))
            } catch let error as InputError {
                throw InputError("\(layer.name): \(error.message)")
            }
        }
    }

    private static func spectra(_ weights: Tensor) throws -> [[Double]] {
        let (b, h, n) = (weights.shape[0], weights.shape[1], weights.shape[2])
        var results = [Result<[Float], any Error>](repeating: .success([]), count: b * h)
        results.withUnsafeMutableBufferPointer { results in
            nonisolated(unsafe) let results = results
            parallelFor(b * h) { index in
                results[index] = Result { try singularValues(weights.at(0, index / h).at(0, index % h)) }
            }
        }
        let values = try results.map { try cumulative($0.get()) }
        return (0..<h).map { head in
            (0..<n).map { j in (0..<b).reduce(0) { $0 + values[$1 * h + head][j] } / Double(b) }
        }
    }

    /// Shares of the sum; of nothing at all, everything is there from the first.
    private static func cumulative(_ values: [Float]) -> [Double] {
        let total = values.reduce(0) { $0 + Double($1) }
        var sum = 0.0
        return values.map { value in
            sum += Double(value)
            return total > 0 ? sum / total : 1
        }
    }

    // MARK: Drawing

    /// The left of the paper's figure 1: a line a layer.
    package func plot(title: String = "Spectrum of the attention matrices") -> LinePlot {
        LinePlot(
            title, x: Axis("index of the singular value"),
            y: Axis("share of the sum of all singular values", range: 0...1, format: .percent),
            series: layers.map { layer in
                let mean = layer.mean
                return Series(layer.name, x: mean.indices.map { Double($0 + 1) }, y: mean)
            }, height: 420)
    }

    /// The right of figure 1: each head's share at one index, by default at a quarter of all, 128 of 512 in the paper.
    package func heatmap(at index: Int? = nil) -> HeatmapPlot {
        let values = layers.map { layer in
            layer.heads.map { $0[(index ?? Self.quarter($0.count)).clamped(to: 1...max($0.count, 1)) - 1] }
        }
        let columns = (0..<(layers.map(\.heads.count).max() ?? 0)).map { "Head \($0 + 1)" }
        return HeatmapPlot(
            "Share of the singular values by layer and head", rows: layers.map(\.name), columns: columns,
            values: values, valueText: { Numbers.text($0 * 100, decimals: 1) + " %" })
    }

    private static func quarter(_ count: Int) -> Int { (count + 3) / 4 }

    /// Both in a page.
    /// - Parameter subtitle: what was read by which model.
    package func page(title: String, subtitle: String = "") -> Page {
        var page = Page(title, subtitle: subtitle)
        let sizes = Set(layers.compactMap { $0.heads.first?.count }).sorted()
        let indices = sizes.map { "\(Self.quarter($0)) of \($0)" }.joined(separator: ", ")
        page.add(
            "",
            .figure(
                "Cumulative singular values", caption: "Means over the heads of each layer; Linformer, figure 1, left.",
                svg: plot(title: title).svg)
                + .figure(
                    "By layer and head", caption: "The share of the singular values up to \(indices); figure 1, right.",
                    svg: heatmap().svg))
        return page
    }

    /// Writes the plot as `.svg`, or the page as `.html`.
    /// - Throws: `InputError` that names the path.
    public func write(to path: String, title: String, subtitle: String = "") throws {
        switch (path as NSString).pathExtension.lowercased() {
        case "svg": try AtomicFile.write(Data(plot(title: title).svgDocument.utf8), to: path)
        case "html": try AtomicFile.write(Data(page(title: title, subtitle: subtitle).html.utf8), to: path)
        default: throw InputError("\(path): expected a name that ends in .svg or .html")
        }
    }
}

extension Int {
    fileprivate func clamped(to range: ClosedRange<Int>) -> Int {
        Swift.min(Swift.max(self, range.lowerBound), range.upperBound)
    }
}
