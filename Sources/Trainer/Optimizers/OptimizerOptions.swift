import NN

/// The optimizer and its constants. Names and defaults are those of torch.optim.
public struct OptimizerOptions: Sendable, Hashable {
    /// The optimizers there are, by the names that configurations have.
    public enum Kind: String, CaseIterable, Sendable {
        /// Kingma and Ba 2015 (1412.6980); weight decay is added to the gradient.
        case adam
        /// Loshchilov and Hutter 2019 (1711.05101): weight decay shrinks the parameter, apart from the gradient.
        case adamW = "adamw"
        /// Gradient descent with momentum.
        case sgd
        /// Shazeer and Stern 2018 (1804.04235): second moments of a matrix as a row and a column, clipped updates, steps
        /// in proportion to the parameter's own size.
        case adafactor
    }

    /// The optimizer.
    public var kind: Kind
    /// Per step and unit of learning rate; on every parameter but those of `noDecay`.
    public var weightDecay: Double
    /// The roles of the parameters that weight decay is kept from.
    public var noDecay: Set<ParameterRole> = []
    /// Adam's decay rates of the first and second moment.
    public var beta1: Double
    /// Adam's decay rate of the second moment.
    public var beta2: Double
    /// Adam's addend to the root of the second moment.
    public var epsilon: Double
    /// The share of the last update that SGD keeps.
    public var momentum: Double
    /// True where the steps of Adam and AdamW are in proportion to the parameter's size, as Adafactor's always are: the
    /// root of its mean square, at least `leastSize`.
    public var scalesByParameter = false
    /// The size that a small parameter's steps go by (Adafactor's ε₂).
    public var leastSize = 1e-3
    /// Adafactor's c: step t forgets the share t^−c of the second moments.
    public var decayExponent = 0.8
    /// Adafactor's d: the greatest root mean square of an update, before the learning rate.
    public var updateLimit = 1.0

    /// Creates options; unused constants have no effect.
    public init(
        _ kind: Kind, weightDecay: Double = 0, beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
        momentum: Double = 0
    ) {
        self.kind = kind
        self.weightDecay = weightDecay
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.momentum = momentum
    }

    /// Returns the options of Adam (Kingma and Ba 2015, 1412.6980).
    public static func adam(
        beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0
    ) -> Self {
        Self(.adam, weightDecay: weightDecay, beta1: beta1, beta2: beta2, epsilon: epsilon)
    }

    /// Returns the options of AdamW (Loshchilov and Hutter 2019, 1711.05101).
    public static func adamW(
        beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 1e-2
    ) -> Self {
        Self(.adamW, weightDecay: weightDecay, beta1: beta1, beta2: beta2, epsilon: epsilon)
    }

    /// Returns Adafactor's options with torch's defaults. The learning rate is that of a parameter of size 1, and at most 1 / √t in step t.
    public static func adafactor(
        decayExponent: Double = 0.8, updateLimit: Double = 1, leastSize: Double = 1e-3, weightDecay: Double = 0
    ) -> Self {
        var options = Self(.adafactor, weightDecay: weightDecay)
        (options.decayExponent, options.updateLimit, options.leastSize) = (decayExponent, updateLimit, leastSize)
        return options
    }

    /// Returns the options of gradient descent with momentum.
    public static func sgd(momentum: Double = 0, weightDecay: Double = 0) -> Self {
        Self(.sgd, weightDecay: weightDecay, momentum: momentum)
    }
}

// MARK: Schema

extension OptimizerOptions: CheckedOptions {
    static var defaults: OptimizerOptions { .adam() }

    /// The keys and ranges of the options. Those of newer optimizers are written only where they have an effect.
    static let schema: [OptionField<OptimizerOptions>] = [
        .choice("name", \.kind, property: "kind"),
        .number("weight_decay", \.weightDecay, .atLeast(0)),
        .words("no_decay", \.noDecay).written { !$0.noDecay.isEmpty },
        .number("beta1", \.beta1, .rate),
        .number("beta2", \.beta2, .rate),
        .number("epsilon", \.epsilon, .atLeast(0)),
        .number("momentum", \.momentum, .rate),
        .flag("parameter_scaled", \.scalesByParameter, property: "scalesByParameter").written(
            where: \.scalesByParameter),
        .number("least_size", \.leastSize, .atLeast(0), isRequired: false)
            .written { $0.kind == .adafactor || $0.scalesByParameter },
        .number("decay_exponent", \.decayExponent, .atLeast(0), isRequired: false).written { $0.kind == .adafactor },
        .number("update_limit", \.updateLimit, .atLeast(1), isRequired: false).written { $0.kind == .adafactor },
    ]

    /// Checks the range of every option, and what cannot be together.
    /// - Throws: `OptionError` that names the first property that is wrong.
    public func validate() throws { try check() }

    func checkTogether() throws {
        guard scalesByParameter, ![.adam, .adamW].contains(kind) else { return }
        throw OptionError(
            "scalesByParameter", "expected only with \(option: "kind", "adam") or adamw; it is \(kind.rawValue)")
    }

    public init(from decoder: any Decoder) throws { try self.init(decoding: decoder) }

    public func encode(to encoder: any Encoder) throws { try json.encode(to: encoder) }
}
