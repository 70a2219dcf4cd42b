import Tensors

/// Rows of d floats by batch, head and token, wherever they lie in a tensor: attention reads queries, keys and values in
/// place.
package struct HeadRows: @unchecked Sendable {
    private let owner: Tensor
    private let base: UnsafePointer<Float>
    private let batchStride: Int, headStride: Int
    /// The step from one token to the next.
    package let stride: Int

    /// A tensor [b, n, h, d], or [b, h, n, d] with `headsFirst`; copied only where a row is not dense or rows overlap,
    /// which products cannot read.
    package init(_ tensor: Tensor, headsFirst: Bool) {
        let (tokens, d) = (headsFirst ? 2 : 1, tensor.shape[3])
        let isReadable = (tensor.strides[3] == 1 || d == 1) && tensor.strides[tokens] >= max(d, 1)
        let dense = isReadable ? tensor : tensor.contiguous()
        owner = dense
        base = dense.basePointer
        batchStride = dense.strides[0]
        headStride = dense.strides[headsFirst ? 1 : 2]
        stride = max(dense.strides[tokens], d)  // of a single token it may be anything
    }

    /// Part `part` of `parts` (queries, keys, values) of a dense tensor [b, n, parts · h · d].
    init(packed tensor: Tensor, part: Int, of parts: Int, heads: Int) {
        let width = tensor.shape[2] / parts
        owner = tensor
        base = tensor.pointer + part * width
        batchStride = tensor.shape[1] * tensor.shape[2]
        headStride = width / heads
        stride = tensor.shape[2]
    }

    /// The row of a token; the next token's is `stride` on.
    package func row(_ batch: Int, _ head: Int, _ token: Int) -> UnsafePointer<Float> {
        base + batch * batchStride + head * headStride + token * stride
    }

    /// The same row for writing, in a tensor that was just made.
    package func target(_ batch: Int, _ head: Int, _ token: Int) -> UnsafeMutablePointer<Float> {
        UnsafeMutablePointer(mutating: row(batch, head, token))
    }
}
