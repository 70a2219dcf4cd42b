import FastWeightTransformers
import NN
import Tensors
import Testing

/// In a process of its own: the memory of tensors is everybody's.
@Suite struct FastWeightsMemoryTests {
    /// The most floats a token that are held at once by a pass, beyond what is there before.
    private static func peak(_ n: Int, segment: Int, features: Features = .identity, gradients: Bool) -> Double {
        let (h, d, dv) = (2, 16, 16)
        func random(_ width: Int, _ seed: UInt64) -> Tensor {
            Tensor.normal([1, n, h, width], key: RandomKey(seed: seed)).requiringGradient()
        }
        let (q, k, v) = (random(d, 1), random(d, 2), random(dv, 3))
        let beta = Tensor(repeating: 0.5, shape: [1, n, h])
        let before = MemoryPool.shared.statistics.current
        MemoryPool.shared.resetPeak()
        func run() -> Tensor { deltaRule(q, k, v, beta: beta, features: features, segment: segment).output }
        if gradients {
            _ = Tensors.gradients(of: run().sum())
        } else {
            withoutGradients { _ = run() }
        }
        return Double(MemoryPool.shared.statistics.peak - before) / Double(4 * n)
    }

    /// Without gradients there is the output, 32 floats a token; with them four gradients of as many, the shares' and a
    /// state once a segment. The features, 4 times the keys, are in no pass; a state for each token would be 2048 floats.
    @Test("Nothing by token and feature is stored")
    func nothingByTokenAndFeatureIsStored() async {
        await #expect(processExitsWith: .success) {
            let map = Features(.dpfp, nu: 2, epsilon: 1e-6)
            let without = FastWeightsMemoryTests.peak(16384, segment: 4, features: map, gradients: false)
            require(without < 38, "\(without) floats a token without gradients")
            let with = FastWeightsMemoryTests.peak(16384, segment: 4, features: map, gradients: true)
            require(with < 5 * 32 + 2048 / 128 + 12, "\(with) floats a token with gradients")
        }
    }

    /// States of 512 floats are kept once in 128 tokens instead of 32.
    @Test("Segments save states")
    func segmentsSaveStates() async {
        await #expect(processExitsWith: .success) {
            let every = FastWeightsMemoryTests.peak(16384, segment: 1, gradients: true)
            let fourth = FastWeightsMemoryTests.peak(16384, segment: 4, gradients: true)
            require(abs(every - fourth - (512.0 / 32 - 512.0 / 128)) < 2, "\(every) and \(fourth) floats a token")
        }
    }

    /// A view of any part of a batch of 16 would hold 16 times as much.
    @Test("The carry of one sequence holds its own memory and nothing of the batch")
    func carriesHoldTheirOwn() async {
        await #expect(processExitsWith: .success) {
            for normalizes in [false, true] {
                var configuration = FastWeightsConfiguration(tokens: 16, width: 32)
                (configuration.heads, configuration.layers, configuration.feedForwardDimension) = (2, 2, 16)
                (configuration.shortConvolution, configuration.normalizesAttention) = (4, normalizes)
                let model = FastWeightsLM(configuration, key: RandomKey(seed: 1))
                let tokens = TokenTensor([Int32](repeating: 3, count: 16 * 40), shape: [16, 40])
                let pool = MemoryPool.shared
                let before = pool.statistics.current
                let carry = withoutGradients {
                    model.logits(tokens, carries: Array(repeating: nil, count: 16), mode: .inference).carries[5]!
                }
                let held = pool.statistics.current - before
                let own = carry.tensors.filter { $0.key != "position" }.values.map { 4 * $0.count }
                require(own.count == (normalizes ? 6 : 4), "\(carry.tensors.keys)")
                // Memory comes in pieces that waste at most an eighth, or 64 bytes.
                let most = own.map { max($0 + 64, $0 * 9 / 8) }.reduce(0, +)
                require(held <= most, "\(held) bytes held, \(most) expected at most of \(own)")
            }
        }
    }
}
