import NN

extension FastWeightsConfiguration {
    public func check() throws {
        try checkSizes()
        try checkKeys()
        if featureMap == .softmax { try checkSoftmax() }
        if normalizesAttention { try checkAttentionNormalization() }
        guard betaRange == 1 || beta == nil else {
            throw ConfigurationError("beta_range", "expected 1 with a fixed beta, found \(betaRange)")
        }
    }

    private func checkSizes() throws {
        guard width % heads == 0 else {
            throw ConfigurationError("heads", "expected a divisor of d_model \(width), found \(heads)")
        }
        guard featureMap != .dpfp || nu < 2 * headWidth else {
            throw ConfigurationError("nu", "expected less than twice the \(headWidth) columns of a head, found \(nu)")
        }
    }

    /// True where features may be below 0, so that a sum of them says nothing about their size.
    private var hasSignedFeatures: Bool {
        featureMap == .identity && [.silu, .identity].contains(keyActivation)
    }

    private var signedFeatures: String {
        "as the features may be negative (feature_map \"identity\", qk_activation \"\(keyActivation.rawValue)\")"
    }

    private func checkKeys() throws {
        // ELU + 1 is a feature map of its own.
        guard keyActivation != .elu || featureMap == .identity else {
            throw ConfigurationError(
                "qk_activation",
                "expected \"silu\", \"relu\" or \"identity\" with feature_map \"\(featureMap.rawValue)\", found \"elu\""
            )
        }
        guard keyNorm != .sum || !hasSignedFeatures else {
            throw ConfigurationError("qk_norm", "expected \"l2\" or \"none\", \(signedFeatures), found \"sum\"")
        }
    }

    /// Softmax attention has neither a memory nor features, and a cache of keys in place of a state.
    private func checkSoftmax() throws {
        func refuse(_ key: String, if isWrong: Bool, expected: String, found: String) throws {
            guard isWrong else { return }
            throw ConfigurationError(key, "expected \(expected) with feature_map \"softmax\", found \(found)")
        }
        try refuse("short_convolution", if: shortConvolution > 0, expected: "0", found: "\(shortConvolution)")
        try refuse(
            "qk_activation", if: keyActivation != .identity, expected: "\"identity\"",
            found: "\"\(keyActivation.rawValue)\"")
        try refuse(
            "qk_norm", if: keyNorm == .l2, expected: "\"none\" or \"sum\", which has no effect,", found: "\"l2\"")
        try refuse("decay", if: decays, expected: "\"none\"", found: "\"scalar\"")
        try refuse("beta_range", if: betaRange != 1, expected: "1", found: "\(betaRange)")
    }

    /// A sum of keys is a divisor where keys are positive and nothing of it is forgotten.
    private func checkAttentionNormalization() throws {
        func refuse(_ reason: String, _ isWrong: Bool) throws {
            guard isWrong else { return }
            throw ConfigurationError("attention_normalization", "expected false \(reason), found true")
        }
        try refuse("with decay \"scalar\"", decays)
        try refuse("with qk_norm \"l2\"", keyNorm == .l2)
        try refuse(signedFeatures, hasSignedFeatures)
    }
}
