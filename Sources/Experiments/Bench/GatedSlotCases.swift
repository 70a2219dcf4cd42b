import Foundation
import Linformers
import NN
import Tensors

/// Gated slots in chunks (Linformer) against their recurrence, token by token.
enum GatedSlotCases {
    static var all: [KernelCase] { [forward(1024), forward(16384), forward(4096, slots: 128), gradients(1024)] }

    /// Heads, and columns of one.
    private static let (h, d) = (8, 64)
    private static let scale: Float = 0.125

    /// Multiply-adds by token, head, slot and column: slots are read and written for keys and for values; for gradients
    /// they are written again, and nine products follow.
    private static func work(_ n: Int, _ slots: Int, _ products: Int) -> KernelCase.Work {
        .operations(2 * Double(products * h * n) * Double(slots * d))
    }

    private static func forward(_ n: Int, slots: Int = 64) -> KernelCase {
        let x = inputs(n, slots)
        return KernelCase(
            name: "gated slots", size: size(n, slots), work: work(n, slots, 4), tolerance: 1e-4,
            ours: { attend(x, .fused) }, naive: { recurrence(x.map(\.values), n, slots) })
    }

    /// The gradients of queries, keys, values and gates, with the forward pass, against the plain form, which keeps every
    /// slot of every token.
    static func gradients(_ n: Int, slots: Int = 64) -> KernelCase {
        let x = inputs(n, slots)
        let leaves = x[..<4].map { $0.requiringGradient() }
        func gradients(_ implementation: Implementation) -> Tensor {
            let all = Tensors.gradients(of: attend(leaves, implementation), seed: x[4])
            return concatenate(leaves.map { all[$0]!.reshaped([$0.count]) })
        }
        return KernelCase(
            name: "gated slots with gradients", size: size(n, slots), work: work(n, slots, 15), tolerance: 1e-3,
            ours: { gradients(.fused) }, naive: { gradients(.plain).values })
    }

    private static func size(_ n: Int, _ slots: Int) -> String { "\(h) × n \(n), m \(slots), d \(d)" }

    /// q, k, v, ln α and the output's gradient.
    private static func inputs(_ n: Int, _ slots: Int) -> [Tensor] {
        func random(_ width: Int, _ index: Int) -> Tensor {
            .normal([1, n, h, width], key: RandomKey(seed: 44).child(index))
        }
        return [random(d, 0), random(d, 1), random(d, 2), softplus(random(slots, 3)) / -8, random(d, 4)]
    }

    private static func attend(_ x: [Tensor], _ implementation: Implementation) -> Tensor {
        gatedSlotAttention(x[0], x[1], x[2], logForget: x[3], scale: scale, implementation: implementation).output
    }

    /// The recurrence as plain loops. x: q, k, v, ln α.
    private static func recurrence(_ x: [[Float]], _ n: Int, _ slots: Int) -> [Float] {
        var output = [Float](repeating: 0, count: n * h * d)
        for head in 0..<h {
            var keys = [Float](repeating: 0, count: slots * d)
            var (values, weights) = (keys, [Float](repeating: 0, count: slots))
            for t in 0..<n {
                let row = (t * h + head) * d
                for slot in 0..<slots {
                    let kept = exp(x[3][(t * h + head) * slots + slot])
                    var score: Float = 0
                    for c in 0..<d {
                        let key = kept * keys[slot * d + c] + (1 - kept) * x[1][row + c]
                        keys[slot * d + c] = key
                        values[slot * d + c] = kept * values[slot * d + c] + (1 - kept) * x[2][row + c]
                        score += key * x[0][row + c]
                    }
                    weights[slot] = exp(scale * score)
                }
                let sum = weights.reduce(0, +)
                for slot in 0..<slots {
                    for c in 0..<d { output[row + c] += weights[slot] / sum * values[slot * d + c] }
                }
            }
        }
        return output
    }
}
