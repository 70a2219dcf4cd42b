import Foundation
import Tensors

/// Cross-entropy of a norm and a projection with gradients: in one operation against loops, and against the same from single
/// operations, which store logits and their gradient.
enum CrossEntropyCases {
    static var all: [KernelCase] { [loops, stored] }

    /// Three products, of which each logit takes 2 d operations.
    private static func work(_ rows: Int, _ d: Int, _ classes: Int) -> KernelCase.Work {
        .operations(6 * Double(rows * d * classes))
    }

    // MARK: Against single operations

    /// The gradient of x; that of the weight is made as well.
    private static func gradient(of x: Tensor, _ loss: (Tensor) -> Tensor) -> Tensor {
        let leaf = x.requiringGradient()
        return gradients(of: loss(leaf))[leaf]!
    }

    private static var stored: KernelCase {
        let (rows, d, classes) = (2048, 512, 20_000)
        let x = Tensor.normal([rows, d], key: RandomKey(seed: 21))
        let bound = 1 / Float(d).squareRoot()
        let weight = Tensor.uniform([classes, d], low: -bound, high: bound, key: RandomKey(seed: 22))
            .requiringGradient()
        let norm = Norm.layer(weight: .ones([d]), bias: .zeros([d]))
        let targets = TokenTensor((0..<Int32(rows)).map { $0 * 7 % Int32(classes) })
        return KernelCase(
            name: "projected loss and stored", size: "\(rows) x \(d) x \(classes)", work: work(rows, d, classes),
            tolerance: 1e-5,
            ours: {
                gradient(of: x) {
                    crossEntropy($0, norm: norm, projection: Projection(weight: weight), targets: targets)
                }
            },
            naive: { gradient(of: x) { crossEntropy(normLinear($0, norm: norm, weight: weight), targets) }.values })
    }

    // MARK: Against loops

    private static let rows = 256, d = 64, classes = 2000
    private static let x = Tensor.normal([rows, d], key: RandomKey(seed: 23))
    private static let weight = Tensor.normal([classes, d], standardDeviation: 0.1, key: RandomKey(seed: 24))
    private static let targets = TokenTensor((0..<Int32(rows)).map { $0 * 7 % Int32(classes) })

    private static var loops: KernelCase {
        let wanted = weight.requiringGradient()
        return KernelCase(
            name: "projected loss", size: "\(rows) x \(d) x \(classes)", work: work(rows, d, classes), tolerance: 1e-4,
            ours: {
                let leaf = x.requiringGradient()
                let all = gradients(
                    of: crossEntropy(leaf, projection: Projection(weight: wanted), targets: targets))
                return concatenate([all[leaf]!, all[wanted]!])
            }, naive: gradientLoop)
    }

    /// The gradients of x and of the weight.
    private static func gradientLoop() -> [Float] {
        let (x, w) = (x.values, weight.values)
        var (dx, dw) = ([Float](repeating: 0, count: x.count), [Float](repeating: 0, count: w.count))
        for row in 0..<rows {
            var z = (0..<classes).map { c in
                var sum: Float = 0
                for i in 0..<d { sum += x[row * d + i] * w[c * d + i] }
                return sum
            }
            let greatest = z.max()!
            z = z.map { Foundation.exp($0 - greatest) }
            let total = z.reduce(0, +)
            for c in 0..<classes {
                let target = Int(targets.values[row]) == c
                let dz = (z[c] / total - (target ? 1 : 0)) / Float(rows)
                for i in 0..<d {
                    dx[row * d + i] += dz * w[c * d + i]
                    dw[c * d + i] += dz * x[row * d + i]
                }
            }
        }
        return dx + dw
    }
}
