import ModelZoo

// A training that begins with trained weights, and one that leaves some as they are.

extension Train {
    /// - Throws: `InputError` that names an option about the beginning that makes no sense with the others.
    func refuseBeginning() throws {
        let options = beginningOptions
        if options.initialWeights == nil {
            try refuse([("--init-partial", options.initPartial)], "expected only with --init")
        }
        if !options.freeze.isEmpty {
            try refuse([("--train-only", !options.trainOnly.isEmpty)], "cannot be combined with --freeze")
        }
    }

    /// The run to begin from, but for its weights.
    struct Base {
        let folder: RunFolder
        let configuration: RunConfiguration
        let tokenizer: any Tokenizer
    }

    /// The run to begin from; nil where there is none, or weights that are none of a run, beside which other packages put a
    /// config.json of their own.
    func openBase() throws -> Base? {
        guard let path = beginningOptions.initialWeights, let folder = try? RunFolder(path: path),
            !folder.savedSteps.isEmpty || (try? folder.configuration()) != nil
        else { return nil }
        return Base(folder: folder, configuration: try folder.configuration(), tokenizer: try folder.tokenizer())
    }

    /// Gives a model the weights to begin from, and freezes what is to stay.
    func prepare(
        _ model: some LanguageModel, _ base: Base?, _ origin: inout RunOrigin, _ host: TrainingHost
    ) throws {
        let options = beginningOptions
        if let path = options.initialWeights {
            let rule = options.initPartial ? LoadRule.matching : .strict
            let weights = base?.folder.currentWeightsPath { host.report(.warning($0)) } ?? path
            do {
                if let note = try model.load(from: weights, rule).note { host.report(.warning(note)) }
            } catch let error as InputError where base != nil && rule == .strict {
                throw InputError("\(error.message); expected --init-partial to take what fits")
            }
            origin.initialWeights = InitialWeights(path: path.absolutePath, rule: rule)
        }
        func selecting(_ name: String, _ body: () throws -> Void) throws {
            do { try body() } catch let error as InputError { throw InputError("\(name) \(error.message)") }
        }
        if !options.freeze.isEmpty {
            origin.frozen = ParameterSelection(options.freeze)
            try selecting("--freeze") { try model.freeze(matching: origin.frozen) }
        }
        if !options.trainOnly.isEmpty {
            let selection = ParameterSelection(options.trainOnly)
            origin.trainedAlone = selection
            try selecting("--train-only") { try model.freeze(allBut: selection) }
        }
    }
}
