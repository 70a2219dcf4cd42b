import FastWeightTransformers
import Tensors

/// The delta rule in chunks (fast weights) against its recurrence, token by token.
enum DeltaRuleCases {
    /// By length with the usual chunks, and at one length by the size of the chunks; wide keys as of DPFP; gradients.
    static var all: [KernelCase] {
        let lengths = [256, 1024, 4096, 16384].map { forward($0, chunk: 32) }
        let chunks = [1, 8, 16, 64, 128].map { forward(4096, chunk: $0) }
        return lengths + chunks + [forward(4096, dk: 128, chunk: 32), gradients(4096, chunk: 32)]
            + [gradients(4096, dk: 128, chunk: 32)]
    }

    /// Multiply-adds by token, head, key and value: what is there is read, written, and read again; of gradients the same
    /// once more, as states are computed again, and six for the gradients themselves.
    private static func work(_ loops: DeltaRuleLoops, _ products: Int) -> KernelCase.Work {
        .operations(2 * Double(products * loops.h * loops.n) * Double(loops.dk * loops.dv))
    }

    private static func forward(_ n: Int, dk: Int = 64, chunk: Int) -> KernelCase {
        let (x, loops) = make(n, dk)
        return KernelCase(
            name: "delta rule, chunks of \(chunk)", size: size(loops), work: work(loops, 3), tolerance: 1e-4,
            ours: { run(x, chunk) }, naive: { loops.forward() })
    }

    /// The gradients of queries, keys, values and shares, with the forward pass.
    private static func gradients(_ n: Int, dk: Int = 64, chunk: Int) -> KernelCase {
        let (x, loops) = make(n, dk)
        let leaves = x[..<4].map { $0.requiringGradient() }
        return KernelCase(
            name: "delta rule with gradients", size: size(loops), work: work(loops, 12), tolerance: 1e-3,
            ours: {
                let all = Tensors.gradients(of: run(leaves, chunk), seed: x[4])
                return concatenate(leaves.map { all[$0]!.reshaped([$0.count]) })
            }, naive: { loops.gradients() })
    }

    private static func size(_ loops: DeltaRuleLoops) -> String {
        "\(loops.h) × n \(loops.n), dk \(loops.dk), dv \(loops.dv)"
    }

    /// q, k, v, β and the output's gradient; keys of length 1, so that nothing is erased more than once over.
    private static func make(_ n: Int, _ dk: Int) -> ([Tensor], DeltaRuleLoops) {
        let (h, dv) = (2, 64)
        func random(_ width: Int, _ index: Int) -> Tensor {
            .normal([1, n, h, width], key: RandomKey(seed: 43).child(index))
        }
        let keys = random(dk, 1)
        let lengths = sqrt((keys * keys).sum(axes: [3], keepAxes: true))
        let x = [
            random(dk, 0), keys / lengths, random(dv, 2), sigmoid(random(1, 3)).squeezed(-1), random(dv, 4),
        ]
        return (x, DeltaRuleLoops(n: n, h: h, dk: dk, dv: dv, inputs: x.map(\.values)))
    }

    private static func run(_ x: [Tensor], _ chunk: Int) -> Tensor {
        deltaRule(x[0], x[1], x[2], beta: x[3], chunk: chunk).output
    }
}

/// The recurrence as plain loops. inputs: q, k [n, h, dk], v [n, h, dv], β [n, h], the output's gradient [n, h, dv].
struct DeltaRuleLoops {
    let n: Int, h: Int, dk: Int, dv: Int
    let inputs: [[Float]]

    /// u_t = β_t (v_t − k_t S), and S ← S + k_tᵀ u_t. Returns u_t.
    private func write(_ t: Int, _ head: Int, _ state: inout [Float]) -> [Float] {
        let row = t * h + head
        var update = [Float](repeating: 0, count: dv)
        for i in 0..<dk {
            let key = inputs[1][row * dk + i]
            for c in 0..<dv { update[c] += key * state[i * dv + c] }
        }
        for c in 0..<dv { update[c] = inputs[3][row] * (inputs[2][row * dv + c] - update[c]) }
        for i in 0..<dk {
            let key = inputs[1][row * dk + i]
            for c in 0..<dv { state[i * dv + c] += key * update[c] }
        }
        return update
    }

    func forward() -> [Float] {
        var output = [Float](repeating: 0, count: n * h * dv)
        for head in 0..<h {
            var state = [Float](repeating: 0, count: dk * dv)
            for t in 0..<n {
                _ = write(t, head, &state)
                let row = t * h + head
                for i in 0..<dk {
                    let query = inputs[0][row * dk + i]
                    for c in 0..<dv { output[row * dv + c] += query * state[i * dv + c] }
                }
            }
        }
        return output
    }

    /// The gradients of q, k, v and β, one after another. What a token added is taken away again on the way back.
    func gradients() -> [Float] {
        func zeros(_ count: Int) -> [Float] { [Float](repeating: 0, count: count) }
        var (dq, dKeys, dValues, dBeta) = (zeros(n * h * dk), zeros(n * h * dk), zeros(n * h * dv), zeros(n * h))
        for head in 0..<h {
            var (state, later) = (zeros(dk * dv), zeros(dk * dv))
            let updates = (0..<n).map { write($0, head, &state) }
            for t in (0..<n).reversed() {
                let row = t * h + head
                var slopes = zeros(dv)  // ∂L/∂u
                for i in 0..<dk {
                    let (query, key) = (inputs[0][row * dk + i], inputs[1][row * dk + i])
                    var (dQuery, dKey): (Float, Float) = (0, 0)
                    for c in 0..<dv {
                        let (place, slope) = (i * dv + c, inputs[4][row * dv + c])
                        dQuery += slope * state[place]
                        later[place] += query * slope
                        dKey += later[place] * updates[t][c]
                        slopes[c] += key * later[place]
                        state[place] -= key * updates[t][c]
                    }
                    (dq[row * dk + i], dKeys[row * dk + i]) = (dQuery, dKey)
                }
                let share = inputs[3][row]
                for c in 0..<dv {
                    dValues[row * dv + c] = share * slopes[c]
                    dBeta[row] += slopes[c] * updates[t][c] / share
                }
                for i in 0..<dk {
                    for c in 0..<dv {
                        dKeys[row * dk + i] -= share * slopes[c] * state[i * dv + c]
                        later[i * dv + c] -= inputs[1][row * dk + i] * share * slopes[c]
                    }
                }
            }
        }
        return dq + dKeys + dValues + dBeta
    }
}
