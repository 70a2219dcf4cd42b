import NN
import Tensors

func boundedMemoryWeights(_ q: Tensor, _ k: Tensor, _ e: Tensor, initialKeys: Tensor, scale: Float) -> Tensor {
    let (queries, keys) = (q.permuted([0, 2, 1, 3]), k.permuted([0, 2, 1, 3]))  // [b, h, n, d]
    let s = matrixProduct(queries, keys, transposeB: true).lowerTriangle()
    let a = matrixProduct(s, e.transposed()) + matrixProduct(queries, initialKeys, transposeB: true)
    return softmax(a * scale)
}

func boundedMemoryAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, e: Tensor, f: Tensor, initialKeys: Tensor, initialValues: Tensor,
    scale: Float, dropout p: Double, key: RandomKey?
) -> Tensor {
    let w = dropout(
        boundedMemoryWeights(q, k, e, initialKeys: initialKeys, scale: scale), probability: Float(p), key: key)
    let t = matrixProduct(w, f).lowerTriangle()
    return (matrixProduct(t, v.permuted([0, 2, 1, 3])) + matrixProduct(w, initialValues)).permuted([0, 2, 1, 3])
}
