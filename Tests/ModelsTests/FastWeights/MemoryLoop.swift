import Foundation
import Tensors

/// The memory of one sequence and head in float64, token by token, with its gradients: what `deltaRule` computes.
struct MemoryLoop {
    let n: Int, d: Int, dv: Int
    /// By rows: q and k [n, d], v [n, dv], β, γ and ln α [n], S [d, dv].
    let q: [Double], k: [Double], v: [Double], beta: [Double], gamma: [Double], logDecay: [Double]
    let state: [Double]

    /// Computes what the tokens read, [n, dv], and S after the last.
    func forward() -> (output: [Double], state: [Double]) {
        var (output, s) = ([Double](), state)
        for t in 0..<n {
            step(t, &s)
            output += read(q, t, s)
        }
        return (output, s)
    }

    /// Gradients in the order q, k, v, β, γ, ln α, S of a loss whose gradients are those of the output and the last state.
    func backward(_ output: [Double], _ last: [Double]) -> [[Double]] {
        var (states, s) = ([[Double]](), state)
        for t in 0..<n {
            states.append(s)
            step(t, &s)
        }
        var (dq, dk, dv) = (zeros(n * d), zeros(n * d), zeros(n * self.dv))
        var (dBeta, dGamma, dDecay, g) = (zeros(n), zeros(n), zeros(n), last)
        for t in (0..<n).reversed() {
            let (dy, faded) = (row(output, t, self.dv), states[t].map { $0 * exp(logDecay[t]) })
            let there = read(k, t, faded)
            let u = (0..<self.dv).map { beta[t] * v[t * self.dv + $0] - gamma[t] * there[$0] }
            var after = states[t]
            step(t, &after)
            for i in 0..<d { for j in 0..<self.dv { g[i * self.dv + j] += q[t * d + i] * dy[j] } }
            let du = read(k, t, g)
            for i in 0..<d {
                for j in 0..<self.dv {
                    let place = i * self.dv + j
                    dq[t * d + i] += after[place] * dy[j]
                    dk[t * d + i] += g[place] * u[j] - gamma[t] * faded[place] * du[j]
                    g[place] -= gamma[t] * k[t * d + i] * du[j]
                    dDecay[t] += g[place] * faded[place]
                    g[place] *= exp(logDecay[t])
                }
            }
            for j in 0..<self.dv {
                dv[t * self.dv + j] = beta[t] * du[j]
                dBeta[t] += du[j] * v[t * self.dv + j]
                dGamma[t] -= du[j] * there[j]
            }
        }
        return [dq, dk, dv, dBeta, dGamma, dDecay, g]
    }

    private func step(_ t: Int, _ s: inout [Double]) {
        for place in s.indices { s[place] *= exp(logDecay[t]) }
        let there = read(k, t, s)
        for i in 0..<d {
            for j in 0..<dv { s[i * dv + j] += k[t * d + i] * (beta[t] * v[t * dv + j] - gamma[t] * there[j]) }
        }
    }

    /// Row t of x times S.
    private func read(_ x: [Double], _ t: Int, _ s: [Double]) -> [Double] {
        (0..<dv).map { j in (0..<d).reduce(0) { $0 + x[t * d + $1] * s[$1 * dv + j] } }
    }

    private func row(_ x: [Double], _ t: Int, _ width: Int) -> [Double] { Array(x[t * width..<(t + 1) * width]) }

    private func zeros(_ count: Int) -> [Double] { [Double](repeating: 0, count: count) }
}

extension Tensor {
    /// The values in float64.
    var doubles: [Double] { values.map(Double.init) }
}
