import CKernels

/// A float32 array of any number of axes, row-major, with the operation that made it (for gradients).
///
/// A tensor is a value: no operation changes one that others can see. Views (`reshaped`, `transposed`,
/// `permuted`, slices, `expanded`) share the memory of the tensor they come from, which stays alive as long as any of
/// them; everything else returns memory of its own. The exceptions, which write in place, say so in their names or
/// comments: `mutablePointer`, `Parameter.assign` and the optimizers.
public struct Tensor: Sendable {
    var storage: Storage
    let offset: Int
    /// Axis lengths, outermost first; `[]` is a scalar.
    public let shape: [Int]
    /// The step in memory from one index of each axis to the next, in elements.
    public let strides: [Int]
    /// Which operation's output this is; nil when no gradient is wanted.
    let origin: Origin?

    init(storage: Storage, offset: Int, shape: [Int], strides: [Int], origin: Origin? = nil) {
        self.storage = storage
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.origin = origin
    }

    // MARK: Making

    /// Memory with arbitrary contents, to be filled through `mutablePointer` before anybody reads it.
    public init(uninitialized shape: [Int]) {
        require(shape.allSatisfy { $0 >= 0 }, "Tensor: negative length in shape \(shape)")
        self.init(
            storage: Storage(count: Shape.count(shape)), offset: 0, shape: shape, strides: Shape.strides(shape))
    }

    /// Creates a tensor of values in row-major order; stops if their number is not that of the shape.
    public init(_ values: [Float], shape: [Int]) {
        require(
            values.count == Shape.count(shape), "Tensor: \(values.count) values for shape \(shape)")
        self.init(uninitialized: shape)
        mutablePointer.update(from: values, count: values.count)
    }

    /// One axis.
    public init(_ values: [Float]) { self.init(values, shape: [values.count]) }

    /// A scalar, shape `[]`.
    public init(_ value: Float) { self.init([value], shape: []) }

    /// Creates a tensor of one value.
    public init(repeating value: Float, shape: [Int]) {
        if Outline.isActive {
            self = .outline(shape)
            return
        }
        self.init(uninitialized: shape)
        az_fill(count, value, mutablePointer)
    }

    /// Returns a tensor of zeros.
    public static func zeros(_ shape: [Int]) -> Tensor { Tensor(repeating: 0, shape: shape) }
    /// Returns a tensor of ones.
    public static func ones(_ shape: [Int]) -> Tensor { Tensor(repeating: 1, shape: shape) }

    /// 1 on the diagonal, else 0: [n, n].
    public static func identity(_ n: Int) -> Tensor {
        if Outline.isActive { return outline([n, n]) }
        let matrix = Tensor.zeros([n, n])
        for row in 0..<n { matrix.mutablePointer[row * (n + 1)] = 1 }
        return matrix
    }

    /// 0, 1, … count − 1 as floats.
    public static func range(_ count: Int) -> Tensor { Tensor((0..<count).map(Float.init)) }

    // MARK: Reading

    /// The number of axes.
    public var rank: Int { shape.count }
    /// The number of elements.
    public var count: Int { Shape.count(shape) }
    /// The length of an axis; negative axes count from the back.
    public func length(_ axis: Int) -> Int { shape[Shape.axis(axis, rank: rank, "length")] }

    /// The elements in row-major order.
    public var values: [Float] {
        let dense = contiguous()
        return Array(UnsafeBufferPointer(start: dense.pointer, count: dense.count))
    }

    /// The value of a tensor with one element.
    public var item: Float {
        require(count == 1, "item: a tensor of shape \(shape) has \(count) elements")
        return storage.pointer[offset]
    }

    // MARK: Memory

    /// The bytes this tensor keeps alive: of a view, those of the tensor it comes from.
    public var heldBytes: Int { storage.count * MemoryLayout<Float>.stride }

    /// True if the elements lie densely in row-major order.
    public var isContiguous: Bool {
        var step = 1
        for axis in stride(from: rank - 1, through: 0, by: -1) {
            if shape[axis] != 1 && strides[axis] != step { return false }
            step *= shape[axis]
        }
        return true
    }

    /// This tensor with dense memory: itself where it is dense, else a copy. The gradient passes through either.
    public func contiguous() -> Tensor {
        if isContiguous { return self }
        let copy = Tensor(uninitialized: shape)
        copyElements(of: self, to: copy.mutablePointer)
        return Tensor(storage: copy.storage, offset: 0, shape: shape, strides: copy.strides, origin: origin)
    }

    /// The first element of a dense tensor; valid while the tensor is alive.
    public var pointer: UnsafePointer<Float> {
        require(isContiguous, "pointer: a view of shape \(shape) with strides \(strides); call contiguous() first")
        return UnsafePointer(storage.pointer + offset)
    }

    /// The first element of any view: element [i, j, …] lies i · strides[0] + j · strides[1] + … behind it. For operations
    /// that read views in place.
    public var basePointer: UnsafePointer<Float> { UnsafePointer(storage.pointer + offset) }

    /// For filling a tensor that was just made, and for optimizers: what is written shows in every view.
    public var mutablePointer: UnsafeMutablePointer<Float> {
        require(isContiguous, "mutablePointer: a view of shape \(shape) with strides \(strides)")
        return storage.pointer + offset
    }

    /// Makes this tensor the only owner of dense memory of just its size, by a copy where it is not, so that it may be
    /// written in place (and keeps no larger tensor alive).
    public mutating func ensureUnique() {
        if isContiguous && storage.count == count && isKnownUniquelyReferenced(&storage) { return }
        let copy = Tensor(uninitialized: shape)
        copyElements(of: self, to: copy.mutablePointer)
        self = copy
    }

    /// The same values in dense memory of their own, without their history.
    func copied() -> Tensor {
        let copy = Tensor(uninitialized: shape)
        copyElements(of: self, to: copy.mutablePointer)
        return copy
    }

    /// The same values without their history: no gradient flows through the result.
    public func detached() -> Tensor {
        Tensor(storage: storage, offset: offset, shape: shape, strides: strides)
    }

    func with(origin: Origin?) -> Tensor {
        Tensor(storage: storage, offset: offset, shape: shape, strides: strides, origin: origin)
    }
}

/// Writes the elements of any view densely to `destination`.
func copyElements(of view: Tensor, to destination: UnsafeMutablePointer<Float>) {
    forEachBlock(view) { rows, cols, source, rowStride, colStride, target in
        az_copy_2d(rows, cols, view.storage.pointer + source, rowStride, colStride, destination + target, cols, 1)
    }
}

/// Cuts a view into blocks of its two innermost (merged) axes: rows, columns, source offset and strides, and the offset
/// of the block in a dense array of the view's shape.
func forEachBlock(_ view: Tensor, _ body: (Int, Int, Int, Int, Int, Int) -> Void) {
    if view.count == 0 { return }
    let (shape, strides) = Shape.collapse(view.shape, [view.strides, Shape.strides(view.shape)])
    let rank = shape.count
    if rank < 2 {
        body(1, rank == 1 ? shape[0] : 1, view.offset, 0, rank == 1 ? strides[0][0] : 1, 0)
        return
    }
    let outer = shape.dropLast(2)
    Shape.walk(outer, strides.map { $0.dropLast(2) }) { offsets in
        body(
            shape[rank - 2], shape[rank - 1], view.offset + offsets[0], strides[0][rank - 2], strides[0][rank - 1],
            offsets[1])
    }
}

extension Tensor: CustomStringConvertible {
    public var description: String {
        let shown = values.prefix(8).map { "\($0)" }.joined(separator: ", ")
        return "Tensor\(shape) [\(shown)\(count > 8 ? ", …" : "")]"
    }
}
