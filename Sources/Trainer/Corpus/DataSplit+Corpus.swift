import NN
import Tensors

/// The built-in corpus that a run is made with.
public struct CorpusOptions: Sendable, Hashable {
    /// The seed of the training text.
    public var seed: UInt64
    /// Bytes of the text to train on.
    public var length: Int
    /// Bytes of the text to validate with: another sample of the same source.
    public var validationLength: Int

    /// Creates options of a seed and lengths in bytes.
    public init(seed: UInt64 = 0, length: Int = 1 << 22, validationLength: Int = 1 << 18) {
        self.seed = seed
        self.length = length
        self.validationLength = validationLength
    }

    /// The text to train on, and the one to validate with.
    public var training: Corpus { Corpus(seed: seed, length: length) }
    /// With another seed than any that a person would choose for the training text.
    public var validation: Corpus { Corpus(seed: ~seed, length: validationLength) }
}

extension CorpusOptions: CheckedOptions {
    static var defaults: CorpusOptions { CorpusOptions() }

    static let schema: [OptionField<CorpusOptions>] = [
        .seed("seed", \.seed),
        .whole("length", \.length, in: Corpus.lengths),
        .whole("validation_length", \.validationLength, in: Corpus.lengths),
    ]

    public init(from decoder: any Decoder) throws { try self.init(decoding: decoder) }

    public func encode(to encoder: any Encoder) throws { try json.encode(to: encoder) }
}

/// Facts about a text that its author knows and a model may learn.
public struct TextKnowledge: Sendable {
    /// In the order of the text.
    public let questions: [Question]
    /// The share of the questions that are answered by guessing; nil where it is not known.
    public let chance: Double?
    /// The information in a range of the text in bits per byte: for a reader of all that comes before, or for one that reads
    /// the range in windows of a length in bytes and sees nothing but them. nil where the range is too short to say.
    public let bitsPerByte: @Sendable (_ range: Range<Int>, _ windowLength: Int?) -> Double?

    /// Creates the knowledge of a text from its questions, the share that guessing answers, and its bits per byte.
    public init(
        questions: [Question], chance: Double? = nil,
        bitsPerByte: @escaping @Sendable (_ range: Range<Int>, _ windowLength: Int?) -> Double?
    ) {
        self.questions = questions
        self.chance = chance
        self.bitsPerByte = bitsPerByte
    }

    /// The knowledge of a corpus in tokens of a kind; nil where tokens are not the bytes, as they are for the others, since the
    /// corpus is ASCII.
    package init?(_ corpus: Corpus, in kind: TokenizerKind) {
        guard kind != .bpe else { return nil }
        self.init(corpus)
    }

    /// The corpus is ASCII: its bytes are its tokens, for bytes and characters.
    package init(_ corpus: Corpus) {
        self.init(
            questions: corpus.questions.map { Question(answer: $0.answer, distance: $0.distance) },
            chance: 1 / Double(CorpusGrammar.placeCount),
            bitsPerByte: { range, windowLength in
                guard let windowLength else { return corpus.bitsPerByte(in: range) }
                return corpus.bitsPerByte(in: range, windowLength: windowLength)
            })
    }
}

extension DataSplit {
    /// The built-in corpus, a text to train on and another to validate with.
    /// - Throws: `InputError` when a text is shorter than a window.
    public init(_ options: CorpusOptions, tokenizer: any Tokenizer, sequenceLength: Int) throws {
        let validation = options.validation
        try self.init(
            training: tokenizer.tokens(of: options.training.text), validation: tokenizer.tokens(of: validation.text),
            sequenceLength: sequenceLength)
        knowledge = TextKnowledge(validation, in: tokenizer.kind)
    }
}
