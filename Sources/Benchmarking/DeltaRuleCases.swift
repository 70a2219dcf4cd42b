import FastWeightTransformers
import NN
import Tensors

/// The delta rule in chunks (fast weights) against its plain form, token by token.
enum DeltaRuleCases {
    /// By length with the usual chunks, and at one length by the size of the chunks; wide keys as of DPFP; gradients.
    static var all: [KernelCase] {
        let lengths = [256, 1024, 4096, 16384].map { forward($0, chunk: 32) }
        let chunks = [1, 8, 16, 64, 128].map { forward(4096, chunk: $0) }
        return lengths + chunks + [forward(4096, dk: 128, chunk: 32), gradients(4096, chunk: 32)]
            + [gradients(4096, dk: 128, chunk: 32)]
    }

    /// Heads, and columns of a value.
    private static let (h, dv) = (2, 64)

    /// Multiply-adds by token, head, key and value: what is there is read, written, and read again; of gradients the same
    /// once more, as states are computed again, and six for the gradients themselves.
    private static func work(_ n: Int, _ dk: Int, _ products: Int) -> KernelCase.Work {
        .operations(2 * Double(products * h * n) * Double(dk * dv))
    }

    private static func forward(_ n: Int, dk: Int = 64, chunk: Int) -> KernelCase {
        let x = inputs(n, dk)
        return KernelCase(
            name: "delta rule, chunks of \(chunk)", size: size(n, dk), work: work(n, dk, 3), tolerance: 1e-4,
            ours: { run(x, chunk) }, naive: { run(x, chunk, .plain).values })
    }

    /// The gradients of queries, keys, values and shares, with the forward pass.
    private static func gradients(_ n: Int, dk: Int = 64, chunk: Int) -> KernelCase {
        let x = inputs(n, dk)
        let leaves = x[..<4].map { $0.requiringGradient() }
        func gradients(_ implementation: Implementation) -> Tensor {
            let all = Tensors.gradients(of: run(leaves, chunk, implementation), seed: x[4])
            return concatenate(leaves.map { all[$0]!.reshaped([$0.count]) })
        }
        return KernelCase(
            name: "delta rule with gradients", size: size(n, dk), work: work(n, dk, 12), tolerance: 1e-3,
            ours: { gradients(.fused) }, naive: { gradients(.plain).values })
    }

    private static func size(_ n: Int, _ dk: Int) -> String { "\(h) × n \(n), dk \(dk), dv \(dv)" }

    /// q, k, v, β and the output's gradient; keys of length 1, so that nothing is erased more than once over.
    private static func inputs(_ n: Int, _ dk: Int) -> [Tensor] {
        func random(_ width: Int, _ index: Int) -> Tensor {
            .normal([1, n, h, width], key: RandomKey(seed: 43).child(index))
        }
        let keys = random(dk, 1)
        let lengths = sqrt((keys * keys).sum(axes: [3], keepAxes: true))
        return [random(dk, 0), keys / lengths, random(dv, 2), sigmoid(random(1, 3)).squeezed(-1), random(dv, 4)]
    }

    private static func run(_ x: [Tensor], _ chunk: Int, _ implementation: Implementation = .fused) -> Tensor {
        deltaRule(x[0], x[1], x[2], beta: x[3], chunk: chunk, implementation: implementation).output
    }
}
