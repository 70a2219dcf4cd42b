import ModelZoo

/// `Generate`: continues a text, or reverses it, as the model has learned.
package struct GenerateCommand {
    /// The model that continues the text.
    package var source: ModelSource
    /// Any bytes where tokens are bytes, else UTF-8. May be empty where a text continues.
    package var prompt: [UInt8]
    var options: Generate

    /// - Parameter print: is given the answer in pieces of text, as it comes; bytes that are no UTF-8 become U+FFFD.
    /// - Throws: `InputError` in one line.
    package func run(print: (String) -> Void) throws {
        try run(wholeCharacters: true) { print(String(decoding: $0, as: UTF8.self)) }
    }

    /// - Parameter write: is given the answer in pieces, the bytes that the model writes.
    /// - Throws: `InputError` in one line.
    package func runForBytes(_ write: ([UInt8]) -> Void) throws {
        try run(wholeCharacters: false, write)
    }

    private func run(wholeCharacters: Bool, _ give: ([UInt8]) -> Void) throws {
        try namingFlags { try generate(wholeCharacters: wholeCharacters, give) }
    }

    private func generate(wholeCharacters: Bool, _ give: ([UInt8]) -> Void) throws {
        let (loaded, stop) = try load()
        guard options.saveState != nil || options.loadState != nil else {
            return try answer(
                loaded, loaded.model, stop: stop, wholeCharacters: wholeCharacters, give: give)
        }
        try goOn(loaded, loaded.model, stop: stop, wholeCharacters: wholeCharacters, give: give)
    }

    private func load() throws -> (ModelSource.Loaded, StopTexts?) {
        if let length = options.length { try requireRange("--length", length, 1...TrainingOptions.mostSteps) }
        try options.sampling?.validate()
        let texts = try options.stop.map(Self.stopText)
        try source.requireNames()
        guard !prompt.isEmpty || options.loadState != nil else {
            throw InputError(
                "the prompt is empty; expected --prompt TEXT, --prompt-file FILE, or text on standard input")
        }
        if let saveState = options.saveState { try AtomicFile.requireWritable(saveState) }
        try useThreads(options.threads)
        let loaded = try source.load()
        return (loaded, try stops(texts, loaded))
    }

    // MARK: The end

    /// The bytes that a --stop names.
    private static func stopText(_ text: String) throws -> [UInt8] {
        guard !text.isEmpty else { throw InputError("--stop: expected TEXT or byte:N, found an empty text") }
        guard text.hasPrefix("byte:") else { return Array(text.utf8) }
        guard case .marker(let byte)? = DocumentSeparator(text) else {
            throw InputError("--stop: expected TEXT or \(DocumentSeparator.expectedByte), found \"\(text)\"")
        }
        return [byte]
    }

    /// Returns the stop texts: those asked for, and the end of a document.
    private func stops(_ texts: [[UInt8]], _ loaded: ModelSource.Loaded) throws -> StopTexts? {
        for (name, bytes) in zip(options.stop, texts) where loaded.tokenizer.kind != .bytes {
            do { _ = try loaded.tokenizer.encode(bytes: bytes) } catch let error as InputError {
                throw InputError("--stop \(name): never comes up: \(error.message)")
            }
        }
        var texts = texts
        if loaded.objective == .nextToken, case .marker(let byte)? = loaded.run?.origin.documents {
            texts.append([byte])
        }
        return texts.isEmpty ? nil : try StopTexts(bytes: texts, in: loaded.tokenizer)
    }

    // MARK: The text

    private func answer(
        _ loaded: ModelSource.Loaded, _ model: some LanguageModel, stop: StopTexts?, wholeCharacters: Bool,
        give: ([UInt8]) -> Void
    ) throws {
        try model.generate(
            bytes: prompt, length: options.length, tokenizer: loaded.tokenizer, objective: loaded.objective,
            sampling: options.sampling, stop: stop, wholeCharacters: wholeCharacters, onBytes: give)
    }

    /// Generates from the file of one state to that of another; either may be the beginning, or the end.
    private func goOn<Model: LanguageModel>(
        _ loaded: ModelSource.Loaded, _ model: Model, stop: StopTexts?, wholeCharacters: Bool,
        give: ([UInt8]) -> Void
    ) throws {
        let option = options.loadState == nil ? "--save-state" : "--load-state"
        guard loaded.objective.startToken == nil else {
            throw InputError("\(option): the model answers whole prompts; expected one that continues them")
        }
        guard model.carry(of: model.startDecoding()) != nil else {
            throw InputError("\(option): the decoding state of this model cannot be saved (\(loaded.id))")
        }
        let origin = ["model": loaded.id, "tokenizer": loaded.tokenizer.kind.rawValue]
        var state = try options.loadState.map { try model.loadGenerationState(from: $0, origin: origin) }
        try model.generate(
            bytes: prompt, state: &state, length: options.length ?? 256, tokenizer: loaded.tokenizer,
            sampling: options.sampling ?? loaded.objective.usualSampling, stop: stop, wholeCharacters: wholeCharacters,
            onBytes: give)
        guard let state else { return }
        guard let saveState = options.saveState else { return state.pending.isEmpty ? () : give(state.pending) }
        try model.save(state, to: saveState, origin: origin)
    }
}
