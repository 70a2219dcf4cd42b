import Foundation
import Tensors

/// Loops over rows and elements against the same loops in plain Swift.
enum RowCases {
    private static let rows = 4096, width = 512
    private static let size = "4096 x 512"
    /// Read once and written once.
    private static let work = KernelCase.Work.bytes(8 * Double(rows * width))
    private static let x = Tensor.normal([rows, width], key: RandomKey(seed: 11))
    private static let weight = Tensor.uniform([width], low: 0.5, high: 1.5, key: RandomKey(seed: 12))
    private static let bias = Tensor.normal([width], key: RandomKey(seed: 13))
    private static let values = x.values

    static var all: [KernelCase] {
        [
            each("exp", Foundation.exp, { exp($0) }),
            each("silu", { $0 / (1 + Foundation.exp(-$0)) }, { silu($0) }),
            each("gelu", { 0.5 * $0 * (1 + erff($0 / Float(2).squareRoot())) }, { gelu($0) }),
            each(
                "laplace", { 0.5 * (1 + erff(($0 - Float(0.5).squareRoot()) * Float(2 * Double.pi).squareRoot())) },
                { laplace($0) }),
            KernelCase(
                name: "softmax", size: size, work: work, tolerance: 1e-5, ours: { softmax(x) },
                naive: { perRow(softmaxRow) }),
            KernelCase(
                name: "layer norm", size: size, work: work, tolerance: 1e-5,
                ours: { layerNorm(x, weight: weight, bias: bias) }, naive: { perRow(layerNormRow) }),
            KernelCase(
                name: "scale norm", size: size, work: work, tolerance: 1e-5, ours: { scaleNorm(x, gain: Tensor([1])) },
                naive: { perRow(scaleNormRow) }),
            KernelCase(
                name: "sum of columns", size: size, work: .bytes(4 * Double(rows * width)), tolerance: 1e-4,
                ours: { x.sum(axes: [0]) }, naive: sumOfColumns),
            KernelCase(
                name: "cross-entropy", size: size, work: .bytes(4 * Double(rows * width)), tolerance: 1e-5,
                ours: { crossEntropy(x, targets) }, naive: crossEntropyLoop),
        ]
    }

    private static let targets = TokenTensor((0..<Int32(rows)).map { $0 % Int32(width) })

    private static func each(
        _ name: String, _ scalar: @escaping (Float) -> Float, _ ours: @escaping (Tensor) -> Tensor
    ) -> KernelCase {
        KernelCase(
            name: name, size: size, work: work, tolerance: 1e-5, ours: { ours(x) }, naive: { values.map(scalar) })
    }

    private static func perRow(_ body: (ArraySlice<Float>) -> [Float]) -> [Float] {
        (0..<rows).flatMap { body(values[$0 * width..<($0 + 1) * width]) }
    }

    private static func softmaxRow(_ row: ArraySlice<Float>) -> [Float] {
        let greatest = row.max()!
        let powers = row.map { Foundation.exp($0 - greatest) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
    }

    private static func layerNormRow(_ row: ArraySlice<Float>) -> [Float] {
        let (w, b) = (weight.values, bias.values)
        let mean = row.reduce(0, +) / Float(width)
        let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(width)
        let factor = 1 / (variance + 1e-5).squareRoot()
        return row.enumerated().map { ($1 - mean) * factor * w[$0] + b[$0] }
    }

    private static func scaleNormRow(_ row: ArraySlice<Float>) -> [Float] {
        let norm = (row.reduce(0) { $0 + $1 * $1 } / Float(width)).squareRoot()
        return row.map { $0 / max(norm, 1e-5) }
    }

    private static func sumOfColumns() -> [Float] {
        var sums = [Float](repeating: 0, count: width)
        for row in 0..<rows { for column in 0..<width { sums[column] += values[row * width + column] } }
        return sums
    }

    private static func crossEntropyLoop() -> [Float] {
        var total = 0.0
        for row in 0..<rows {
            let line = values[row * width..<(row + 1) * width]
            let greatest = line.max()!
            let sum = line.reduce(0) { $0 + Foundation.exp($1 - greatest) }
            total += Double(greatest + Foundation.log(sum) - values[row * width + Int(targets.values[row])])
        }
        return [Float(total / Double(rows))]
    }
}
