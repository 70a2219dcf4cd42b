import Synchronization
import Tensors

/// Collects the weights of attention of a forward pass, to be looked at: layers keep none otherwise.
///
///     let recorder = AttentionRecorder()
///     _ = model(tokens, mode: .recording(recorder))
///     recorder.layers[0].weights     // [b, h, n, m]
public final class AttentionRecorder: Sendable {
    /// The weights of one attention layer.
    public struct Layer: Sendable {
        /// What pictures of it are called, such as "Layer 1".
        public let name: String
        /// What each query (row) of each head takes of each key or slot (column): [b, h, n, m]. Rows of softmax attention
        /// sum to 1.
        public let weights: Tensor
    }

    private let collected = Mutex<[Layer]>([])

    public init() {}

    /// In the order in which the model computed them.
    public var layers: [Layer] { collected.withLock { $0 } }

    /// Adds a layer's weights, [b, h, n, m].
    /// - Parameter name: nil: "Layer" with the number of this layer among those recorded, from 1.
    public func record(_ weights: Tensor, name: String? = nil) {
        require(weights.rank == 4, "AttentionRecorder.record: weights \(weights.shape), expected [b, h, n, m]")
        collected.withLock {
            $0.append(Layer(name: name ?? "Layer \($0.count + 1)", weights: weights.detached().contiguous()))
        }
    }
}
