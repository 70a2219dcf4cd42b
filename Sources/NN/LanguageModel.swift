import Tensors

/// A model that predicts the next token, as the trainer, the generator and the evaluation use it. They know no
/// architecture beyond this.
public protocol LanguageModel: Module {
    /// The memory of one sequence that has been read, of a size that does not grow with it, full softmax attention
    /// excepted.
    associatedtype DecodingState: Sendable

    /// The state that one sequence passes from one segment of a text to the next in training and evaluation; `NoCarry`
    /// for most.
    associatedtype Carry: SegmentCarry = NoCarry

    var vocabularySize: Int { get }

    /// True if position t sees only tokens up to t, which generation needs.
    var isCausal: Bool { get }

    /// Explains why the model is not causal and how to make it so, as the end of a sentence that says it is not. nil
    /// for the usual case: positions see later tokens, and `"causal": true` is expected.
    var causalityProblem: String? { get }

    /// The token without which the model answers nothing: what stands before it in a sequence is given, and is read as a
    /// whole; what comes after is the answer, of which position t sees only tokens up to t. For encoder–decoders; nil for
    /// models that read any sequence. Logits before it are zeros and predict nothing.
    var startToken: Int32? { get }

    /// True if something passes from one segment of a text to the next; by default, if there is a type for it.
    var carriesState: Bool { get }

    /// The longest sequence a forward pass takes (of a model that carries something: the longest segment); nil where any
    /// length will do.
    var maximumLength: Int? { get }

    /// The most tokens of one sequence that can be decoded; nil where any number will do. Unless a model says otherwise,
    /// what a forward pass takes.
    var maximumDecodingLength: Int? { get }

    /// The largest number of these that may precede the start token; nil if only the sum is limited.
    var maximumSourceLength: Int? { get }

    /// Numbers that a training step keeps of each token for its backward pass, at least: a model that says so is refused
    /// before it begins where memory cannot hold them. 0 unless a model says more.
    var leastActivations: Int { get }

    /// Targets of this value do not count in the loss, beside those that are `ignoredTarget`, which it is by default.
    var ignoreIndex: Int32 { get }

    /// Logits of the token that each position predicts, the next one of a causal model. tokens: [b, n] → [b, n, vocabulary]
    func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor

    /// Predicts each position in a form whose loss is computed without storing logits. A model that implements it
    /// computes its logits by it (`predictions(tokens, mode: mode).logits`). By default the logits. tokens: [b, n]
    func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions

    /// The same logits for a segment of each row's text, given what the segment before it left, and what this one leaves.
    ///
    /// carries: one a row, nil where nothing comes before, so that rows that begin stand beside rows that have read more or
    /// less. No gradient passes through them.
    func logits(
        _ tokens: TokenTensor, carries: [Carry?], mode: ForwardMode
    ) -> (logits: Tensor, carries: [Carry?])

    /// Computes what `logits` are computed from; by default the logits.
    func predictions(
        _ tokens: TokenTensor, carries: [Carry?], mode: ForwardMode
    ) -> (predictions: Predictions, carries: [Carry?])

    /// The mean cross-entropy (nats per token) of a segment. inputs, targets: [b, n]; carries as in `logits`. Targets that
    /// are `ignoredTarget` or `ignoreIndex` do not count. A model says so itself only if it has something to add to the loss of its
    /// predictions.
    func loss(
        _ inputs: TokenTensor, _ targets: TokenTensor, carries: [Carry?], mode: ForwardMode
    ) -> SegmentLoss<Carry>

    /// The state before the first token.
    func startDecoding() -> DecodingState

    /// Appends tokens to each of several sequences, any number (at least one) to each, and returns the logits after the
    /// last token of each: [sequences, vocabulary]. Equal to the full forward at the same position, however the tokens
    /// are cut into calls; the cost of a token does not grow with its position, full softmax attention excepted.
    func decode(_ tokens: [[Int32]], states: inout [DecodingState]) -> Tensor

    /// All that a decoding state remembers, in tensors that can be saved, as if a segment had ended here; nil, whatever the
    /// state, of models whose states cannot be saved, which most are by default.
    func carry(of state: DecodingState) -> Carry?

    /// The decoding state that has read what a carry has: the opposite of `carry(of:)`.
    /// - Throws: `InputError` that names the tensor that does not fit this model.
    func decodingState(after carry: Carry) throws -> DecodingState
}

/// The state that a model keeps of one sequence between two segments, in tensors that can be saved with a run.
public protocol SegmentCarry: Sendable {
    /// The names of the parts that an evaluation can leave out, to measure what they are worth; none by default.
    static var parts: [String] { get }

    /// Returns the carry without some of the parts; nil if nothing is left.
    func forgetting(_ parts: Set<String>) -> Self?

    /// By names of the model's choice, at least one.
    var tensors: [String: Tensor] { get }

    /// - Throws: `InputError` that names the tensor that is missing or has a wrong shape.
    init(tensors: [String: Tensor]) throws
}

extension SegmentCarry {
    public static var parts: [String] { [] }
    public func forgetting(_ parts: Set<String>) -> Self? { self }
}

/// The carry of models that carry nothing: there is none.
public enum NoCarry: SegmentCarry {
    public var tensors: [String: Tensor] { [:] }
    public init(tensors: [String: Tensor]) throws { throw InputError("the model carries nothing between segments") }
}

/// The target of a position that predicts nothing that counts, such as padding: PyTorch's usual ignore index is −100, but
/// any negative number would do, as tokens are not.
public let ignoredTarget: Int32 = -1

/// The result of a training pass over a segment.
public struct SegmentLoss<Carry: SegmentCarry>: Sendable {
    /// The minimized value: mean nats a token, and other terms of the model.
    public var loss: Tensor
    /// The carry of each row to its next segment.
    public var carries: [Carry?]
    /// Anything else worth a look, for the metrics.
    public var metrics: [String: Double]

    /// Creates the result of a segment: a loss of one element, a carry a row, metrics by name.
    public init(_ loss: Tensor, carries: [Carry?], metrics: [String: Double] = [:]) {
        self.loss = loss
        self.carries = carries
        self.metrics = metrics
    }
}

extension LanguageModel {
    public var causalityProblem: String? { nil }
    public var carriesState: Bool { Carry.self != NoCarry.self }
    public var startToken: Int32? { nil }
    public var maximumLength: Int? { nil }
    public var maximumDecodingLength: Int? { carriesState ? nil : maximumLength }
    public var maximumSourceLength: Int? { nil }
    public var leastActivations: Int { 0 }
    public var ignoreIndex: Int32 { ignoredTarget }
    public func callAsFunction(_ tokens: TokenTensor) -> Tensor { self(tokens, mode: .inference) }
    public func carry(of state: DecodingState) -> Carry? { nil }

    public func decodingState(after carry: Carry) throws -> DecodingState {
        throw InputError("the model's decoding state cannot be saved")
    }

    public func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions {
        Predictions(logits: self(tokens, mode: mode))
    }

    public func predictions(
        _ tokens: TokenTensor, carries: [Carry?], mode: ForwardMode
    ) -> (predictions: Predictions, carries: [Carry?]) {
        let (logits, next) = logits(tokens, carries: carries, mode: mode)
        return (Predictions(logits: logits), next)
    }

    public func loss(
        _ inputs: TokenTensor, _ targets: TokenTensor, carries: [Carry?], mode: ForwardMode
    ) -> SegmentLoss<Carry> {
        let (predictions, next) = predictions(inputs, carries: carries, mode: mode)
        var counted = targets
        if ignoreIndex != ignoredTarget {
            counted = TokenTensor(
                targets.values.map { $0 == ignoreIndex ? ignoredTarget : $0 }, shape: targets.shape)
        }
        return SegmentLoss(predictions.loss(counted), carries: next)
    }

    /// The loss of sequences from their beginning.
    public func loss(_ inputs: TokenTensor, _ targets: TokenTensor, mode: ForwardMode = .inference) -> Tensor {
        loss(
            inputs, targets, carries: inputs.shape.prefix(1).flatMap { [Carry?](repeating: nil, count: $0) }, mode: mode
        )
        .loss
    }
}

extension LanguageModel where Carry == NoCarry {
    public func logits(
        _ tokens: TokenTensor, carries: [NoCarry?], mode: ForwardMode
    ) -> (logits: Tensor, carries: [NoCarry?]) {
        (self(tokens, mode: mode), carries)
    }

    public func predictions(
        _ tokens: TokenTensor, carries: [NoCarry?], mode: ForwardMode
    ) -> (predictions: Predictions, carries: [NoCarry?]) {
        (predictions(tokens, mode: mode), carries)
    }
}
