import Tensors

// Residual connections (Deep Residual Learning, 1512.03385) with dropout on the branch (Attention Is All You Need,
// 1706.03762, section 5.4).

extension Tensor {
    /// Adds a branch to this residual: x + dropout(branch).
    /// - Parameters:
    ///   - branch: what a layer made of x, of its shape.
    ///   - dropout: the probability with which an element of the branch is 0.
    ///   - mode: its key is what dropout draws from; without one there is none.
    public func addingBranch(_ branch: Tensor, dropout: Double = 0, mode: ForwardMode = .inference) -> Tensor {
        self + Tensors.dropout(branch, probability: Float(dropout), key: mode.key)
    }
}

extension Linear {
    /// Ends a branch: residual + dropout(x Wᵀ + b), where nothing is dropped as one operation.
    /// - Parameters:
    ///   - x: [..., in].
    ///   - residual: [..., out]; nil for the branch alone.
    ///   - dropout: the probability with which an element of the branch is 0.
    ///   - mode: its key is what dropout draws from; without one there is none.
    /// - Returns: [..., out].
    public func callAsFunction(
        _ x: Tensor, residual: Tensor?, dropout: Double = 0, mode: ForwardMode = .inference
    ) -> Tensor {
        guard let residual, dropout == 0 || mode.key == nil else {
            let branch = self(x)
            return residual.map { $0.addingBranch(branch, dropout: dropout, mode: mode) }
                ?? Tensors.dropout(branch, probability: Float(dropout), key: mode.key)
        }
        return linear(x, weight: weight.matrix, bias: bias?.value, residual: residual)
    }
}
