import Tensors

/// What a model predicts of each position: what its last layer is given, and the norm and the projection that make logits
/// of it. So a loss is computed without storing [tokens, vocabulary], and logits only where somebody asks for them.
public struct Predictions: Sendable {
    private enum Source {
        case rows(Tensor, Norm?, Projection)
        case logits(Tensor)
    }
    private let source: Source

    /// projection(norm(x)). x: [..., d].
    public init(_ x: Tensor, after norm: (any NormLayer)? = nil, projection: Linear) {
        source = .rows(x, norm?.norm, projection.projection)
    }

    /// Logits that are there already: [..., vocabulary].
    public init(logits: Tensor) { source = .logits(logits) }

    /// [..., vocabulary]
    public var logits: Tensor {
        switch source {
        case .rows(let x, let norm?, let projection): normLinear(x, norm: norm, [projection])[0]
        case .rows(let x, nil, let projection): linear(x, weight: projection.matrix, bias: projection.bias)
        case .logits(let logits): logits
        }
    }

    /// The mean cross-entropy of the targets that are not `ignoreIndex`, in nats. targets: [...]
    public func loss(_ targets: TokenTensor, ignoreIndex: Int32 = ignoredTarget) -> Tensor {
        switch source {
        case .rows(let x, let norm, let projection):
            crossEntropy(x, norm: norm, projection: projection, targets: targets, ignoreIndex: ignoreIndex)
        case .logits(let logits): crossEntropy(logits, targets, ignoreIndex: ignoreIndex)
        }
    }

    /// The cross-entropy of each target in nats, 0 where it is `ignoreIndex`, and the likeliest token in its place. No gradient
    /// flows. targets: [...]
    public func tokenLosses(
        _ targets: TokenTensor, ignoreIndex: Int32 = ignoredTarget
    ) -> (losses: Tensor, likeliest: TokenTensor) {
        switch source {
        case .rows(let x, let norm, let projection):
            classLosses(x, norm: norm, projection: projection, targets: targets, ignoreIndex: ignoreIndex)
        case .logits(let logits): classLosses(logits, targets, ignoreIndex: ignoreIndex)
        }
    }

    /// The likeliest token of each position: [...].
    public var likeliest: TokenTensor {
        let shape: [Int] =
            switch source {
            case .rows(let x, _, _): x.shape.dropLast()
            case .logits(let logits): logits.shape.dropLast()
            }
        let none = [Int32](repeating: ignoredTarget, count: shape.reduce(1, *))
        return tokenLosses(TokenTensor(none, shape: shape)).likeliest
    }
}

extension Linear {
    /// This layer of norm(x), in one operation. x: [..., in] → [..., out]
    public func callAsFunction(_ x: Tensor, after norm: any NormLayer) -> Tensor {
        normLinear(x, norm: norm.norm, [projection])[0]
    }
}
