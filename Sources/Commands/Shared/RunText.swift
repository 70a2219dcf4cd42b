import ModelZoo

// The texts of a run: files, or the built-in corpus.

extension RunOrigin {
    /// Returns the texts that a tokenizer learns its vocabulary from.
    func texts() throws -> [TextSource] {
        if let corpus { return [corpus.training.text, corpus.validation.text] }
        return [try TextSource(paths: data)] + (try validation.map { [try TextSource(path: $0)] } ?? [])
    }

    /// Returns the text to train on and the one to validate with.
    /// - Throws: `InputError` that names the text or the option that does not fit.
    func makeSplit(_ tokenizer: any Tokenizer, sequenceLength: Int) throws -> DataSplit {
        if let corpus { return try DataSplit(corpus, tokenizer: tokenizer, sequenceLength: sequenceLength) }
        if case .marker = documents, tokenizer.kind == .bpe {
            throw InputError(
                "--documents \(documents): expected none or files with --tokenizer bpe, whose tokens may have the byte"
                    + " among others")
        }
        let text = try TextSource(paths: data)
        let tokens = try tokenizer.tokens(of: text).separated(by: documents)
        if case .marker = documents, try tokens.documentEnd(after: 0) == tokens.count {
            throw InputError(
                "--documents \(documents): \(text.name) is a single document; expected the byte between two")
        }
        guard let validation else {
            return try DataSplit(tokens, validationFraction: validationFraction, sequenceLength: sequenceLength)
        }
        return try DataSplit(
            training: tokens,
            validation: tokenizer.tokens(of: TextSource(path: validation)).separated(by: documents),
            sequenceLength: sequenceLength)
    }
}

extension RunConfiguration {
    /// Returns the text that a run has held out, and known facts about it.
    /// - Parameters:
    ///   - folder: the run's.
    ///   - option: what names another text.
    ///   - corpusLength: of the built-in corpus, how many bytes instead of those that the run held back: the beginning of
    ///     them, or more of the same sample.
    /// - Throws: `InputError` where it held nothing back, or that has changed since.
    func heldBackText(
        of folder: String, _ tokenizer: any Tokenizer, insteadOf option: String, corpusLength: Int? = nil
    ) throws -> (text: TokenSource, knowledge: TextKnowledge?) {
        if let corpusLength {
            guard var corpus = origin.corpus else {
                throw InputError("--corpus-length: the run in \(folder) was not trained on the built-in corpus")
            }
            guard Corpus.lengths.contains(corpusLength) else {
                throw InputError(
                    "--corpus-length: expected a whole number from \(Corpus.lengths.lowerBound) to"
                        + " \(Corpus.lengths.upperBound), found \(corpusLength)")
            }
            corpus.validationLength = corpusLength
            let text = corpus.validation
            return (try tokenizer.tokens(of: text.text), TextKnowledge(text, in: tokenizer.kind))
        }
        guard !hasOwnBatches else {
            throw InputError(
                "\(option) is missing; expected a text, as a program made the batches of the run in \(folder)")
        }
        let split = try origin.makeSplit(tokenizer, sequenceLength: training.sequenceLength)
        guard let text = split.validation else {
            throw InputError("\(option) is missing; expected a text, as the run in \(folder) held none back")
        }
        let found = try text.fingerprint()
        guard found == validationChecksum else {
            throw InputError(
                "\(text.name): differs from what the run in \(folder) held back (checksum \(found), expected"
                    + " \(validationChecksum ?? "none")); expected \(option) with another text")
        }
        return (text, split.knowledge)
    }
}
