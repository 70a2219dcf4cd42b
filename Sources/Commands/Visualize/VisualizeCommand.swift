import AttentionZooReports
import Foundation
import ModelZoo

/// `Visualize`: draws the weights of attention, the spectrum of their matrices, and the states of a stream.
package struct VisualizeCommand {
    /// The model whose attention is drawn.
    package var source: ModelSource
    var options: Visualize

    /// As many tokens as the paper of Linformer analyses.
    private static let usualLength = 512
    /// The greatest length, as a matrix of that many rows is kept of each head.
    private static let greatestLength = 8192

    /// - Parameter print: is given the path of each file that was written.
    /// - Throws: `InputError` in one line.
    package func run(print: (String) -> Void) throws { try namingFlags { try draw(print) } }

    private func draw(_ print: (String) -> Void) throws {
        try checkOptions()
        try useThreads(options.threads)
        if options.text == nil, source.run == nil {
            throw InputError("--text is missing; expected --text FILE, or --run FOLDER")
        }
        // A text that cannot be read is found out before a model is loaded.
        let given = try options.text.map { try TextSource(path: $0) }
        let loaded = try source.load()
        if let states = options.states {
            try draw(statesOf: loaded, given, to: states)
            print(states)
            if options.out == nil && options.spectrum == nil { return }
        }
        let tokens = try tokens(given, loaded)
        let recorded = attention(of: tokens, loaded.model)
        let shown = try selected(recorded)
        if let picture = options.out ?? (options.spectrum == nil ? "heads.png" : nil) {
            try draw(shown, note: "\(modelName), \(tokens.count) tokens", to: picture)
            print(picture)
        }
        if let spectrum = options.spectrum {
            try AttentionSpectrum(shown).write(
                to: spectrum, title: options.title ?? "Spectrum of the attention matrices",
                subtitle: "\(modelName), \(tokens.count) tokens")
            print(spectrum)
        }
    }

    private func checkOptions() throws {
        for (name, number) in [("--length", options.length), ("--n-limit", options.nLimit)] {
            guard let number, !(1...Self.greatestLength).contains(number) else { continue }
            throw InputError("\(name): expected a whole number from 1 to \(Self.greatestLength), found \(number)")
        }
        for (name, path, kinds) in [
            ("--out", options.out, ["png"]), ("--spectrum", options.spectrum, ["svg", "html"]),
            ("--states", options.states, ["html"]),
        ] {
            guard let path, !kinds.contains((path as NSString).pathExtension.lowercased()) else { continue }
            let endings = kinds.map { "." + $0 }.joined(separator: " or ")
            throw InputError("\(name): expected a name that ends in \(endings), found \"\(path)\"")
        }
    }

    /// The run's folder or the file of weights, without the path.
    private var modelName: String {
        URL(fileURLWithPath: source.run ?? source.weights ?? "").standardizedFileURL.lastPathComponent
    }

    /// Returns the tokens that the model reads as one sequence: the beginning of the text.
    private func tokens(_ given: TextSource?, _ loaded: ModelSource.Loaded) throws -> TokenTensor {
        let objective = loaded.objective
        return try tokens(
            given, loaded, most: loaded.model.maximumLength.map { objective.kind.windowLength(inRow: $0) })
    }

    /// - Parameter most: the greatest length; nil for any.
    private func tokens(_ given: TextSource?, _ loaded: ModelSource.Loaded, most: Int?) throws -> TokenTensor {
        let text: TokenSource
        if let given {
            text = try loaded.tokenizer.tokens(of: given)
        } else {
            text = try loaded.run!.heldBackText(  // there is no other source without a text
                of: source.run!, loaded.tokenizer, insteadOf: "--text"
            ).text
        }
        let objective = loaded.objective
        if let length = options.length, let most, length > most {
            throw InputError("--length: the model reads at most \(most) tokens, found \(length)")
        }
        let usual = min(loaded.run?.training.sequenceLength ?? Self.usualLength, Self.usualLength)
        let count = options.length ?? min(usual, most ?? usual, text.count)
        guard text.count >= max(count, 1) else {
            throw InputError("\(text.name): has \(counted(text.count, "token")); expected at least \(max(count, 1))")
        }
        let row = try objective.row(of: text[0..<count])
        guard row.allSatisfy({ (0..<Int32(loaded.model.vocabularySize)).contains($0) }) else {
            throw InputError(
                "\(text.name): has tokens outside the model's vocabulary; expected 0 to"
                    + " \(loaded.model.vocabularySize - 1)")
        }
        return TokenTensor(row, shape: [1, row.count])
    }

    /// Draws the states while the model reads the text in blocks.
    private func draw(statesOf loaded: ModelSource.Loaded, _ given: TextSource?, to path: String) throws {
        guard let model = loaded.model as? BlockRecurrentTransformer else {
            throw InputError("--states: the model has none; expected a block-recurrent transformer")
        }
        let row = try tokens(given, loaded, most: nil)
        let history = try StateHistory(model, row.values, block: model.configuration.blockWidth)
        try history.write(
            to: path, title: options.title ?? "States of a stream", subtitle: "\(modelName), \(row.count) tokens")
    }

    private func attention(of tokens: TokenTensor, _ model: some LanguageModel) -> [AttentionRecorder.Layer] {
        Visualizer(model).attention(of: tokens)
    }

    /// The layers that are wanted of those that show something.
    private func selected(_ recorded: [AttentionRecorder.Layer]) throws -> [AttentionRecorder.Layer] {
        if options.layers.isEmpty || recorded.isEmpty { return recorded }
        return try options.layers.map { layer in
            guard (1...recorded.count).contains(layer) else {
                throw InputError("--layers: expected 1 to \(recorded.count), found \(layer)")
            }
            return recorded[layer - 1]
        }
    }

    private func draw(_ shown: [AttentionRecorder.Layer], note: String, to path: String) throws {
        let most = shown.map { $0.weights.shape[1] }.max() ?? 0
        if most > 0, let wrong = options.heads.first(where: { !(1...most).contains($0) }) {
            throw InputError("--heads: expected 1 to \(most), found \(wrong)")
        }
        var grid = AttentionGrid(shown)
        if let title = options.title { grid.title = title }
        grid.note = note
        grid.nLimit = options.nLimit
        grid.sharesScale = options.commonScale
        grid.heads = options.heads.isEmpty ? nil : options.heads.map { $0 - 1 }
        try grid.write(to: path)
    }
}

extension Objective {
    /// Returns the row that a model reads for a window: all of it, and after a start token, where there is one, its
    /// answer.
    fileprivate func row(of window: [Int32]) -> [Int32] {
        guard let startToken else { return window }
        return window + [startToken] + window.dropFirst().reversed()
    }
}
