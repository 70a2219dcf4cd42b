import NN
import Tensors

// FAVOR+: positive orthogonal random features (Choromanski et al., 2009.14794). The mean over random w of
// exp(w·x − |x|²/2) · exp(w·y − |y|²/2) is exp(x·y), so the products of a few such features stand for softmax's kernel.
//
// d inputs, m random vectors, 2 m features.

/// Random vectors for `favorFeatures`: the columns of each block of d are orthogonal, and each is as long as a vector of
/// d standard normal numbers (2009.14794, section 2.4). The same key gives the same vectors; another key draws them again.
///
/// Returns [d, m].
public func favorProjection(_ d: Int, features m: Int, key: RandomKey) -> Tensor {
    require(d > 0 && m > 0, "favorProjection: \(m) features of \(d) inputs; expected at least 1 of each")
    if Outline.isActive { return .zeros([d, m]) }
    let blocks = stride(from: 0, to: m, by: d).enumerated().map { index, start in
        Tensor.orthogonal([d, min(d, m - start)], key: key.child(0).child(index))
    }
    let lengths = sqrt(Tensor.normal([d, m], key: key.child(1)).squared.sum(axes: [0]))  // [m]
    return concatenate(blocks, axis: 1) * lengths
}

extension Tensor {
    fileprivate var squared: Tensor { self * self }
}

/// φ(x) = [exp(x W − |x|²/2), exp(−x W − |x|²/2)] / √(2 m): the hyperbolic form of FAVOR+ (2009.14794, lemma 1), all
/// above 0, and φ(x)·φ(y) ≈ exp(x·y).
///
/// Where |x| is large every feature becomes 0: e^(−|x|²/2) is below the smallest float32 from |x| = 13 on.
///
/// x: [..., d]; projection W: [d, m], as from `favorProjection`. Returns [..., 2 m]. Gradients flow to both.
public func favorFeatures(
    _ x: Tensor, projection: Tensor, implementation: Implementation = .fused
) -> Tensor {
    require(
        projection.rank == 2 && projection.count > 0 && x.rank >= 1 && x.shape.last == projection.shape[0],
        "favorFeatures: x \(x.shape) and projection \(projection.shape): expected a projection"
            + " [\(x.shape.last ?? 0), m]")
    if implementation == .fused { return fusedFavorFeatures(x, projection: projection) }
    let h = (x * x).sum(axes: [-1], keepAxes: true) * 0.5
    let u = matrixProduct(x.unsqueezed(-2), projection).squeezed(-2)  // [..., m]
    return concatenate([exp(u - h), exp(-u - h)], axis: -1) / Float(2 * projection.shape[1]).squareRoot()
}
