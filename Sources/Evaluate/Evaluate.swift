import ArgumentParser
import CommandSupport
import ModelZoo

@main
struct Evaluate: Command {
    static let configuration = CommandConfiguration(
        abstract: "Measure how well a model predicts a text, or check its numbers on a batch.",
        usage: """
            Evaluate --run FOLDER [--data PATH ...] [options]
            Evaluate --model ID --config FILE --weights FILE --data PATH ... [options]
            Evaluate --model ID --config FILE --weights FILE --batch FILE --output FILE [--gradients]
            """,
        discussion: """
            The text is cut into consecutive windows, and every token but the very first is predicted once from the tokens \
            before it in its window. A run that learned to fill in hidden tokens, or to reverse windows, is asked for that.
            """)

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

    @Option(
        help:
            "The form of the model's operations: fused, or plain as the paper writes them, slower and for comparisons.")
    var implementation: String?

    @Option(help: "Threads to use; all processors unless given.")
    var threads: Int?

    @Flag(help: "Print one line of JSON.")
    var json = false

    func run() throws {
        var source = options.source
        source.weightsAs = precision.weightsAs
        let command = EvaluateCommand(
            source: source, data: data, corpusLength: corpusLength, sequenceLength: sequenceLength,
            batchSize: batchSize, carries: carry,
            forgotten: forget.map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) } ?? [],
            batch: batch, output: output, gradients: gradients, implementation: implementation,
            threads: threads, json: json)
        try command.run(print: { show($0) }, progress: showProgress)
    }
}
