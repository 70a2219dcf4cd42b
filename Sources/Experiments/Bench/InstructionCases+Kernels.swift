import ModelZoo

/// Operations forward and back at sizes that are large enough for their loops to outweigh the bookkeeping around them, and
/// small enough for an emulated processor.
extension InstructionCase {
    static var kernels: [InstructionCase] { rows + attention.map(InstructionCase.init) + [optimizer] }

    // MARK: Rows and elements

    private static let (count, width) = (64, 512)
    private static let key = RandomKey(seed: 51)

    private static var rows: [InstructionCase] {
        let weight = Tensor.uniform([width], low: 0.5, high: 1.5, key: key.child(1))
        let bias = Tensor.normal([width], key: key.child(2))
        let matrix = Tensor.normal([width, width], standardDeviation: 0.05, key: key.child(3))
        let targets = TokenTensor((0..<Int32(count)).map { $0 * 7 % Int32(width) })
        return [
            operation("silu") { silu($0) },
            operation("gelu") { gelu($0) },
            operation("laplace") { laplace($0) },
            operation("softmax") { softmax($0) },
            operation("layer-norm") { layerNorm($0, weight: weight, bias: bias) },
            operation("sum-of-columns") { $0.sum(axes: [0]) },
            operation("transpose") { $0.transposed().contiguous() },
            operation("dropout") { dropout($0, probability: 0.1, key: key.child(4)) },
            operation("cross-entropy") { crossEntropy($0, targets) },
            operation("linear") { linear($0, weight: matrix, bias: bias, activation: .silu) },
        ]
    }

    /// An operation on rows of random numbers, and the gradient of its input.
    private static func operation(_ name: String, _ operation: @escaping (Tensor) -> Tensor) -> InstructionCase {
        InstructionCase(name: "kernel/\(name)") {
            let x = Tensor.normal([count, width], key: key.child(0)).requiringGradient()
            let seed = Tensor.normal(operation(x).shape, key: key.child(5))
            return { _ = gradients(of: operation(x), seed: seed) }
        }
    }

    /// Adam's update of a matrix.
    private static var optimizer: InstructionCase {
        InstructionCase(name: "kernel/adam") {
            let weight = Parameter(.normal([count, width], key: key.child(6)))
            let all = gradients(of: weight.value.sum())
            let optimizer = Optimizer([("weight", weight)])
            return { optimizer.update(all, learningRate: 1e-3) }
        }
    }

    // MARK: Attention

    private static var attention: [(name: String, operation: KernelCase)] {
        [
            ("window-attention", AttentionCases.window(320)),
            ("shared-key-attention", AttentionCases.memory(16)),
            ("mixed-chunk-attention", AttentionCases.mixedChunk(256)),
            ("segment-attention", SegmentCases.gradients(SegmentSizes(h: 1, n: 288))),
            ("gated-slots", GatedSlotCases.gradients(32)),
            ("delta-rule", DeltaRuleCases.gradients(128, chunk: 32)),
            ("gated-delta-rule", DeltaRuleCases.gradients(128, chunk: 32, decays: true)),
            ("short-convolution", ShortConvolutionCases.gradients(128, channels: 256)),
        ]
    }

    private init(_ name: String, _ operation: KernelCase) {
        self.init(name: "kernel/\(name)") { { _ = operation.ours() } }
    }
}
