import Tensors

/// Collects the weights of attention of a forward pass, to be looked at: layers keep none otherwise.
///
///     let recorder = AttentionRecorder()
///     _ = model(tokens, mode: .recording(recorder))
///     recorder.layers[0].weights     // [b, h, n, m]
public final class AttentionRecorder: Sendable {
    /// The weights of one attention layer.
    public struct Layer: Sendable {
        /// The title of its pictures, such as "Layer 1".
        public let name: String
        /// The weight that each query (row) of each head gives each key or slot (column): [b, h, n, m]. Rows of softmax
        /// attention sum to 1.
        public let weights: Tensor
    }

    /// The layers that all parts of a model have recorded, and the parts they belong to.
    private final class Shelf: Sendable {
        let layers = Guarded<[(part: String, layer: Layer)]>([])
    }

    private let shelf: Shelf
    private let part: String

    /// Creates a recorder without layers.
    public convenience init() { self.init(Shelf(), part: "") }

    private init(_ shelf: Shelf, part: String) {
        self.shelf = shelf
        self.part = part
    }

    /// In the order in which the model computed them.
    public var layers: [Layer] { shelf.layers.withLock { $0.map(\.layer) } }

    /// Adds a layer's weights, [b, h, n, m].
    /// - Parameters:
    ///   - name: nil: "Layer" (or the part of the model) with the number of this layer among those recorded, from 1.
    ///   - note: what is added to the name, if anything.
    public func record(_ weights: Tensor, name: String? = nil, note: String? = nil) {
        require(weights.rank == 4, "AttentionRecorder.record: weights \(weights.shape), expected [b, h, n, m]")
        let dense = weights.detached().contiguous()
        shelf.layers.withLock { layers in
            let number = layers.count { $0.part == part } + 1
            let base = name ?? "\(part.isEmpty ? "Layer" : part) \(number)"
            layers.append((part, Layer(name: base + (note.map { ": " + $0 } ?? ""), weights: dense)))
        }
    }

    /// Returns the recorder of a part of the model, whose layers are named after the part and counted by themselves,
    /// such as "Encoder 1".
    func part(_ name: String) -> AttentionRecorder {
        AttentionRecorder(shelf, part: part.isEmpty ? name : "\(part) \(name)")
    }
}
