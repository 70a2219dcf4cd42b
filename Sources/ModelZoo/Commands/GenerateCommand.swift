/// `Generate`: continues a text, or reverses it, as the model has learned.
public struct GenerateCommand: Sendable {
    public var source: ModelSource
    public var prompt: String
    /// The number of tokens; nil for 256, or as many as the prompt has where it is reversed.
    public var length: Int?
    /// nil for what is usual: tokens as likely as the model says, or the likeliest where the prompt is reversed.
    public var sampling: SamplingOptions?
    public var threads: Int?

    public init(
        source: ModelSource, prompt: String, length: Int? = nil, sampling: SamplingOptions? = nil,
        threads: Int? = nil
    ) {
        self.source = source
        self.prompt = prompt
        self.length = length
        self.sampling = sampling
        self.threads = threads
    }

    /// - Parameter print: is given the answer in pieces, as it comes.
    /// - Throws: `InputError` in one line.
    public func run(print: (String) -> Void) throws {
        if let length, length < 1 {
            throw InputError("--length: expected a whole number of at least 1, found \(length)")
        }
        try sampling?.validate()
        guard !prompt.isEmpty else {
            throw InputError("the prompt is empty; expected --prompt TEXT, or text on standard input")
        }
        try useThreads(threads)
        let loaded = try source.load()
        try loaded.model.generate(
            prompt, length: length, tokenizer: loaded.tokenizer, objective: loaded.objective, sampling: sampling,
            onText: print)
    }
}
