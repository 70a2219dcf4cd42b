/// The size of a model in the terms that all architectures share, so that they can be compared on equal terms.
public struct ModelSize: Sendable, Hashable {
    /// Tokens of the vocabulary.
    public var vocabulary: Int
    /// d, of the residual stream; a multiple of `heads`.
    public var width: Int
    /// Layers of attention and feed-forward; two gated attention units of FLASH, which are both, stand for one.
    public var depth: Int
    /// Heads of attention in a layer.
    public var heads: Int
    /// The longest sequence that is read at once.
    public var sequenceLength: Int
    /// The number of tokens that an architecture attends to exactly: its window, group, or block.
    public var window: Int

    /// Columns of a head: even, as rotary positions need.
    public var headDimension: Int { max(width / heads / 2, 1) * 2 }

    /// Creates a size; stops if the width is not a multiple of the heads.
    public init(
        vocabulary: Int = 256, width: Int, depth: Int = 4, heads: Int = 4, sequenceLength: Int, window: Int = 128
    ) {
        require(width % heads == 0, "ModelSize: width \(width), expected a multiple of heads \(heads)")
        (self.vocabulary, self.width, self.depth, self.heads) = (vocabulary, width, depth, heads)
        (self.sequenceLength, self.window) = (sequenceLength, window)
    }
}

extension Architecture {
    /// The size whose width gives a number of parameters, the others being equal.
    /// - Returns: the size, and how many parameters it has: the nearest there is.
    /// - Throws: `OptionError` where that is off by more than 5 %, or the number above 10⁹.
    public func fitting(_ size: ModelSize, parameters: Int) throws -> (size: ModelSize, parameters: Int) {
        // To count, a model is made: one of 10⁹ takes 4 GB.
        guard parameters <= 1_000_000_000 else {
            throw OptionError("parameters", "expected at most 1000000000, found \(parameters)")
        }
        func count(_ units: Int) throws -> Int {
            try parameterCount(configuration(size.of(width: units * size.heads)))
        }
        // Parameters grow with the width, at most with its square: coming from below, no model on the way has many more
        // than are asked for. Wanted is the first width with as many, or the one before.
        var (low, high) = (1, 2)
        while case let found = try count(high), found < parameters {
            let next = Double(high) * (Double(parameters) / Double(found)).squareRoot()
            (low, high) = (high, max(high + 1, Int(next)))
        }
        while high - low > 1 {
            let middle = (low + high) / 2
            if try count(middle) < parameters { low = middle } else { high = middle }
        }
        let counts = try (low: count(low), high: count(high))
        let isLow = parameters - counts.low < counts.high - parameters
        let (units, found) = isLow ? (low, counts.low) : (high, counts.high)
        guard abs(Double(found) / Double(parameters) - 1) <= 0.05 else {
            throw OptionError(
                "parameters",
                """
                no width of \(id) has \(parameters) within 5 %, the nearest \(found); expected a larger number, or that
                """)
        }
        return (size.of(width: units * size.heads), found)
    }

    /// The model of a size.
    public func makeModel(_ size: ModelSize, key: RandomKey) throws -> any LanguageModel {
        try makeModel(configuration(size).json, file: "\(id) of width \(size.width)", key: key)
    }

    /// Parameters of the model of a configuration. To count them it is made, the first time.
    /// - Throws: `InputError` where the configuration is wrong.
    public func parameterCount(_ configuration: Configuration) throws -> Int {
        try parameterCount(configuration.json, name: id)
    }

    /// The same for the JSON form, which messages call by a name.
    package func parameterCount(_ configuration: JSONValue, name: String) throws -> Int {
        let counted = CountedModel(id: id, configuration: configuration)
        if let known = parameterCounts.withLock({ $0[counted] }) { return known }
        let count = try makeModel(configuration, file: name, key: RandomKey(seed: 0)).parameterCount
        parameterCounts.withLock { $0[counted] = count }
        return count
    }
}

private struct CountedModel: Hashable {
    let id: String
    let configuration: JSONValue
}

/// The parameter counts known so far: a comparison asks for the same sizes in each of its cells.
private let parameterCounts = Guarded<[CountedModel: Int]>([:])

extension ModelSize {
    fileprivate func of(width: Int) -> ModelSize {
        var size = self
        size.width = width
        return size
    }
}
