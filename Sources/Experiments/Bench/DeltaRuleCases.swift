import FastWeightTransformers
import NN
import Tensors

/// The delta rule in chunks (fast weights), with and without decay, against its plain form, token by token.
enum DeltaRuleCases {
    /// By length with the usual chunks, and at one length by the size of the chunks; wide keys as of DPFP; gradients.
    static var all: [KernelCase] {
        let lengths = [256, 1024, 4096, 16384].map { forward($0, chunk: 32) }
        let chunks = [1, 8, 16, 64, 128].map { forward(4096, chunk: $0) }
        return lengths + chunks + [forward(4096, dk: 128, chunk: 32), gradients(4096, chunk: 32)]
            + [gradients(4096, dk: 128, chunk: 32)]
            + [forward(4096, chunk: 32, decays: true), gradients(4096, chunk: 32, decays: true)]
    }

    /// Heads, and columns of a value.
    private static let (h, dv) = (2, 64)

    /// Multiply-adds by token, head, key and value: what is there is read, written, and read again; of gradients the same
    /// once more, as states are computed again, and six for the gradients themselves.
    private static func work(_ n: Int, _ dk: Int, _ products: Int) -> KernelCase.Work {
        .operations(2 * Double(products * h * n) * Double(dk * dv))
    }

    static func forward(_ n: Int, dk: Int = 64, chunk: Int, decays: Bool = false) -> KernelCase {
        let (x, _) = inputs(n, dk, decays)
        return KernelCase(
            name: decays ? "gated delta rule" : "delta rule, chunks of \(chunk)", size: size(n, dk),
            work: work(n, dk, 3), tolerance: 1e-4, ours: { run(x, chunk) }, naive: { run(x, chunk, .plain).values })
    }

    /// The gradients of queries, keys, values, shares and decays, with the forward pass.
    static func gradients(_ n: Int, dk: Int = 64, chunk: Int, decays: Bool = false) -> KernelCase {
        let (x, seed) = inputs(n, dk, decays)
        let leaves = x.map { $0.requiringGradient() }
        func gradients(_ implementation: Implementation) -> Tensor {
            let all = Tensors.gradients(of: run(leaves, chunk, implementation), seed: seed)
            return concatenate(leaves.map { all[$0]!.reshaped([$0.count]) })
        }
        return KernelCase(
            name: decays ? "gated with gradients" : "delta rule with gradients", size: size(n, dk),
            work: work(n, dk, 12), tolerance: 1e-3,
            ours: { gradients(.fused) }, naive: { gradients(.plain).values })
    }

    private static func size(_ n: Int, _ dk: Int) -> String { "\(h) × n \(n), dk \(dk), dv \(dv)" }

    /// q, k, v, β and maybe ln α, and the output's gradient; keys of length 1, so that nothing is erased more than once over.
    private static func inputs(_ n: Int, _ dk: Int, _ decays: Bool) -> (inputs: [Tensor], gradient: Tensor) {
        func random(_ width: Int, _ index: Int) -> Tensor {
            .normal([1, n, h, width], key: RandomKey(seed: 43).child(index))
        }
        let keys = random(dk, 1)
        let lengths = sqrt((keys * keys).sum(axes: [3], keepAxes: true))
        var inputs = [random(dk, 0), keys / lengths, random(dv, 2), sigmoid(random(1, 3)).squeezed(-1)]
        if decays {
            // α from 1 down to 0.6 or so.
            let x = random(1, 5).squeezed(-1)
            inputs.append(x * x * -0.05)
        }
        return (inputs, random(dv, 4))
    }

    private static func run(_ x: [Tensor], _ chunk: Int, _ implementation: Implementation = .fused) -> Tensor {
        deltaRule(
            x[0], x[1], x[2], beta: x[3], logDecay: x.count > 4 ? x[4] : nil, chunk: chunk,
            implementation: implementation
        ).output
    }
}
