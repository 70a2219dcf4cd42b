import Foundation
import Tensors

/// Gated slots of one sequence and head in float64, token by token, with their gradients: what `gatedSlotAttention`
/// computes.
struct GatedSlotLoop {
    let n: Int, d: Int, dv: Int, m: Int
    let scale: Double
    /// By rows: q and k [n, d], v [n, dv], ln α [n, m], K̄ [m, d], V̄ [m, dv].
    let q: [Double], k: [Double], v: [Double], logForget: [Double]
    let keys: [Double], values: [Double]

    /// The outputs, [n, dv], and K̄ and V̄ after the last token.
    func forward() -> [[Double]] {
        var (output, keys, values) = ([Double](), keys, values)
        for t in 0..<n {
            write(k, t, d, &keys)
            write(v, t, dv, &values)
            let p = weights(t, keys)
            output += (0..<dv).map { c in (0..<m).reduce(0) { $0 + p[$1] * values[$1 * dv + c] } }
        }
        return [output, keys, values]
    }

    /// Gradients in the order q, k, v, ln α, K̄, V̄ of a loss whose gradients are those of what `forward` returns.
    func backward(_ seeds: [[Double]]) -> [[Double]] { backward(seeds, self, sign: -1) }

    /// The sums of the gradients' terms without their signs, to which roundings are relative.
    func magnitudes(_ seeds: [[Double]]) -> [[Double]] {
        func absolute(_ x: [Double]) -> [Double] { x.map { abs($0) } }
        let terms = GatedSlotLoop(
            n: n, d: d, dv: dv, m: m, scale: scale, q: absolute(q), k: absolute(k), v: absolute(v),
            logForget: logForget, keys: absolute(keys), values: absolute(values))
        return terms.backward(seeds.map(absolute), self, sign: 1)
    }

    /// - Parameters:
    ///   - attention: the loop whose weights are taken.
    ///   - sign: of what is subtracted.
    private func backward(_ seeds: [[Double]], _ attention: GatedSlotLoop, sign: Double) -> [[Double]] {
        let allWeights = attention.allWeights()
        var states = [(keys, values)]
        for t in 0..<n {
            var (keys, values) = states[t]
            write(k, t, d, &keys)
            write(v, t, dv, &values)
            states.append((keys, values))
        }
        var (dq, dk, dv, dLog) = (zeros(n * d), zeros(n * d), zeros(n * self.dv), zeros(n * m))
        var (g, h) = (seeds[1], seeds[2])
        for t in (0..<n).reversed() {
            let (after, p) = (states[t + 1], allWeights[t])
            let dp = (0..<m).map { j in
                (0..<self.dv).reduce(0) { $0 + seeds[0][t * self.dv + $1] * after.1[j * self.dv + $1] }
            }
            let mean = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
            for j in 0..<m {
                let slope = scale * p[j] * (dp[j] + sign * mean)
                for c in 0..<d {
                    dq[t * d + c] += slope * after.0[j * d + c]
                    g[j * d + c] += slope * q[t * d + c]
                }
                for c in 0..<self.dv { h[j * self.dv + c] += p[j] * seeds[0][t * self.dv + c] }
            }
            unwrite(k, t, d, states[t].0, sign, &g, &dk, &dLog)
            unwrite(v, t, self.dv, states[t].1, sign, &h, &dv, &dLog)
        }
        return [dq, dk, dv, dLog, g, h]
    }

    /// Writes row t of x to slots of `width` columns.
    private func write(_ x: [Double], _ t: Int, _ width: Int, _ slots: inout [Double]) {
        for j in 0..<m {
            let kept = exp(logForget[t * m + j])
            for c in 0..<width {
                slots[j * width + c] = kept * slots[j * width + c] + (1 - kept) * x[t * width + c]
            }
        }
    }

    /// The gradient of `write`: g becomes that of the slots before.
    private func unwrite(
        _ x: [Double], _ t: Int, _ width: Int, _ before: [Double], _ sign: Double, _ g: inout [Double],
        _ dx: inout [Double], _ dLog: inout [Double]
    ) {
        for j in 0..<m {
            let kept = exp(logForget[t * m + j])
            for c in 0..<width {
                let (place, token) = (j * width + c, t * width + c)
                dLog[t * m + j] += kept * g[place] * (before[place] + sign * x[token])
                dx[token] += (1 - kept) * g[place]
                g[place] *= kept
            }
        }
    }

    private func allWeights() -> [[Double]] {
        var keys = keys
        return (0..<n).map { t in
            write(k, t, d, &keys)
            return weights(t, keys)
        }
    }

    private func weights(_ t: Int, _ keys: [Double]) -> [Double] {
        let scores = (0..<m).map { j in scale * (0..<d).reduce(0) { $0 + q[t * d + $1] * keys[j * d + $1] } }
        let most = scores.max() ?? 0
        let all = scores.map { exp($0 - most) }
        let sum = all.reduce(0, +)
        return all.map { $0 / sum }
    }

    private func zeros(_ count: Int) -> [Double] { [Double](repeating: 0, count: count) }
}
