import NN
import Tensors

/// Continues several prompts at once, of any lengths, one token each at a time.
///
///     var generator = try TokenGenerator(model, prompts: [[1, 2, 3], [4]], sampling: .greedy)
///     while let tokens = try generator.next() { … }     // one token a row
///
/// Each prompt is read once; after that a token costs the same at any position. A row gets the same tokens alone as in
/// company, as long as it is the same row.
public struct TokenGenerator<Model: LanguageModel> {
    /// The model that predicts the tokens.
    public let model: Model
    /// The options that tokens are chosen with.
    public let sampling: SamplingOptions
    /// The token that ends a row; nil for none.
    public let endToken: Int32?
    /// Texts that end a row with the token that completes one; nil for none.
    public let stop: StopTexts?
    /// The token that a row gives once it has ended.
    public let padToken: Int32

    private let startToken: Int32?
    /// The bound below which tokens are chosen.
    private let limit: Int
    private let rowCount: Int
    /// The rows that have not ended, what each of them has read, and what it has to read before its next token.
    private var rows: [Int]
    private var states: [Model.DecodingState]
    private var unread: [[Int32]]
    private var searches: [StopSearch]
    private var position = 0

    /// - Parameters:
    ///   - prompts: one a row, none empty.
    ///   - endToken, stop: what ends a row: a token, or texts wherever tokens begin and end.
    ///   - length: how many tokens will be asked for at most, where that is known; a model that has a maximum refuses here.
    ///   - startToken: stands after each prompt and is never chosen; for models that have learned to answer after it.
    ///   - vocabularySize: only tokens below it are chosen, for a model that has more tokens than its tokenizer; nil for
    ///     all.
    /// - Throws: `InputError` for options out of range, an empty prompt, and tokens outside the vocabulary.
    public init(
        _ model: Model, prompts: [[Int32]], length: Int = 0, sampling: SamplingOptions = SamplingOptions(),
        endToken: Int32? = nil, stop: StopTexts? = nil, padToken: Int32 = 0, startToken: Int32? = nil,
        vocabularySize: Int? = nil
    ) throws {
        try model.requireCausality()
        try Self.requireStart(of: model, startToken)
        try self.init(
            model, unread: prompts, after: prompts.map { _ in model.startDecoding() }, length: length,
            sampling: sampling, endToken: endToken, stop: stop, padToken: padToken, startToken: startToken,
            vocabularySize: vocabularySize)
    }

    /// Goes on with one sequence from where it stood, with the draws of sampling that would have come next.
    /// - Parameters:
    ///   - state: what a generator of the same model has left (`state(ofRow:)`).
    ///   - prompt: what else is to be read first; may be empty.
    ///   - length, endToken, stop, vocabularySize: as above.
    /// - Throws: as above.
    public init(
        _ model: Model, continuing state: GenerationState<Model>, prompt: [Int32] = [], length: Int = 0,
        sampling: SamplingOptions = SamplingOptions(), endToken: Int32? = nil, stop: StopTexts? = nil,
        vocabularySize: Int? = nil
    ) throws {
        try model.requireCausality()
        try Self.requireStart(of: model, nil)
        try self.init(
            model, unread: [state.unread + prompt], after: [state.decoding], length: length, sampling: sampling,
            endToken: endToken, stop: stop, padToken: 0, startToken: nil, vocabularySize: vocabularySize)
        position = state.position
    }

    private init(
        _ model: Model, unread prompts: [[Int32]], after states: [Model.DecodingState], length: Int,
        sampling: SamplingOptions, endToken: Int32?, stop: StopTexts?, padToken: Int32, startToken: Int32?,
        vocabularySize: Int?
    ) throws {
        require(vocabularySize ?? 1 > 0, "TokenGenerator: a vocabulary of \(vocabularySize ?? 0) tokens")
        try sampling.validate()
        for (row, prompt) in prompts.enumerated() {
            let name = prompts.count == 1 ? "the prompt" : "prompt \(row)"
            guard !prompt.isEmpty else { throw InputError("\(name) is empty; expected at least one token") }
            if let token = prompt.first(where: { $0 < 0 || $0 >= model.vocabularySize }) {
                throw InputError(
                    "\(name): token \(token) is outside the model's vocabulary; expected 0 to \(model.vocabularySize - 1)"
                )
            }
            try Self.requireLength(of: model, name, prompt.count, answer: length)
        }
        self.model = model
        self.sampling = sampling
        self.endToken = endToken
        self.stop = stop
        self.padToken = padToken
        self.startToken = startToken
        limit = min(vocabularySize ?? .max, model.vocabularySize)
        rowCount = prompts.count
        rows = Array(prompts.indices)
        self.states = states
        searches = prompts.map { _ in stop?.makeSearch() ?? StopSearch() }
        unread = prompts.map { prompt in prompt + (startToken.map { [$0] } ?? []) }
    }

    /// - Throws: `InputError` when the prompt, its answer or both together are longer than the model can decode.
    private static func requireLength(of model: Model, _ name: String, _ prompt: Int, answer length: Int) throws {
        guard let most = model.maximumDecodingLength else { return }
        let reason = "the longest the model's configuration allows"
        if let source = model.maximumSourceLength {
            guard prompt <= source else {
                throw InputError("\(name) of \(counted(prompt, "token")): expected at most \(source), \(reason)")
            }
            guard length <= most - source else {
                throw OptionError(
                    "length", "expected at most \(most - source), \(reason) for an answer, found \(length)")
            }
        }
        guard prompt.plusClamped(length) <= most else {
            throw OptionError(
                of: "length",
                text: """
                    \(name) of \(counted(prompt, "token")) and \(option: "length", "\(length)"): expected at most \(most) \
                    together, \(reason)
                    """)
        }
    }

    /// - Throws: `InputError` when a model cannot answer for want of its start token, or does not have this one.
    private static func requireStart(of model: Model, _ startToken: Int32?) throws {
        if let needed = model.startToken, startToken != needed {
            throw InputError(
                "the model answers after its start token \(needed); expected to generate with it, found"
                    + " \(startToken.map { "\($0)" } ?? "none")")
        }
        if let startToken, startToken < 0 || startToken >= model.vocabularySize {
            throw InputError(
                "the start token \(startToken) is outside the model's vocabulary; expected 0 to"
                    + " \(model.vocabularySize - 1)")
        }
    }

    /// The next token of each row; nil when all rows have ended.
    /// - Throws: `InputError` when the model's logits are not finite.
    public mutating func next() throws -> [Int32]? {
        guard !rows.isEmpty else { return nil }
        readAhead()
        let logits = withoutGradients { model.decode(unread, states: &states) }.contiguous()
        let vocabulary = model.vocabularySize
        var chosen = [Int32](repeating: padToken, count: rowCount)
        for (index, row) in rows.enumerated() {
            let values = UnsafeBufferPointer(start: logits.pointer + index * vocabulary, count: limit)
            chosen[row] = try choose(values, row: row)
            unread[index] = [chosen[row]]
        }
        for index in rows.indices.reversed() where isEnd(chosen[rows[index]], at: index) {
            rows.remove(at: index)
            states.remove(at: index)
            unread.remove(at: index)
            searches.remove(at: index)
        }
        position += 1
        return chosen
    }

    /// Tells whether a token ends the row it was chosen for.
    private mutating func isEnd(_ token: Int32, at index: Int) -> Bool {
        if let stop { _ = searches[index].append(stop.tokenizer.bytes(of: token)) }
        return token == endToken || searches[index].isFound
    }

    /// Returns the state of a row, to continue it later; nil when it has ended.
    public func state(ofRow row: Int) -> GenerationState<Model>? {
        guard let index = rows.firstIndex(of: row) else { return nil }
        return GenerationState(decoding: states[index], unread: unread[index], position: position)
    }

    private func choose(_ logits: UnsafeBufferPointer<Float>, row: Int) throws -> Int32 {
        guard let startToken, startToken < limit else {
            return try sampling.choose(logits, row: row, position: position)
        }
        var others = Array(logits)
        others[Int(startToken)] = -.infinity
        return try others.withUnsafeBufferPointer { try sampling.choose($0, row: row, position: position) }
    }

    /// Long prompts are read in pieces: activations then take the memory of a piece, however long the prompt.
    private mutating func readAhead() {
        let piece = 1024
        for index in rows.indices {
            while unread[index].count > piece {
                var state = [states[index]]
                _ = withoutGradients { model.decode([Array(unread[index].prefix(piece))], states: &state) }
                states[index] = state[0]
                unread[index].removeFirst(piece)
            }
        }
    }
}

extension LanguageModel {
    /// Continues each prompt by `length` tokens.
    /// - Parameters:
    ///   - endToken, stop: what ends a row, a token or texts; `padToken` follows it to the end.
    ///   - startToken, vocabularySize: see `TokenGenerator`.
    ///   - onTokens: is given one token a row as soon as they are there.
    /// - Returns: the continuations, without the prompts: [rows][length], shorter where all rows have ended before.
    /// - Throws: see `TokenGenerator`.
    public func generate(
        _ prompts: [[Int32]], length: Int, sampling: SamplingOptions = SamplingOptions(), endToken: Int32? = nil,
        stop: StopTexts? = nil, padToken: Int32 = 0, startToken: Int32? = nil, vocabularySize: Int? = nil,
        onTokens: ([Int32]) throws -> Void = { _ in }
    ) throws -> [[Int32]] {
        var generator = try TokenGenerator(
            self, prompts: prompts, length: length, sampling: sampling, endToken: endToken, stop: stop,
            padToken: padToken, startToken: startToken, vocabularySize: vocabularySize)
        var rows = prompts.map { _ in [Int32]() }
        for _ in 0..<max(length, 0) {
            guard let tokens = try generator.next() else { break }
            for row in rows.indices { rows[row].append(tokens[row]) }
            try onTokens(tokens)
        }
        return rows
    }
}
