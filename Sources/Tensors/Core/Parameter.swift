import Synchronization

/// A tensor that belongs to a model: it is trained, saved and loaded, under the name its module gives it.
///
/// Reading `value` is safe from several threads. `assign`, `round`, `freeze`, `unfreeze` and the optimizers write it in place;
/// nothing else may use the model meanwhile, and a graph recorded before must not be walked afterwards.
public final class Parameter: Sendable {
    /// Written by `round`, `freeze` and `unfreeze` alone.
    nonisolated(unsafe) private var contents: WeightMatrix
    /// True between `freeze` and `unfreeze`: the parameter keeps its value in training, and backward stops there.
    nonisolated(unsafe) public private(set) var isFrozen = false
    private let packed: (memory: PackedMemory, rows: Range<Int>)?
    private let isMatrix: Bool
    /// The change of low rank that `matrix` includes; nil for none. Written by `adapt` alone.
    nonisolated(unsafe) public private(set) var adapter: LowRankAdapter?
    /// Its treatment in training and loading.
    public let kind: Kind

    /// The treatment of a parameter in training and loading; all kinds are saved.
    public enum Kind: Sendable {
        /// Trained and loaded.
        case trained
        /// Loaded as it was drawn once, and not trained: random projections.
        case frozen
        /// A buffer that the model computes itself; loading checks that the file agrees.
        case computed
    }

    /// True if training changes it: it is of the trained kind and not frozen.
    public var isTrainable: Bool { kind == .trained && !isFrozen }

    /// - Parameters:
    ///   - value: the initial value.
    ///   - isMatrix: whether `matrix` is all that reads it, in products and lookups of rows, so that it may be rounded.
    public init(_ value: Tensor, _ kind: Kind = .trained, isMatrix: Bool = false) {
        let own = Outline.isActive ? value.detached() : value.copied()
        contents = .float(kind == .trained ? own.requiringGradient() : own)
        self.kind = kind
        self.isMatrix = isMatrix
        packed = nil
    }

    /// A trained parameter in memory that others share a tensor with.
    init(part: Tensor, isMatrix: Bool, of memory: PackedMemory, rows: Range<Int>) {
        contents = .float(part.requiringGradient())
        kind = .trained
        self.isMatrix = isMatrix
        packed = (memory, rows)
    }

    /// The current value, dense; a leaf where `isTrainable`. Stops where only rounded weights are left of it.
    public var value: Tensor {
        switch contents {
        case .float(let tensor): return tensor
        case .rounded(let matrix):
            fatalError(
                "Parameter.value: the floats of a parameter of shape \(matrix.shape) are gone, it is rounded to "
                    + "\(matrix.format.rawValue); expected matrix or floats()")
        }
    }

    /// The current value as layers multiply by it, [rows, columns], with the adapter's change.
    public var matrix: WeightMatrix {
        if let adapter { .float(adapter.added(to: floats())) } else { contents }
    }

    /// The current value; of a rounded parameter the floats that its weights stand for, made anew.
    public func floats() -> Tensor {
        switch contents {
        case .float(let tensor): tensor
        case .rounded(let matrix): matrix.expanded()
        }
    }

    /// The lengths of its axes.
    public var shape: [Int] { contents.shape }
    /// The number of its elements.
    public var count: Int { Shape.count(shape) }

    /// Overwrites the value in place with a tensor of the same shape.
    public func assign(_ tensor: Tensor) {
        require(tensor.shape == shape, "Parameter.assign: shape \(tensor.shape) for a parameter of shape \(shape)")
        copyElements(of: tensor.detached(), to: value.mutablePointer)
    }

    // MARK: Freezing

    /// Keeps the parameter from being trained: no operation records a gradient for it any more, so what depends on frozen
    /// parameters alone costs nothing in the backward pass. Other kinds than the trained have no gradient anyway.
    public func freeze() { setFrozen(true) }

    /// Makes a frozen parameter trainable again.
    public func unfreeze() { setFrozen(false) }

    private func setFrozen(_ frozen: Bool) {
        guard kind == .trained, isFrozen != frozen else { return }
        isFrozen = frozen
        if case .float(let tensor) = contents {
            contents = .float(frozen ? tensor.detached() : tensor.requiringGradient())
        }
    }

    // MARK: Adapting

    /// Makes `matrix` include a change of low rank, or no longer; `value` and what is saved under the parameter's name stay as
    /// they are. For parameters that `canBeRounded`, which only `matrix` reads.
    public func adapt(_ adapter: LowRankAdapter?) {
        require(
            adapter == nil || canBeRounded, "Parameter.adapt: a parameter of shape \(shape) that layers read otherwise")
        if let adapter {
            require(
                adapter.shape == shape,
                "Parameter.adapt: an adapter of shape \(adapter.shape) for a parameter of \(shape)")
        }
        self.adapter = adapter
    }

    // MARK: Rounding

    /// The format that the weights are rounded to; nil for floats.
    public var roundedFormat: RoundedMatrix.Format? {
        if case .rounded(let matrix) = contents { matrix.format } else { nil }
    }

    /// True if `round` applies: to matrices of more than one column.
    public var canBeRounded: Bool { isMatrix && shape.count == 2 && shape[1] > 1 }

    /// A weight that the format has no finite number for, if there is one.
    public func weight(outside format: RoundedMatrix.Format) -> Float? {
        guard canBeRounded, case .float(let tensor) = contents else { return nil }
        return withExtendedLifetime(tensor) {
            UnsafeBufferPointer(start: tensor.pointer, count: tensor.count).first { !format.holds($0) }
        }
    }

    /// Leaves only rounded weights of a matrix; its floats are given back to the memory pool. What was rounded stays as it is.
    /// - Parameter format: that of all parameters which are packed with this one.
    public func round(to format: RoundedMatrix.Format) {
        guard canBeRounded, case .float(let tensor) = contents else { return }
        contents = .rounded(
            packed.map { $0.memory.round(to: format).rows($0.rows) } ?? RoundedMatrix(tensor, format))
    }
}
