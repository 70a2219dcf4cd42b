import NN
import Tensors

extension FastWeightsConfiguration {
    public static let schema = ConfigurationSchema(
        FastWeightsConfiguration(tokens: 0),
        [
            .size("n_vocab", \.tokens, isRequired: true).role(.vocabulary),
            .size("d_model", \.width),
            .size("nu", \.nu),
            .heads("heads", \.heads),
            .number("dropout", \.dropout, in: 0..<1).role(.dropout),
            .size("d_ff", \.feedForwardDimension, atLeast: 0),
            .depth("n_layers", \.layers),
            .number("eps", \.epsilon, in: 1e-30...1),
        ] + memory + keys + stack)

    private static let memory: [ConfigurationField<Self>] = [
        .option("feature_map", \.featureMap),
        .size("favor_features", \.favorFeatures, atMost: 1 << 16),
        .flag("favor_redraw", \.redrawsFavor),
        .option("update_rule", \.rule),
        .flag("decay", \.decays, isTrueAs: "scalar", isFalseAs: "none"),
        .flag("attention_normalization", \.normalizesAttention),
        beta,
        .integer("beta_range", \.betaRange, in: 1...2),
        .flag("output_norm", \.normsOutput, isTrueAs: "rms", isFalseAs: "none"),
        .flag("output_gate", \.gatesOutput),
        .flag("recompute_states", \.recomputesStates),
    ]

    private static let keys: [ConfigurationField<Self>] = [shortConvolution, keyActivation, sumNormalization, keyNorm]

    private static let stack: [ConfigurationField<Self>] = [
        .flag("positions", \.usesPositions),
        .flag("pre_norm", \.normsAttention),
        .flag("norm", \.usesRMSNorm, isTrueAs: "rms", isFalseAs: "layer"),
        .number("norm_eps", \.normEpsilon, in: 1e-30...1),
        .flag("gated_feed_forward", \.gatesFeedForward),
        ConfigurationField(
            "feed_forward_activation",
            read: {
                let name = try $1.string("feed_forward_activation", default: "relu", oneOf: ["relu", "silu"])
                $0.feedForwardActivation = name == "silu" ? .silu : .relu
            }, write: { .string($0.feedForwardActivation.rawValue) }),
        .flag("identical_layers", \.startsIdentical),
    ]

    /// "input" or a number; by default "input" for the delta rule and 1 for the sum rule.
    private static let beta = ConfigurationField<Self>(
        "beta",
        read: { configuration, reader in
            switch reader.value("beta") {
            case nil: configuration.beta = configuration.rule == .delta ? nil : 1
            case .string("input"): configuration.beta = nil
            case let value?:
                guard let number = value.doubleValue, number > 0, number <= 1 else {
                    throw reader.error("beta", "expected \"input\" or a number above 0, up to 1, found \(value)")
                }
                configuration.beta = number
            }
        }, write: { $0.beta.map { .number($0) } ?? .string("input") })

    private static let longestKernel = 256

    /// A number of tokens, or true for the usual 4.
    private static let shortConvolution = ConfigurationField<Self>(
        "short_convolution",
        read: { configuration, reader in
            guard let value = reader.value("short_convolution") else { return }
            let tokens = value.boolValue.map { $0 ? 4 : 0 } ?? value.intValue
            guard let tokens, (0...longestKernel).contains(tokens) else {
                throw reader.error(
                    "short_convolution",
                    "expected true, false or a whole number from 0 to \(longestKernel), found \(value)")
            }
            configuration.shortConvolution = tokens
        }, write: { .integer($0.shortConvolution) })

    /// By default the usual activation of a convolution, where there is one.
    private static let keyActivation = ConfigurationField<Self>(
        "qk_activation",
        read: {
            let usual = $0.shortConvolution > 0 ? KeyActivation.silu : .identity
            $0.keyActivation = try $1.option("qk_activation", default: usual)
        }, write: { .string($0.keyActivation.rawValue) })

    /// The key that was there before qk_norm, which is read and no longer written.
    private static let sumNormalization = ConfigurationField<Self>(
        "sum_normalization",
        read: { if try $1.optionalBool("sum_normalization") == false { $0.keyNorm = KeyNorm.none } },
        write: { _ in nil })

    private static let keyNorm = ConfigurationField<Self>(
        "qk_norm",
        read: {
            $0.keyNorm = try $1.option("qk_norm", default: $0.keyNorm)
            if let sums = try $1.optionalBool("sum_normalization"), sums != ($0.keyNorm == .sum) {
                throw $1.error("sum_normalization", "is \(sums), but \"qk_norm\" is \"\($0.keyNorm.rawValue)\"")
            }
        }, write: { .string($0.keyNorm.rawValue) })
}
