import CKernels
import Tensors

/// Queries and keys of length 1, times learned scales (QK normalization, 2010.04245), before positions.
///
/// Keys: q_scale [d], k_scale [d].
public struct QueryKeyNorm: Module {
    /// The gain of the queries.
    public let queryScale: Parameter
    /// The gain of the keys.
    public let keyScale: Parameter

    /// Begins with ones, for heads of d columns.
    public init(_ headDimension: Int) {
        queryScale = Parameter(.ones([headDimension]))
        keyScale = Parameter(.ones([headDimension]))
    }

    /// Normalizes queries. x: [..., d] → [..., d]
    public func queries(_ x: Tensor) -> Tensor { x.l2Normalized() * queryScale.value }

    /// Normalizes keys. x: [..., d] → [..., d]
    public func keys(_ x: Tensor) -> Tensor { x.l2Normalized() * keyScale.value }

    public func collect(into state: inout StateCollector) {
        state.add("q_scale", queryScale)
        state.add("k_scale", keyScale)
    }
}

// MARK: On memory, for one token, which is less work than the tensors that would hold it

extension QueryKeyNorm {
    /// Normalizes the queries of some heads to `y`. x, y: [heads, d]
    package func queries(_ x: UnsafePointer<Float>, heads: Int, into y: UnsafeMutablePointer<Float>) {
        normalize(x, rows: heads, scale: queryScale.value, into: y)
    }

    /// Normalizes the keys of some heads to `y`. x, y: [heads, d]
    package func keys(_ x: UnsafePointer<Float>, heads: Int, into y: UnsafeMutablePointer<Float>) {
        normalize(x, rows: heads, scale: keyScale.value, into: y)
    }

    private func normalize(
        _ x: UnsafePointer<Float>, rows: Int, scale: Tensor, into y: UnsafeMutablePointer<Float>
    ) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: rows) { statistics in
            az_l2_norm_forward(rows, scale.count, 1, 1e-12, 1, x, scale.pointer, y, statistics.baseAddress)
        }
    }
}
