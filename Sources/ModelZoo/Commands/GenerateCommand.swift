/// `Generate`: continues a text, or reverses it, as the model has learned.
public struct GenerateCommand: Sendable {
    public var source: ModelSource
    /// May be empty where a text goes on.
    public var prompt: String
    /// The number of tokens; nil for 256, or as many as the prompt has where it is reversed.
    public var length: Int?
    /// nil for what is usual: tokens as likely as the model says, or the likeliest where the prompt is reversed.
    public var sampling: SamplingOptions?
    /// A file for where the text stands at the end, so that another process can go on with it; nil for none.
    public var saveState: String?
    /// Such a file, to go on from; nil for a text that begins with the prompt.
    public var loadState: String?
    public var threads: Int?

    public init(
        source: ModelSource, prompt: String, length: Int? = nil, sampling: SamplingOptions? = nil,
        saveState: String? = nil, loadState: String? = nil, threads: Int? = nil
    ) {
        self.source = source
        self.prompt = prompt
        self.length = length
        self.sampling = sampling
        self.saveState = saveState
        self.loadState = loadState
        self.threads = threads
    }

    /// - Parameter print: is given the answer in pieces, as it comes.
    /// - Throws: `InputError` in one line.
    public func run(print: (String) -> Void) throws {
        if let length { try requireRange("--length", length, 1...TrainingOptions.mostSteps) }
        try sampling?.validate()
        guard !prompt.isEmpty || loadState != nil else {
            throw InputError("the prompt is empty; expected --prompt TEXT, or text on standard input")
        }
        if let saveState { try AtomicFile.requireWritable(saveState) }
        try useThreads(threads)
        let loaded = try source.load()
        if saveState != nil || loadState != nil { return try goOn(loaded, loaded.model, print) }
        try loaded.model.generate(
            prompt, length: length, tokenizer: loaded.tokenizer, objective: loaded.objective, sampling: sampling,
            onText: print)
    }

    /// Generates from one file of where a text stands to another; either may be the beginning, or the end.
    private func goOn<Model: LanguageModel>(
        _ loaded: ModelSource.Loaded, _ model: Model, _ print: (String) -> Void
    ) throws {
        let option = loadState == nil ? "--save-state" : "--load-state"
        guard loaded.objective.startToken == nil else {
            throw InputError("\(option): the model answers whole prompts; expected one that continues them")
        }
        guard model.carry(of: model.startDecoding()) != nil else {
            throw InputError("\(option): the decoding state of this model cannot be saved (\(loaded.id))")
        }
        let origin = ["model": loaded.id, "tokenizer": loaded.tokenizer.kind.rawValue]
        var state = try loadState.map { try model.loadGenerationState(from: $0, origin: origin) }
        try model.generate(
            prompt, state: &state, length: length ?? 256, tokenizer: loaded.tokenizer,
            sampling: sampling ?? loaded.objective.usualSampling, onText: print)
        guard let state else { return }
        guard let saveState else { return print(String(decoding: state.pending, as: UTF8.self)) }
        try model.save(state, to: saveState, origin: origin)
    }
}
