/// `Generate`: continues a text.
public struct GenerateCommand: Sendable {
    public var source: ModelSource
    public var prompt: String
    /// The number of tokens.
    public var length: Int
    public var sampling: SamplingOptions
    public var threads: Int?

    public init(
        source: ModelSource, prompt: String, length: Int = 256, sampling: SamplingOptions = SamplingOptions(),
        threads: Int? = nil
    ) {
        self.source = source
        self.prompt = prompt
        self.length = length
        self.sampling = sampling
        self.threads = threads
    }

    /// - Parameter print: is given the continuation in pieces, as it comes.
    /// - Throws: `InputError` in one line.
    public func run(print: (String) -> Void) throws {
        guard length >= 1 else { throw InputError("--length: expected a whole number of at least 1, found \(length)") }
        try sampling.validate()
        guard !prompt.isEmpty else {
            throw InputError("the prompt is empty; expected --prompt TEXT, or text on standard input")
        }
        try useThreads(threads)
        let loaded = try source.load()
        try loaded.model.generate(
            prompt, length: length, tokenizer: loaded.tokenizer, sampling: sampling, onText: print)
    }
}
