/// A published curve of multi-query associative recall, as the report shows it beside ours.
struct PublishedFigure {
    let name: String
    /// The share of the answers found, by length and width.
    let shares: [Setting: Double]

    struct Setting: Hashable {
        let length: Int, width: Int
    }

    subscript(_ length: Int, _ width: Int) -> Double? { shares[Setting(length: length, width: width)] }

    private init(_ name: String, _ curves: [Int: [Double]]) {
        self.name = name
        shares = curves.reduce(into: [:]) { shares, curve in
            for (width, share) in zip([64, 128, 256, 512], curve.value) {
                shares[Setting(length: curve.key, width: width)] = share
            }
        }
    }

    /// Figure 2 of 2312.04927, the best of four learning rates. It has no numbers in print; these were read off the plot,
    /// to about 0.02 (2026-11-30). Attention has two layers, the others four.
    static let zoology = [
        PublishedFigure(
            "Attention",
            [64: [1, 1, 1, 1], 128: [1, 1, 1, 1], 256: [1, 1, 1, 1], 512: [1, 1, 1, 1]]),
        PublishedFigure(
            "H3",
            [
                64: [0.93, 0.99, 0.99, 0.99], 128: [0.25, 0.74, 0.92, 0.76], 256: [0.08, 0.65, 0.62, 0.67],
                512: [0.02, 0.02, 0.03, 0.09],
            ]),
        PublishedFigure(
            "RWKV",
            [
                64: [0.76, 0.95, 0.97, 0.99], 128: [0.18, 0.50, 0.75, 0.93], 256: [0.05, 0.06, 0.67, 0.79],
                512: [0.01, 0.02, 0.15, 0.37],
            ]),
        PublishedFigure(
            "BaseConv",
            [
                64: [0.70, 0.94, 0.97, 1], 128: [0.37, 0.61, 0.84, 0.96], 256: [0.14, 0.34, 0.82, 0.94],
                512: [0.02, 0.03, 0.10, 0.72],
            ]),
        PublishedFigure(
            "Hyena",
            [
                64: [0.52, 0.75, 0.84, 0.87], 128: [0.18, 0.64, 0.74, 0.84], 256: [0.05, 0.13, 0.54, 0.69],
                512: [0.02, 0.03, 0.10, 0.17],
            ]),
    ]
}
