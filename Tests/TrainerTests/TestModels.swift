import NN
import Tensors

@testable import Trainer

/// The smallest language models there are, so that the tests of the trainer need no architecture.

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

/// Each token predicts the next from itself, the token before it and the text's first token, of which the last two are
/// carried from segment to segment and can be forgotten: token 0 stands for either then.
struct Rememberer: LanguageModel {
    let vocabularySize: Int
    let tables: [Embedding]
    let isCausal = true
    let maximumLength: Int?

    init(vocabulary: Int = 256, maximumLength: Int? = nil) {
        vocabularySize = vocabulary
        tables = (0..<3).map { Embedding(vocabulary, vocabulary, key: RandomKey(seed: 3).child($0)) }
        self.maximumLength = maximumLength
    }

    func collect(into state: inout StateCollector) { state.add("tables", tables) }

    struct Carry: SegmentCarry {
        static let parts = ["first", "last"]
        var first: Int32?
        var last: Int32?

        init(first: Int32?, last: Int32?) { (self.first, self.last) = (first, last) }

        func forgetting(_ parts: Set<String>) -> Carry? {
            let rest = Carry(
                first: parts.contains("first") ? nil : first, last: parts.contains("last") ? nil : last)
            return rest.first == nil && rest.last == nil ? nil : rest
        }

        var tensors: [String: Tensor] {
            var tensors: [String: Tensor] = [:]
            for (name, token) in [("first", first), ("last", last)] {
                tensors[name] = token.map { Tensor([Float($0)]) }
            }
            return tensors
        }

        init(tensors: [String: Tensor]) throws {
            guard let last = tensors["last"] else { throw InputError("a carry without token") }
            self.init(first: tensors["first"].map { Int32($0.item) }, last: Int32(last.item))
        }
    }

    func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        logits(tokens, carries: Array(repeating: nil, count: tokens.shape[0]), mode: mode).logits
    }

    /// A text that begins, or whose first token is forgotten, has the segment's first token for it.
    func logits(
        _ tokens: TokenTensor, carries: [Carry?], mode: ForwardMode
    ) -> (logits: Tensor, carries: [Carry?]) {
        let n = tokens.shape[1]
        require(n <= maximumLength ?? .max, "Rememberer: a segment of \(tokens.shape)")
        var (previous, first, next): ([Int32], [Int32], [Carry?]) = ([], [], [])
        for (row, carry) in carries.enumerated() {
            let segment = tokens.values[row * n..<(row + 1) * n]
            previous += [carry?.last ?? 0] + segment.dropLast()
            let begin = carry?.first ?? segment.first!
            first += Array(repeating: begin, count: n)
            next.append(Carry(first: begin, last: segment.last!))
        }
        let logits =
            tables[0](tokens) + tables[1](TokenTensor(previous, shape: tokens.shape))
            + tables[2](TokenTensor(first, shape: tokens.shape))
        return (logits, next)
    }

    func startDecoding() -> Carry { Carry(first: nil, last: nil) }

    func decode(_ tokens: [[Int32]], states: inout [Carry]) -> Tensor {
        concatenate(
            tokens.indices.map { row in
                let (logits, next) = logits(
                    TokenTensor(tokens[row], shape: [1, tokens[row].count]), carries: [states[row]], mode: .inference)
                states[row] = next[0]!
                return logits.at(1, tokens[row].count - 1)
            })
    }

    func carry(of state: Carry) -> Carry? { state }
    func decodingState(after carry: Carry) throws -> Carry { carry }
}
