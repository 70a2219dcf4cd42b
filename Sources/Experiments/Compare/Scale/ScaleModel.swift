import ModelZoo

/// A model of a comparison by length: as wide as its number of parameters asks for, made for each length anew.
///
/// Learned positions (tables, projections) are as long as the sequence, so some architectures have more parameters for
/// longer ones.
struct ScaleModel {
    private let architecture: any Architecture
    /// For the shortest sequence.
    private let size: ModelSize
    private let isNaive: Bool
    private let title: String

    /// - Parameters:
    ///   - model: an architecture's id, or `naive` for the naive form of the baseline.
    ///   - settings: what `--set` changes in it.
    ///   - parameters: for the shortest sequence, within 5 %.
    /// - Throws: `InputError` for an unknown model, or a number of parameters that it cannot have.
    init(_ model: String, settings: ModelSettings = .init(), parameters: Int) throws {
        isNaive = model == ScaleCell.naive
        architecture = try settings.architecture(isNaive ? "transformer" : model)
        size = try architecture.fitting(ScaleOptions.size, parameters: parameters).size
        title = "\(model) of width \(size.width)"
    }

    /// Parameters for sequences of n tokens, from the shortest on. The model is not made: each token more adds the same
    /// number.
    func parameterCount(_ n: Int) throws -> Int {
        let counts = try (0...1).map {
            try architecture.parameterCount(configuration(ScaleOptions.shortest + $0), name: title)
        }
        return counts[0] + (n - ScaleOptions.shortest) * (counts[1] - counts[0])
    }

    /// Returns the least memory of a pass with gradients over n tokens: parameters and their gradients, and the n²
    /// numbers of the naive form.
    func leastMegabytes(_ n: Int) throws -> Double {
        let fixed = megabytes(2 * MemoryLayout<Float>.size * (try parameterCount(n)))
        guard isNaive else { return fixed }
        return fixed + (try TransformerConfiguration(configuration(n), file: title).naiveMegabytes(n))
    }

    /// The model for sequences of n tokens.
    func makeModel(_ n: Int, key: RandomKey) throws -> any LanguageModel {
        try architecture.makeModel(configuration(n), file: title, key: key)
    }

    private func configuration(_ n: Int) throws -> JSONValue {
        var longer = size
        longer.sequenceLength = n
        let configuration = try architecture.configuration(longer).json
        guard isNaive, case .object(var members) = configuration else { return configuration }
        members["attention"] = .string(TransformerConfiguration.AttentionForm.naive.rawValue)
        return .object(members)
    }
}
