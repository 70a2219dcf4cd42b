import CKernels
import Tensors

/// φ: what keys and queries become, so that a memory of outer products can tell them apart (2102.11174, section 5).
public enum FeatureMap: String, CaseIterable, Sendable {
    /// Deterministic parameter-free projection (section 5.3): 2 d ν features, few of which are not zero.
    case dpfp
    /// ELU(x) + 1 (Katharopoulos et al., 2006.16236): d features.
    case elu
    /// Positive random features of the softmax kernel, FAVOR+ (Choromanski et al., 2009.14794): 2 m features.
    case favor
    /// None: softmax attention to all keys, which a memory of fixed size stands for.
    case softmax

    /// Columns of φ of rows of d columns.
    /// - Parameters:
    ///   - nu: ν of DPFP.
    ///   - directions: m of FAVOR+.
    public func width(_ d: Int, nu: Int, directions m: Int) -> Int {
        switch self {
        case .dpfp: RowFeatures.dpfp(nu: nu, epsilon: nil).width(d)
        case .elu, .softmax: d
        case .favor: 2 * m
        }
    }

    /// φ of rows, which with `softmax` stay as they are: [..., d] → [..., width].
    /// - Parameters:
    ///   - nu: ν of DPFP.
    ///   - directions: of FAVOR+, [d, m].
    ///   - epsilon: rows are divided by their sum + ε (section 4.2); nil: they are not.
    public func callAsFunction(_ x: Tensor, nu: Int, directions: Tensor?, epsilon: Float?) -> Tensor {
        let features: Tensor
        switch self {
        case .dpfp: return DPFP(nu: nu, epsilon: epsilon)(x)
        case .elu: features = eluPlusOne(x)
        case .softmax: features = x
        case .favor:
            guard let directions else { fatalError("FeatureMap: favor without directions, expected [d, m]") }
            features = favorFeatures(x, projection: directions)
        }
        return epsilon.map { sumNormalized(features, epsilon: $0) } ?? features
    }
}

/// DPFP-ν (2102.11174, section 5.3): with r = [relu(x), relu(−x)], block j = 1 … ν of φ is r_i r_{i−j}, counted around. Then
/// φ / (Σ φ + ε), as keys and queries are to have the sum 1 (section 4.2).
public struct DPFP: Sendable, Hashable {
    /// ν, at least 1 and less than 2 d.
    public let nu: Int
    /// nil: φ is not divided by its sum.
    public let epsilon: Float?

    public init(nu: Int = 1, epsilon: Float? = 1e-6) {
        (self.nu, self.epsilon) = (nu, epsilon)
    }

    /// x: [..., d] → [..., 2 d ν]
    public func callAsFunction(_ x: Tensor) -> Tensor {
        let d = x.shape.last ?? 0
        let map = features(d)
        let input = x.contiguous()
        let (width, rows) = (map.width(d), d == 0 ? 0 : x.count / d)
        let y = Tensor(uninitialized: x.shape.dropLast() + [width])
        let (source, target) = (input.pointer, y.mutablePointer)
        rowsInParallel(rows, map.scratch(d)) { rows, scratch in
            map.forward(
                rows.count, d, source + rows.lowerBound * d, stride: d, target + rows.lowerBound * width,
                scratch: scratch)
        }
        return .record("DPFP", y, inputs: [x]) { gradient, slots in
            let dy = gradient.contiguous()
            let dx = Tensor(uninitialized: input.shape)
            let (source, gradient, target) = (input.pointer, dy.pointer, dx.mutablePointer)
            rowsInParallel(rows, map.scratch(d)) { rows, scratch in
                let first = rows.lowerBound
                map.backward(
                    rows.count, d, source + first * d, stride: d, gradient + first * width, target + first * d,
                    dxStride: d, scratch: scratch)
            }
            slots[0].add(dx)
        }
    }

    /// The same inside `deltaRule`, of rows of d columns.
    public func features(_ d: Int) -> RowFeatures {
        let features = RowFeatures.dpfp(nu: nu, epsilon: epsilon)
        features.check(d)
        return features
    }
}

/// Runs `body` on ranges of rows, each with floats of its own to work in.
private func rowsInParallel(
    _ rows: Int, _ scratch: Int, _ body: (Range<Int>, UnsafeMutablePointer<Float>) -> Void
) {
    parallelRanges(rows, grain: 64) { range in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: max(scratch, 1)) { memory in
            if let base = memory.baseAddress { body(range, base) }
        }
    }
}

/// ELU(x) + 1: x + 1 where x is positive, else exp(x) (2006.16236, section 3.2). x: [...] → [...]
public func eluPlusOne(_ x: Tensor) -> Tensor { relu(x) + exp(-relu(-x)) }

/// Rows divided by their sum + ε (2102.11174, section 4.2). x: [..., d] → [..., d]
public func sumNormalized(_ x: Tensor, epsilon: Float = 1e-6) -> Tensor {
    x / (x.sum(axes: [x.rank - 1], keepAxes: true) + epsilon)
}
