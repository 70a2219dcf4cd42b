/// An Int32 array: token numbers, class targets, indices. Plain values without gradient.
public struct TokenTensor: Sendable, Equatable {
    /// The lengths of the axes.
    public let shape: [Int]
    /// The elements in row-major order.
    public var values: [Int32]

    /// Creates a tensor of tokens in row-major order; stops if their number is not that of the shape.
    public init(_ values: [Int32], shape: [Int]) {
        require(values.count == Shape.count(shape), "TokenTensor: \(values.count) values for shape \(shape)")
        self.shape = shape
        self.values = values
    }

    /// One axis.
    public init(_ values: [Int32]) { self.init(values, shape: [values.count]) }

    /// The number of tokens.
    public var count: Int { values.count }

    /// Returns the same tokens in another shape of as many elements.
    public func reshaped(_ shape: [Int]) -> TokenTensor { TokenTensor(values, shape: shape) }

    /// Some columns of [b, n]: [b, columns].
    public func columns(_ range: Range<Int>) -> TokenTensor {
        require(
            shape.count == 2 && range.lowerBound >= 0 && range.upperBound <= shape[1],
            "columns: \(range) of tokens \(shape)")
        let n = shape[1]
        if range == 0..<n { return self }
        let rows = (0..<shape[0]).flatMap { values[$0 * n + range.lowerBound..<$0 * n + range.upperBound] }
        return TokenTensor(rows, shape: [shape[0], range.count])
    }

    /// The first element that is not in 0 ..< limit, if any.
    public func firstOutside(_ limit: Int) -> Int32? { values.first { $0 < 0 || $0 >= limit } }
}
