import Foundation
import NN
import Tensors

/// The short convolution of queries, keys and values (fast weights) against its plain form, and once against loops.
enum ShortConvolutionCases {
    static var all: [KernelCase] {
        let (n, c) = (4096, 1536)
        return [forward(n, channels: c), forward(n, channels: c, byLoops: true), gradients(n, channels: c)]
    }

    /// Tokens that an output sees.
    private static let k = 4

    private static func size(_ n: Int, _ c: Int) -> String { "n \(n), \(c) channels, k \(k)" }

    /// x, [1, n, c], and the weight, [c, k].
    private static func inputs(_ n: Int, _ c: Int) -> [Tensor] {
        let key = RandomKey(seed: 44)
        return [.normal([1, n, c], key: key.child(0)), .normal([c, k], key: key.child(1))]
    }

    /// Reads x and writes y.
    static func forward(_ n: Int, channels c: Int, byLoops: Bool = false) -> KernelCase {
        let x = inputs(n, c)
        return KernelCase(
            name: byLoops ? "… and loops (convolution)" : "short convolution", size: size(n, c),
            work: .bytes(8 * Double(n * c)), tolerance: 1e-5, ours: { run(x, .fused) },
            naive: { byLoops ? loops(x[0].values, weight: x[1].values, tokens: n, channels: c) : run(x, .plain).values }
        )
    }

    /// Reads x and the gradient of y, and writes y and the gradient of x; weights are few, but their gradients are sums over
    /// all tokens.
    static func gradients(_ n: Int, channels c: Int) -> KernelCase {
        let leaves = inputs(n, c).map { $0.requiringGradient() }
        let seed = Tensor.normal([1, n, c], key: RandomKey(seed: 45))
        func gradients(_ implementation: Implementation) -> Tensor {
            let all = Tensors.gradients(of: run(leaves, implementation), seed: seed)
            return concatenate(leaves.map { all[$0]!.reshaped([$0.count]) })
        }
        return KernelCase(
            name: "convolution with gradients", size: size(n, c), work: .bytes(16 * Double(n * c)), tolerance: 1e-4,
            ours: { gradients(.fused) }, naive: { gradients(.plain).values })
    }

    private static func run(_ x: [Tensor], _ implementation: Implementation) -> Tensor {
        shortConvolution(x[0], weight: x[1], implementation: implementation).output
    }

    private static func loops(_ x: [Float], weight: [Float], tokens n: Int, channels c: Int) -> [Float] {
        var y = [Float](repeating: 0, count: n * c)
        for t in 0..<n {
            for channel in 0..<c {
                var sum: Float = 0
                for tap in max(0, k - 1 - t)..<k {
                    sum += weight[channel * k + tap] * x[(t - k + 1 + tap) * c + channel]
                }
                y[t * c + channel] = sum / (1 + Foundation.exp(-sum))
            }
        }
        return y
    }
}
