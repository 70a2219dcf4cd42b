import NN

/// The configuration of a `LinformerLM`, or of a `LinformerEncDec`, which a JSON object is meant for where a key of it begins
/// with `enc_` or `dec_`.
public enum LinformerModelConfiguration: ModelConfiguration {
    case languageModel(LinformerLMConfiguration)
    case encoderDecoder(LinformerEncDecConfiguration)

    public static let schema = ConfigurationSchema<Self>(oneOf: [
        ConfigurationForm(
            Self.encoderDecoder, extract: \.encoderDecoder,
            isMeantBy: { $0.contains { $0.hasPrefix("enc_") || $0.hasPrefix("dec_") } }),
        ConfigurationForm(Self.languageModel, extract: \.languageModel, isMeantBy: { _ in true }),
    ])

    /// The configuration where it is one of a language model.
    public var languageModel: LinformerLMConfiguration? {
        if case .languageModel(let configuration) = self { configuration } else { nil }
    }

    /// The configuration where it is one of an encoder–decoder.
    public var encoderDecoder: LinformerEncDecConfiguration? {
        if case .encoderDecoder(let configuration) = self { configuration } else { nil }
    }

    public func check() throws {
        switch self {
        case .languageModel(let configuration): try configuration.check()
        case .encoderDecoder(let configuration): try configuration.check()
        }
    }
}
