import Foundation
import Linformers
import Tensors

/// Attention with bounded memory (Linformer's causal form) against its recurrence, token by token.
enum BoundedMemoryCases {
    static var all: [KernelCase] {
        [(8, 1024), (1, 16384)].flatMap { [forward(heads: $0.0, $0.1), gradients(heads: $0.0, $0.1)] }
    }

    /// Multiply-adds by token, head, slot and column: two sums and two products; in backward twice as many.
    private static func work(_ loops: BoundedMemoryLoops, _ products: Int) -> KernelCase.Work {
        .operations(2 * Double(products * loops.h * loops.n) * Double(loops.k * loops.d))
    }

    private static func forward(heads h: Int, _ n: Int) -> KernelCase {
        let (x, loops) = make(h, n)
        return KernelCase(
            name: "attention (Linformer)", size: size(loops), work: work(loops, 4), tolerance: 1e-5,
            ours: { attend(x) }, naive: { loops.forward() })
    }

    /// The gradients of queries, keys, values and E = F, with the forward pass. They are sums of n and more products.
    private static func gradients(heads h: Int, _ n: Int) -> KernelCase {
        let (x, loops) = make(h, n)
        let leaves = x.enumerated().map { $0.offset < 4 ? $0.element.requiringGradient() : $0.element }
        return KernelCase(
            name: "Linformer with gradients", size: size(loops), work: work(loops, 12), tolerance: 1e-4,
            ours: {
                let all = Tensors.gradients(of: attend(leaves), seed: x[5])
                return concatenate(leaves[..<4].map { all[$0]!.reshaped([$0.count]) })
            }, naive: { loops.gradients() })
    }

    private static func size(_ loops: BoundedMemoryLoops) -> String {
        (loops.h > 1 ? "\(loops.h) × " : "") + "n \(loops.n), k \(loops.k), d \(loops.d)"
    }

    /// q, k, v, e, the initial slots and the output's gradient.
    private static func make(_ h: Int, _ n: Int) -> ([Tensor], BoundedMemoryLoops) {
        let (k, d) = (128, 64)
        func random(_ shape: [Int], _ index: Int) -> Tensor { .normal(shape, key: RandomKey(seed: 41).child(index)) }
        let tokens = (0..<3).map { random([1, n, h, d], $0) }
        let e = random([k, n], 3) * (1 / Float(n).squareRoot())
        let x = tokens + [e, random([k, d], 4), random([1, n, h, d], 5)]
        return (x, BoundedMemoryLoops(h: h, n: n, k: k, d: d, inputs: x.map(\.values)))
    }

    private static func attend(_ x: [Tensor]) -> Tensor {
        boundedMemoryAttention(
            x[0], x[1], x[2], e: x[3], initialKeys: x[4], initialValues: x[4], scale: BoundedMemoryLoops.scale)
    }
}

/// The recurrence as plain loops. inputs: q, k, v, e, initial slots, the output's gradient.
struct BoundedMemoryLoops {
    static let scale: Float = 0.125
    let h: Int, n: Int, k: Int, d: Int
    let inputs: [[Float]]

    /// The memory of one head, and its weights of one token.
    private struct Memory {
        var keys: [Float], values: [Float], p: [Float]
    }

    private func start() -> Memory {
        Memory(keys: inputs[4], values: inputs[4], p: [Float](repeating: 0, count: k))
    }

    /// Adds (or with sign −1 takes away) a token.
    private func add(_ t: Int, _ head: Int, sign: Float, _ memory: inout Memory) {
        let row = (t * h + head) * d
        for i in 0..<k {
            let weight = sign * inputs[3][i * n + t]
            for c in 0..<d {
                memory.keys[i * d + c] += weight * inputs[1][row + c]
                memory.values[i * d + c] += weight * inputs[2][row + c]
            }
        }
    }

    private func weigh(_ t: Int, _ head: Int, _ memory: inout Memory) {
        let row = (t * h + head) * d
        var total: Float = 0
        for i in 0..<k {
            var score: Float = 0
            for c in 0..<d { score += inputs[0][row + c] * memory.keys[i * d + c] }
            // Scores of these numbers are far from where the exponential overflows.
            memory.p[i] = expf(Self.scale * score)
            total += memory.p[i]
        }
        for i in 0..<k { memory.p[i] /= total }
    }

    func forward() -> [Float] {
        var output = [Float](repeating: 0, count: n * h * d)
        for head in 0..<h {
            var memory = start()
            for t in 0..<n {
                add(t, head, sign: 1, &memory)
                weigh(t, head, &memory)
                for i in 0..<k {
                    for c in 0..<d { output[(t * h + head) * d + c] += memory.p[i] * memory.values[i * d + c] }
                }
            }
        }
        return output
    }

    /// The gradients of q, k, v and e, one after another. What a token added is taken away again on the way back.
    func gradients() -> [Float] {
        func zeros(_ count: Int) -> [Float] { [Float](repeating: 0, count: count) }
        var (dq, dk, dv, de) = (zeros(n * h * d), zeros(n * h * d), zeros(n * h * d), zeros(k * n))
        for head in 0..<h {
            var memory = start()
            for t in 0..<n { add(t, head, sign: 1, &memory) }
            var (laterKeys, laterValues, slopes) = (zeros(k * d), zeros(k * d), zeros(k))
            for t in (0..<n).reversed() {
                weigh(t, head, &memory)
                let row = (t * h + head) * d
                var mean: Float = 0
                for i in 0..<k {
                    var slope: Float = 0
                    for c in 0..<d {
                        slope += inputs[5][row + c] * memory.values[i * d + c]
                        laterValues[i * d + c] += memory.p[i] * inputs[5][row + c]
                    }
                    slopes[i] = slope
                    mean += slope * memory.p[i]
                }
                for i in 0..<k {
                    let (slope, weight) = (Self.scale * memory.p[i] * (slopes[i] - mean), inputs[3][i * n + t])
                    var total: Float = 0
                    for c in 0..<d {
                        let place = i * d + c
                        dq[row + c] += slope * memory.keys[place]
                        laterKeys[place] += slope * inputs[0][row + c]
                        dk[row + c] += weight * laterKeys[place]
                        dv[row + c] += weight * laterValues[place]
                        total += laterKeys[place] * inputs[1][row + c] + laterValues[place] * inputs[2][row + c]
                    }
                    de[i * n + t] += total
                }
                add(t, head, sign: -1, &memory)
            }
        }
        return dq + dk + dv + de
    }
}
