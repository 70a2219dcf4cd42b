import NN
import Tensors
import Trainer

/// Each token predicts the next from itself alone, with dropout in between. Carries nothing.
public struct Bigram: LanguageModel {
    public let vocabularySize: Int
    public let table: Embedding
    public let output: Linear
    public let dropoutProbability: Float
    public let isCausal: Bool
    public let maximumLength: Int?

    public init(
        vocabulary: Int = 256, width: Int = 8, dropout: Float = 0, seed: UInt64 = 1, isCausal: Bool = true,
        maximumLength: Int? = nil
    ) {
        vocabularySize = vocabulary
        table = Embedding(vocabulary, width, key: RandomKey(seed: seed).child(0))
        output = Linear(width, vocabulary, key: RandomKey(seed: seed).child(1))
        dropoutProbability = dropout
        self.isCausal = isCausal
        self.maximumLength = maximumLength
    }

    public func collect(into state: inout StateCollector) {
        state.add("table", table)
        state.add("output", output)
    }

    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        output(dropout(table(tokens), probability: dropoutProbability, key: mode.key))
    }

    /// Nothing but how far the sequence has come, to see that states are kept apart.
    public struct State: Sendable { var tokens: [Int32] = [] }

    public typealias Carry = NoCarry

    public func startDecoding() -> State { State() }

    public func decode(_ tokens: [[Int32]], states: inout [State]) -> Tensor {
        for row in states.indices { states[row].tokens += tokens[row] }
        return self(TokenTensor(states.map { $0.tokens.last! }))
    }
}

/// Text with something to learn: words in an order that a small generator decides.
public func someText(_ words: Int = 600) -> String {
    let vocabulary = ["the ", "river ", "runs ", "long ", "and ", "zoo ", "is ", "open.\n"]
    var generator = SplitMix64(seed: 5)
    return (0..<words).map { _ in vocabulary[generator.next(below: vocabulary.count)] }.joined()
}

public func byteSplit(_ text: String = someText(), sequenceLength: Int = 16, validationFraction: Double = 0.1) throws
    -> DataSplit
{
    try DataSplit(
        ByteTokenizer().tokens(of: try TextSource(text, name: "a text")), validationFraction: validationFraction,
        sequenceLength: sequenceLength)
}
