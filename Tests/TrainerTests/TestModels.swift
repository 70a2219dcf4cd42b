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

    /// The last token of a segment.
    struct Carry: SegmentCarry {
        var token: Int32
        init(token: Int32) { self.token = token }
        var tensors: [String: Tensor] { ["token": Tensor([Float(token)])] }
        init(tensors: [String: Tensor]) throws {
            guard let token = tensors["token"] else { throw InputError("a carry without token") }
            self.token = Int32(token.item)
        }
    }

    func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        logits(tokens, carries: Array(repeating: nil, count: tokens.shape[0]), mode: mode).logits
    }

    /// Before the first token of a text stands token 0.
    func logits(
        _ tokens: TokenTensor, carries: [Carry?], mode: ForwardMode
    ) -> (logits: Tensor, carries: [Carry?]) {
        require(tokens.shape[1] <= maximumLength ?? .max, "Trigram: a segment of \(tokens.shape)")
        let (rows, length) = (tokens.shape[0], tokens.shape[1])
        var shifted: [Int32] = []
        for row in 0..<rows {
            shifted.append(carries[row]?.token ?? 0)
            shifted += tokens.values[row * length..<(row + 1) * length - 1]
        }
        let last = (1...rows).map { Carry(token: tokens.values[$0 * length - 1]) }
        return (current(tokens) + previous(TokenTensor(shifted, shape: tokens.shape)), last)
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
