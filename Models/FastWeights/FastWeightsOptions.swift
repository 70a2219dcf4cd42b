import Tensors

// The choices that a configuration makes among a few named forms.

/// φ, the map from keys and queries to features that a memory of outer products can tell apart (2102.11174, section 5).
public enum FeatureMap: String, CaseIterable, Sendable {
    /// Deterministic parameter-free projection (section 5.3): 2 d ν features, few of which are not zero.
    case dpfp
    /// ELU(x) + 1 (Katharopoulos et al., 2006.16236): d features.
    case elu
    /// Positive random features of the softmax kernel, FAVOR+ (Choromanski et al., 2009.14794): 2 m features.
    case favor
    /// Rows as they are (2406.06484): d features.
    case identity
    /// None: softmax attention to all keys, which a memory of fixed size approximates.
    case softmax

    /// Returns the number of features, dk.
    /// - Parameters:
    ///   - d: columns of a row.
    ///   - nu: ν of DPFP.
    ///   - directions: m of FAVOR+.
    public func width(_ d: Int, nu: Int, directions m: Int) -> Int {
        switch self {
        case .dpfp: 2 * d * nu
        case .elu, .identity, .softmax: d
        case .favor: 2 * m
        }
    }
}

/// The update that is written to the memory (2102.11174, section 4.2).
public enum UpdateRule: String, CaseIterable, Sendable {
    /// β (v − what is there already).
    case delta
    /// β v.
    case sum
}

/// The function that queries and keys pass before the feature map (2406.06484, section 3.3).
public enum KeyActivation: String, CaseIterable, Sendable {
    case silu, relu
    /// ELU(x) + 1, as the feature map of that name.
    case elu
    /// None.
    case identity
}

/// The normalization of the features of queries and keys.
public enum KeyNorm: String, CaseIterable, Sendable {
    /// Division by their sum + ε (2102.11174, section 4.2), for features that are not negative.
    case sum
    /// Division by their length (2406.06484, section 3.3), and of queries by √dk, as in flash-linear-attention.
    case l2
    case none
}
