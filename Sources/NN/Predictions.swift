import Tensors

/// A model's predictions: the input of its last layer, and the norm and the projection that make logits of it. So a
/// loss is computed without storing [tokens, vocabulary], and logits only on demand.
public struct Predictions: Sendable {
    private indirect enum Source {
        case rows(Tensor, Norm?, Projection)
        case logits(Tensor)
        case some(SomePredictions)
    }
    private let source: Source

    /// projection(norm(x)). x: [..., d].
    public init(_ x: Tensor, after norm: (any NormLayer)? = nil, projection: Linear) {
        source = .rows(x, norm?.norm, projection.projection)
    }

    /// Logits that are there already: [..., vocabulary].
    public init(logits: Tensor) { source = .logits(logits) }

    /// Predictions of some positions, one for each row of `predictions`; the logits of all others are zeros.
    /// - Parameters:
    ///   - positions: rising, counted through `shape`.
    ///   - shape: of all positions, such as [b, n].
    public init(_ predictions: Predictions, at positions: [Int], of shape: [Int]) {
        source = .some(SomePredictions(predictions, at: positions, of: shape))
    }

    /// The number of classes.
    var vocabularySize: Int {
        switch source {
        case .rows(_, _, let projection): projection.matrix.shape[0]
        case .logits(let logits): logits.shape[logits.rank - 1]
        case .some(let some): some.predictions.vocabularySize
        }
    }

    /// [..., vocabulary]
    public var logits: Tensor {
        switch source {
        case .rows(let x, let norm?, let projection): normLinear(x, norm: norm, [projection])[0]
        case .rows(let x, nil, let projection): linear(x, weight: projection.matrix, bias: projection.bias)
        case .logits(let logits): logits
        case .some(let some): some.logits
        }
    }

    /// The predictions of some positions alone, so that the others cost no logits: [rows].
    /// - Parameter positions: indices of the positions as if they were in one row, in [0, count).
    public func taking(_ positions: [Int32]) -> Predictions {
        func rows(_ x: Tensor) -> Tensor {
            x.contiguous().reshaped([x.count / x.length(-1), x.length(-1)]).taking(TokenTensor(positions))
        }
        return switch source {
        case .rows(let x, let norm, let projection): Predictions(source: .rows(rows(x), norm, projection))
        case .logits(let logits): Predictions(source: .logits(rows(logits)))
        case .some(let some): Predictions(source: .logits(rows(some.logits)))
        }
    }

    private init(source: Source) { self.source = source }

    /// The mean cross-entropy of the targets that are not `ignoreIndex`, in nats. targets: [...]
    public func loss(_ targets: TokenTensor, ignoreIndex: Int32 = ignoredTarget) -> Tensor {
        switch source {
        case .rows(let x, let norm, let projection):
            crossEntropy(x, norm: norm, projection: projection, targets: targets, ignoreIndex: ignoreIndex)
        case .logits(let logits): crossEntropy(logits, targets, ignoreIndex: ignoreIndex)
        case .some(let some): some.loss(targets, ignoreIndex: ignoreIndex)
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
        case .some(let some): some.tokenLosses(targets, ignoreIndex: ignoreIndex)
        }
    }

    /// The likeliest token of each position: [...].
    public var likeliest: TokenTensor {
        let shape: [Int] =
            switch source {
            case .rows(let x, _, _): x.shape.dropLast()
            case .logits(let logits): logits.shape.dropLast()
            case .some(let some): some.shape
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
