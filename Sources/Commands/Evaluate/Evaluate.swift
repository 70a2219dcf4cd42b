import ArgumentParser
import ModelZoo

/// `Evaluate`: measures how well a model predicts a text, writes the numbers of a batch, or checks causality.
public struct Evaluate: Command {
    /// The name, usage and help of the command.
    public static let configuration = CommandConfiguration(
        abstract: "Measure how well a model predicts a text, or check its numbers on a batch.",
        usage: """
            Evaluate --run FOLDER [--data PATH ...] [options]
            Evaluate --model ID --config FILE --weights FILE --data PATH ... [options]
            Evaluate --model ID --config FILE --weights FILE --batch FILE --output FILE [--gradients]
            Evaluate --run FOLDER --check-causality [--seed N]
            Evaluate --model ID (--config FILE | --preset NAME) [--weights FILE] --check-causality [--seed N]
            """,
        discussion: """
            The text is cut into consecutive windows, and every token but the very first is predicted once from the tokens \
            before it in its window. A run that learned to fill in hidden tokens, or to reverse windows, is asked for that.

            --check-causality changes single tokens of random texts instead and compares the logits before them: where \
            nothing leaks they are the same to the bit. Differences above 1e-6 of the largest logit, and above eight times \
            what another shape of the batch makes, are a leak, and the exit code is 1.
            """)

    /// Creates the command without values, as the parser needs.
    public init() {}

    @OptionGroup(title: "Model") var options: SourceOptions
    @OptionGroup(title: "Model") var precision: WeightOptions

    @Option(
        parsing: .upToNextOption,
        help: "The text: files or folders; .gz is decompressed. (default: what the run has held back)")
    var data: [String] = []

    @Option(help: "Of a run on the built-in corpus: how many bytes of it, more than were held back for more questions.")
    var corpusLength: Int?

    @Option(help: "Tokens in a window; that of the training unless given.")
    var sequenceLength: Int?

    @Option(help: "Windows read at once; has no influence on the result.")
    var batchSize: Int?

    @Flag(
        inversion: .prefixedNo,
        help: "Let what the model remembers pass from window to window, or not; as in the training unless given.")
    var carry: Bool?

    @Option(help: "Parts of what passes that are forgotten before each segment, to see what they are worth: A,B.")
    var forget: String?

    @Option(help: "A safetensors file with tokens [b, n] and targets [b, n].")
    var batch: String?

    @Option(help: "Where to write logits [b, n, vocabulary] and loss [1] of the batch, a safetensors file.")
    var output: String?

    @Flag(help: "Write the gradient of each trainable parameter too, as gradients/KEY.")
    var gradients = false

    @Flag(help: "Search for logits that see later tokens: positions, distance, and the layer that shows it first.")
    var checkCausality = false

    @Option(help: "With --check-causality and --model: the preset to check, in place of --config.")
    var preset: String?

    @Option(help: "With --check-causality: draws other texts, places and tokens. (default: 0)")
    var seed: Int?

    @Option(
        help:
            "The form of the model's operations: fused, or plain as the paper writes them, slower and for comparisons.")
    var implementation: String?

    @Option(help: "Threads to use; all processors unless given.")
    var threads: Int?

    @Flag(help: "Print one line of JSON.")
    var json = false

    /// Runs the command; throws an error of one line, or `ExitCode`.
    public func run() throws {
        var source = options.source
        source.weightsAs = precision.weightsAs
        if checkCausality { return try check(source) }
        try refuse([("--preset", preset != nil), ("--seed", seed != nil)], "expected only with --check-causality")
        try EvaluateCommand(source: source, options: self).run(print: { show($0) }, progress: showProgress)
    }

    /// The parts of what passes that are forgotten, each once.
    var forgotten: [String] {
        let parts = forget?.split(separator: ",", omittingEmptySubsequences: false).map(String.init) ?? []
        return parts.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    /// Searches for logits that see later tokens.
    private func check(_ source: ModelSource) throws {
        try refuse(
            [
                ("--data", !data.isEmpty), ("--corpus-length", corpusLength != nil), ("--batch-size", batchSize != nil),
                ("--carry", carry == true), ("--no-carry", carry == false), ("--forget", forget != nil),
                ("--batch", batch != nil), ("--output", output != nil), ("--gradients", gradients),
            ], "cannot be combined with --check-causality")
        try CausalityCommand(source: source, options: self).run(print: { show($0) })
    }
}
