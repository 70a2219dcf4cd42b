import NN
import Tensors

// Feature maps of queries and keys (2102.11174, section 5), and their norms.

/// φ, which makes features of queries and keys so that a memory of outer products can tell them apart.
public struct Features: Sendable {
    /// nil for rows as they are.
    public let map: FeatureMap?
    /// ν of DPFP.
    public let nu: Int
    /// W of FAVOR+, [d, m].
    public let directions: Tensor?
    /// ε of the sum by which features are divided (section 4.2); nil for no division.
    public let epsilon: Float?
    /// A function of each number, before the map; nil for none.
    public let activation: Activation?
    /// True where features are divided by their length at last (2406.06484, section 3.3).
    public let normalizesL2: Bool

    /// Creates a map; without options it gives rows as they are.
    public init(
        _ map: FeatureMap?, nu: Int = 1, directions: Tensor? = nil, epsilon: Float? = nil,
        activation: Activation? = nil, normalizesL2: Bool = false
    ) {
        (self.map, self.nu, self.directions, self.epsilon) = (map, nu, directions, epsilon)
        (self.activation, self.normalizesL2) = (activation, normalizesL2)
    }

    /// Rows as they are.
    public static let identity = Features(nil)

    /// dk of rows of d columns.
    public func width(_ d: Int) -> Int { map?.width(d, nu: nu, directions: directions?.shape.last ?? 0) ?? d }

    /// x: [..., d] → [..., dk]
    public func callAsFunction(_ x: Tensor, implementation: Implementation = .fused) -> Tensor {
        if implementation == .fused, let features = inOnePass(x) { return features }
        let features = normalized(mapped(activation?(x) ?? x, implementation), implementation)
        return normalizesL2 ? unitRows(features, epsilon: unitEpsilon) : features
    }

    private func mapped(_ x: Tensor, _ implementation: Implementation) -> Tensor {
        switch (map, implementation) {
        case (.dpfp, .plain): return dpfp(x, nu: nu)
        case (.dpfp, .fused): return DPFP(nu: nu, epsilon: epsilon)(x)
        case (.elu, _): return eluPlusOne(x)
        case (.favor, _):
            guard let directions else { fatalError("Features: favor without directions, expected [d, m]") }
            return favorFeatures(x, projection: directions, implementation: implementation)
        case (.identity, _), (.softmax, _), (nil, _): return x
        }
    }

    /// Divides by the sum, which the fused DPFP has done.
    private func normalized(_ features: Tensor, _ implementation: Implementation) -> Tensor {
        guard let epsilon, map != .dpfp || implementation == .plain else { return features }
        return sumNormalized(features, epsilon: epsilon)
    }
}

/// DPFP-ν (equation 37): with r = [relu(x), relu(−x)], block j = 1 … ν is r_i r_{i−j}, counted around.
/// x: [..., d] → [..., 2 d ν]
public func dpfp(_ x: Tensor, nu: Int) -> Tensor {
    DPFP(nu: nu, epsilon: nil).check(x.shape.last ?? 0)
    let r = concatenate([relu(x), relu(-x)], axis: -1)  // [..., 2 d]
    return concatenate((1...nu).map { r * r.rolled(by: $0, axis: -1) }, axis: -1)
}

/// ELU(x) + 1: x + 1 where x is positive, else exp(x) (2006.16236, section 3.2). x: [...] → [...]
public func eluPlusOne(_ x: Tensor) -> Tensor { relu(x) + exp(-relu(-x)) }

/// Divides rows by their sum + ε (section 4.2). x: [..., d] → [..., d]
public func sumNormalized(_ x: Tensor, epsilon: Float = 1e-6) -> Tensor {
    x / (x.sum(axes: [x.rank - 1], keepAxes: true) + epsilon)
}

/// Divides rows by √(Σ x² + ε), about their length. x: [..., d] → [..., d]
public func unitRows(_ x: Tensor, epsilon: Float = 1e-6) -> Tensor {
    x / sqrt((x * x).sum(axes: [-1], keepAxes: true) + epsilon)
}
