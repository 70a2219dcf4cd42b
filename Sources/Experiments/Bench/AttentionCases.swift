import FLASHTransformers
import Foundation
import NN
import Tensors

/// Attention against its plain forms, and once each against loops over the pairs of tokens.
enum AttentionCases {
    static var all: [KernelCase] {
        [1024, 2048, 4096].map(mixedChunk) + [1024, 4096].map { window($0) } + [window(1024, byLoops: true)]
            + [128, 512].map { memory($0) } + [memory(128, byLoops: true)] + BoundedMemoryCases.all + SegmentCases.all
            + GatedSlotCases.all + DeltaRuleCases.all + ShortConvolutionCases.all
    }

    // MARK: Sliding windows

    /// A window of tokens before each (local attention).
    static func window(_ n: Int, byLoops: Bool = false) -> KernelCase {
        let (w, d) = (256, 64)
        let qkv = (0..<3).map { Tensor.normal([1, 1, n, d], key: RandomKey(seed: 26).child($0)) }
        let options = WindowAttentionOptions(
            WindowPattern(window: w, isCausal: true, isExact: true), scale: 1 / Float(d).squareRoot())
        func attention(_ form: Implementation) -> Tensor {
            windowAttention(qkv[0], qkv[1], qkv[2], headsFirst: true, options: options, implementation: form)
        }
        let pairs = (0..<n).reduce(0) { $0 + min($1, w) + 1 }
        return KernelCase(
            name: byLoops ? "… and loops (window)" : "attention (window)", size: "n \(n), W \(w), d \(d)",
            work: .operations(Double(4 * pairs * d)), tolerance: 1e-5, ours: { attention(.fused) },
            naive: {
                byLoops
                    ? loops(queries: n, d: d, qkv.map(\.values)) { max(0, $0 - w)...$0 } : attention(.plain).values
            })
    }

    // MARK: Shared keys

    /// A block's attention over itself and the memory before it, 8 heads over one set of keys (block-recurrent).
    static func memory(_ w: Int, byLoops: Bool = false) -> KernelCase {
        let (h, d) = (8, 64)
        func random(_ shape: [Int], _ index: Int) -> Tensor { .normal(shape, key: RandomKey(seed: 27).child(index)) }
        let qkv = [random([1, w, h, d], 0), random([1, 2 * w, d], 1), random([1, 2 * w, d], 2)]
        func attention(_ form: Implementation) -> Tensor {
            multiQueryAttention(
                qkv[0], qkv[1], qkv[2], scale: 1 / Float(d).squareRoot(), isCausal: true, implementation: form)
        }
        let pairs = h * (0..<w).reduce(0) { $0 + w + $1 + 1 }
        return KernelCase(
            name: byLoops ? "… and loops (memory)" : "attention (memory)", size: "w \(w), h \(h), d \(d)",
            work: .operations(Double(4 * pairs * d)), tolerance: 1e-5, ours: { attention(.fused) },
            naive: {
                byLoops ? loops(queries: w * h, d: d, qkv.map(\.values)) { 0...w + $0 / h } : attention(.plain).values
            })
    }

    /// Computes softmax(q kᵀ / √d) v, query by query. qkv: rows of d each; `seen`: the keys that a query sees.
    private static func loops(
        queries: Int, d: Int, _ qkv: [[Float]], seen: (_ query: Int) -> ClosedRange<Int>
    ) -> [Float] {
        var output = [Float](repeating: 0, count: queries * d)
        let (q, k, v) = (qkv[0], qkv[1], qkv[2])
        for i in 0..<queries {
            var total: Float = 0
            for j in seen(i) {
                var score: Float = 0
                for c in 0..<d { score += q[i * d + c] * k[j * d + c] }
                // Scores of normal numbers are far from where the exponential overflows.
                let weight = expf(score / Float(d).squareRoot())
                total += weight
                for c in 0..<d { output[i * d + c] += weight * v[j * d + c] }
            }
            for c in 0..<d { output[i * d + c] /= total }
        }
        return output
    }

    // MARK: FLASH

    /// FLASH's mixed chunk attention, fused, against its plain form.
    static func mixedChunk(_ n: Int) -> KernelCase {
        let (g, s, e) = (128, 64, 64)
        func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }
        let hidden = random([1, n, 2 * e], 21)
        let qk = random([1, n, s], 22)
        let gamma = random([4, s], 23) * 0.3
        let beta = random([4, s], 24)
        let bias = random([2 * g - 1], 25)
        func attention(_ form: Implementation) -> Tensor {
            mixedChunkAttention(
                hidden: hidden, qk: qk, gamma: gamma, beta: beta, bias: bias, groupSize: g,
                mode: .inference.using(form))
        }
        let perToken = Double(s + e) * Double(g) / 2 + 2 * Double(s * e)
        return KernelCase(
            name: "attention (FLASH)", size: "n \(n), g \(g), s \(s), e \(e)",
            work: .operations(2 * Double(n) * perToken), tolerance: 1e-4, ours: { attention(.fused) },
            naive: { attention(.plain).values })
    }
}
