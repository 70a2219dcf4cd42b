import Tensors

/// What the trainer, the generator and the evaluation need of a model that predicts the next token. They know no
/// architecture beyond this.
public protocol LanguageModel: Module {
    /// What has been read of one sequence, in a size that does not grow with it.
    associatedtype DecodingState: Sendable

    /// What passes from one segment of a text to the next in training and evaluation; `Void`-like for most.
    associatedtype Carry: Sendable

    var vocabularySize: Int { get }

    /// Whether position t sees only tokens up to t, which generation needs.
    var isCausal: Bool { get }

    /// The longest sequence a forward pass takes (of a model that carries something: the longest segment); nil where any
    /// length will do.
    var maximumLength: Int? { get }

    /// Logits of the next token at every position. tokens: [b, n] → [b, n, vocabulary]
    func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor

    /// The mean cross-entropy (nats per token) of a segment, given what the previous segment of each row left behind.
    /// inputs, targets: [b, n].
    func loss(_ inputs: TokenTensor, _ targets: TokenTensor, carry: Carry?, mode: ForwardMode) -> (Tensor, Carry?)

    /// The state before the first token.
    func startDecoding() -> DecodingState

    /// Appends tokens to each of several sequences, any number (at least one) to each, and returns the logits after the
    /// last token of each: [sequences, vocabulary]. Equal to the full forward at the same position, however the tokens
    /// are cut into calls; the cost of a token does not grow with its position.
    func decode(_ tokens: [[Int32]], states: inout [DecodingState]) -> Tensor
}

/// The carry of models that carry nothing.
public enum NoCarry: Sendable {}

extension LanguageModel {
    public var maximumLength: Int? { nil }
    public func callAsFunction(_ tokens: TokenTensor) -> Tensor { self(tokens, mode: .inference) }
}

extension LanguageModel where Carry == NoCarry {
    public func loss(
        _ inputs: TokenTensor, _ targets: TokenTensor, carry: NoCarry?, mode: ForwardMode
    ) -> (Tensor, NoCarry?) {
        (crossEntropy(self(inputs, mode: mode), targets), nil)
    }
}
