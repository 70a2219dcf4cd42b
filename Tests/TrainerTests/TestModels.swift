import NN
import Tensors

@testable import Trainer

/// The smallest language models there are, so that the tests of the trainer need no architecture.

/// Each token predicts the next from itself alone, with dropout in between. Carries nothing.
struct Bigram: LanguageModel {
    let vocabularySize: Int
    let table: Embedding
    let output: Linear
    let dropoutProbability: Float
    let isCausal: Bool
    let maximumLength: Int?

    init(
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

    func collect(into state: inout StateCollector) {
        state.add("table", table)
        state.add("output", output)
    }

    func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        output(dropout(table(tokens), probability: dropoutProbability, key: mode.key))
    }

    /// Nothing but how far the sequence has come, to see that states are kept apart.
    struct State: Sendable { var tokens: [Int32] = [] }

    typealias Carry = NoCarry

    func startDecoding() -> State { State() }

    func decode(_ tokens: [[Int32]], states: inout [State]) -> Tensor {
        for row in states.indices { states[row].tokens += tokens[row] }
        return self(TokenTensor(states.map { $0.tokens.last! }))
    }
}

/// Each token predicts the next from itself and the token before it, which is carried from segment to segment.
struct Trigram: LanguageModel {
    let vocabularySize: Int
    let current: Embedding
    let previous: Embedding
    let isCausal = true
    let maximumLength: Int?

    init(vocabulary: Int = 256, seed: UInt64 = 1, maximumLength: Int? = nil) {
        vocabularySize = vocabulary
        current = Embedding(vocabulary, vocabulary, key: RandomKey(seed: seed).child(0))
        previous = Embedding(vocabulary, vocabulary, key: RandomKey(seed: seed).child(1))
        self.maximumLength = maximumLength
    }

    func collect(into state: inout StateCollector) {
        state.add("current", current)
        state.add("previous", previous)
    }

    func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor { logits(tokens, before: nil) }

    /// before: the token before the first of each row; token 0 at the beginning of a text.
    private func logits(_ tokens: TokenTensor, before: [Int32]?) -> Tensor {
        let (rows, length) = (tokens.shape[0], tokens.shape[1])
        var shifted: [Int32] = []
        for row in 0..<rows {
            shifted.append(before?[row] ?? 0)
            shifted += tokens.values[row * length..<(row + 1) * length - 1]
        }
        return current(tokens) + previous(TokenTensor(shifted, shape: tokens.shape))
    }

    func loss(
        _ inputs: TokenTensor, _ targets: TokenTensor, carry: [Int32]?, mode: ForwardMode
    ) -> (Tensor, [Int32]?) {
        require(inputs.shape[1] <= maximumLength ?? .max, "Trigram: a segment of \(inputs.shape)")
        let length = inputs.shape[1]
        let last = (1...inputs.shape[0]).map { inputs.values[$0 * length - 1] }
        return (crossEntropy(logits(inputs, before: carry), targets), last)
    }

    func startDecoding() -> Int32 { 0 }

    func decode(_ tokens: [[Int32]], states: inout [Int32]) -> Tensor {
        let pairs = tokens.indices.map { row in ([states[row]] + tokens[row]).suffix(2) }
        states = tokens.map { $0.last! }
        return current(TokenTensor(pairs.map { $0.last! })) + previous(TokenTensor(pairs.map { $0.first! }))
    }
}

/// Text with something to learn: words in an order that a small generator decides.
func someText(_ words: Int = 600) -> String {
    let vocabulary = ["the ", "river ", "runs ", "long ", "and ", "zoo ", "is ", "open.\n"]
    var generator = SplitMix64(seed: 5)
    return (0..<words).map { _ in vocabulary[generator.next(below: vocabulary.count)] }.joined()
}

func byteSplit(_ text: String = someText(), sequenceLength: Int = 16, validationFraction: Double = 0.1) throws
    -> DataSplit
{
    try DataSplit(
        ByteTokenizer().tokens(of: try TextSource(text, name: "a text")), validationFraction: validationFraction,
        sequenceLength: sequenceLength)
}
