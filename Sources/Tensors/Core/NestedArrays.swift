// Tensors written as nested arrays: Tensor([[1, 2], [3, 4]]).

extension Tensor {
    /// Creates a tensor of two axes from its rows, which must have the same length.
    @_disfavoredOverload
    public init(_ rows: [[Float]]) {
        self.init(rows.flatMap { $0 }, shape: [rows.count, commonLength(rows.map(\.count), "rows")])
    }

    /// Creates a tensor of three axes from its matrices, which must have the same shape.
    @_disfavoredOverload
    public init(_ matrices: [[[Float]]]) {
        let rows = matrices.flatMap { $0 }
        self.init(
            rows.flatMap { $0 },
            shape: [
                matrices.count, commonLength(matrices.map(\.count), "matrices"),
                commonLength(rows.map(\.count), "rows"),
            ])
    }

    /// Creates a tensor of the numbers of tokens, as floats.
    public init(_ tokens: TokenTensor) { self.init(tokens.values.map(Float.init), shape: tokens.shape) }
}

extension TokenTensor {
    /// Creates a tensor of two axes from its rows, which must have the same length.
    @_disfavoredOverload
    public init(_ rows: [[Int32]]) {
        self.init(rows.flatMap { $0 }, shape: [rows.count, commonLength(rows.map(\.count), "rows")])
    }
}

/// The length that all have; 0 of none.
private func commonLength(_ lengths: [Int], _ name: String) -> Int {
    let first = lengths.first ?? 0
    require(lengths.allSatisfy { $0 == first }, "Tensor: \(name) of lengths \(lengths); expected equal lengths")
    return first
}
