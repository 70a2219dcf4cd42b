import ModelZoo

/// `Evaluate --check-causality`: searches any model for logits that see later tokens.
package struct CausalityCommand {
    /// The model; without a run and weights its initial ones are drawn.
    package var source: ModelSource
    var options: Evaluate

    private static let usualLength = 256
    private static let longestUnlessAsked = 1024
    /// The greatest length, as attention weights of that many rows and columns are kept of each head.
    private static let greatestLength = 8192

    /// - Parameter print: is given the result: lines for people, or with `json` one line of JSON.
    /// - Throws: `InputError` in one line, also where the model leaks.
    package func run(print: (String) -> Void) throws {
        try namingFlags(["length": "sequence-length"]) { try check(print) }
    }

    private func check(_ print: (String) -> Void) throws {
        try useThreads(options.threads)
        if let sequenceLength = options.sequenceLength {
            try requireRange("--sequence-length", sequenceLength, 2...Self.greatestLength)
        }
        let form: Implementation = try options.implementation.map { try option("--implementation", $0) } ?? .fused
        let loaded = try load()
        var check = CausalityCheck(length: length(loaded))
        check.implementation = form
        check.key = RandomKey(seed: UInt64(bitPattern: Int64(options.seed ?? 0)))
        let report = CausalityReport(
            findings: try loaded.model.findings(of: check), length: check.length, isCausal: loaded.model.isCausal,
            problem: loaded.model.causalityProblem)
        print(options.json ? report.json : report.lines)
        if report.findings.first != nil { throw InputError("\(name): logits see later tokens") }
    }

    private var name: String { source.run ?? source.weights ?? source.config ?? options.preset ?? "the model" }

    private func length(_ loaded: ModelSource.Loaded) -> Int {
        if let sequenceLength = options.sequenceLength { return sequenceLength }
        let trained = loaded.run.map { $0.training.objective.rowLength(ofWindow: $0.training.sequenceLength) }
        let usual = min(trained ?? loaded.model.maximumLength ?? Self.usualLength, Self.longestUnlessAsked)
        return min(usual, loaded.model.maximumLength ?? usual)
    }

    /// Loads the model, or makes it with initial weights where there is neither a run nor a file of weights.
    private func load() throws -> ModelSource.Loaded {
        guard let id = source.model, source.run == nil, source.weights == nil else {
            try refuse([("--preset", options.preset != nil)], "expected only with --model and without --weights")
            return try source.load()
        }
        try refuse([("--weights-as", source.weightsAs != nil)], "expected only with --run or --weights")
        let architecture = try Zoo.architecture(id)
        let (configuration, file) = try configuration(architecture)
        let model = try architecture.makeModel(configuration, file: file, key: RandomKey(seed: 0))
        source.note("\(id): without --weights, its initial weights are checked")
        return ModelSource.Loaded(id: id, model: model, tokenizer: ByteTokenizer(), run: nil)
    }

    private func configuration(_ architecture: any Architecture) throws -> (JSONValue, file: String) {
        switch (source.config, options.preset) {
        case (let file?, nil): return (try JSONValue(path: file), file)
        case (nil, let name?): return (try architecture.presetJSON(name).configuration, "preset \(name)")
        case (nil, nil): throw InputError("--config is missing; expected --config FILE or --preset NAME with --model")
        case (_?, _?): throw InputError("--preset: cannot be combined with --config")
        }
    }
}

/// The findings as `Evaluate --check-causality` prints them.
struct CausalityReport {
    let findings: CausalityFindings
    let length: Int
    /// True where the model is causal by its configuration; else `problem` says why not.
    let isCausal: Bool
    let problem: String?

    var lines: String {
        var lines: [String] = []
        if !isCausal {
            lines.append(
                "not causal by construction: \(problem ?? "each position sees the tokens after it (\"causal\": false)")"
            )
        }
        let changes = "\(counted(findings.changes, "token")) changed, one at a time, in texts of \(length)"
        guard let leak = findings.first else {
            let same = findings.difference == 0 ? "not a bit of an earlier logit has changed" : "\(largest), rounding"
            return (lines + ["no leak: \(changes): \(same)"]).joined(separator: "\n")
        }
        lines.append(
            "leak: the token at position \(leak.changed) changes logits back to position \(leak.seen), \(leak.distance) before"
                + " it, by up to \(leak.difference.text("%.1e")) of the largest")
        lines.append(place(of: leak))
        lines.append("\(changes): \(findings.leaks) are seen before their place; \(largest)")
        return lines.joined(separator: "\n")
    }

    private func place(of leak: CausalityFindings.Leak) -> String {
        if let layer = leak.layer { return "first seen in the attention weights of \(layer)" }
        guard let last = leak.lastRecorded else {
            return "no layer can be named: the model records no attention weights"
        }
        return "the attention weights of earlier tokens are unchanged up to \(last): the leak comes after them"
    }

    private var largest: String {
        "earlier logits differ by up to \(findings.difference.text("%.1e")) of the largest, of which"
            + " \(findings.allowance.text("%.1e")) may be rounding"
    }

    /// One line of JSON.
    var json: String {
        let leak: JSONValue? = findings.first.map { leak in
            .object([
                "changed": .integer(leak.changed), "seen": .integer(leak.seen), "distance": .integer(leak.distance),
                "difference": .number(leak.difference), "layer": leak.layer.map { .string($0) } ?? .null,
                "last_recorded_layer": leak.lastRecorded.map { .string($0) } ?? .null,
            ])
        }
        return JSONValue.object([
            "causal_by_construction": .bool(isCausal), "sequence_length": .integer(length),
            "changes": .integer(findings.changes), "leaks": .integer(findings.leaks),
            "largest_difference": .number(findings.difference), "allowed_difference": .number(findings.allowance),
            "first_leak": leak ?? .null,
        ]).description
    }
}
