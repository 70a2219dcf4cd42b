import Synchronization

/// A tensor that belongs to a model: it is trained, saved and loaded, under the name its module gives it.
///
/// Reading `value` is safe from several threads. `assign` and the optimisers write its memory in place; nothing else may
/// use the model meanwhile, and a graph recorded before must not be walked afterwards.
public final class Parameter: Sendable {
    /// The current value, dense; a leaf where `isTrainable`.
    public let value: Tensor
    /// What becomes of it besides being saved.
    public let kind: Kind

    /// What becomes of a parameter besides being saved.
    public enum Kind: Sendable {
        /// Trained and loaded.
        case trained
        /// Loaded as it was drawn once, and not trained: random projections.
        case frozen
        /// A buffer that the model computes itself; loading checks that the file agrees.
        case computed
    }

    public var isTrainable: Bool { kind == .trained }

    public init(_ value: Tensor, _ kind: Kind = .trained) {
        let own = Tensor(uninitialized: value.shape)
        copyElements(of: value, to: own.mutablePointer)
        self.value = kind == .trained ? own.requiringGradient() : own
        self.kind = kind
    }

    /// A trained parameter in memory that others share a tensor with.
    init(part: Tensor) {
        value = part.requiringGradient()
        kind = .trained
    }

    public var shape: [Int] { value.shape }
    public var count: Int { value.count }

    /// Overwrites the value in place with a tensor of the same shape.
    public func assign(_ tensor: Tensor) {
        require(tensor.shape == shape, "Parameter.assign: shape \(tensor.shape) for a parameter of shape \(shape)")
        copyElements(of: tensor.detached(), to: value.mutablePointer)
    }
}
