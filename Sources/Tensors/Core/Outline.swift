import Synchronization

/// Making a model without its memory, to see how large it would be.
///
/// Inside of `making`, initial values are one number seen from every place: tensors with strides of 0. What reads only
/// their shapes works as ever; an operation on them would make them whole.
public enum Outline {
    private static let count = Atomic<Int>(0)
    @TaskLocal private static var isMaking = false

    /// True inside of `making`.
    public static var isActive: Bool { count.load(ordering: .relaxed) > 0 && isMaking }

    /// Runs `body` with initial values that take no memory.
    public static func making<Result>(_ body: () throws -> Result) rethrows -> Result {
        count.wrappingAdd(1, ordering: .relaxed)
        defer { count.wrappingSubtract(1, ordering: .relaxed) }
        return try $isMaking.withValue(true, operation: body)
    }
}

extension Tensor {
    /// The outline of a tensor: its shape, around a single 0.
    static func outline(_ shape: [Int]) -> Tensor {
        require(shape.allSatisfy { $0 >= 0 }, "Tensor: negative length in shape \(shape)")
        let storage = Storage(count: 1)
        storage.pointer.pointee = 0
        return Tensor(storage: storage, offset: 0, shape: shape, strides: shape.map { _ in 0 })
    }

    /// The tensor that `make` makes, or its outline where these are wanted. For initial values that are computed.
    public static func orOutline(_ shape: [Int], _ make: () -> Tensor) -> Tensor {
        Outline.isActive ? outline(shape) : make()
    }
}
