import ArgumentParser
import CommandSupport
import Foundation
import ModelZoo

@main
struct Generate: Command {
    static let configuration = CommandConfiguration(
        abstract: "Continue a text, or reverse it, as the model has learned.",
        usage: """
            Generate --run FOLDER [--prompt TEXT] [options]
            Generate --model ID --config FILE --weights FILE [--prompt TEXT] [options]
            """)

    @OptionGroup(title: "Model") var options: SourceOptions
    @OptionGroup(title: "Model") var precision: WeightOptions

    @Option(help: "The text to continue or reverse; standard input unless given, or nothing with --load-state.")
    var prompt: String?

    @Option(help: "How many tokens to generate. (default: 256; as many as the prompt has where it is reversed)")
    var length: Int?

    @Option(
        help:
            """
            0 for the likeliest token always, 1 for tokens as likely as the model says. (default: 1; without any option \
            of sampling 0 where the prompt is reversed)
            """
    )
    var temperature: Double?

    @Option(help: "Take only the N likeliest tokens.")
    var topK: Int?

    @Option(help: "Take only max(1, int((1 - X) * vocabulary)) tokens: the peers' filter_thres.")
    var filterThreshold: Double?

    @Option(help: "Take only the likeliest tokens that together have this probability.")
    var topP: Double?

    @Option(help: "The same seed gives the same text. (default: 0)")
    var seed: UInt64?

    @Option(help: "A file for where the text stands at the end, to go on with it later.")
    var saveState: String?

    @Option(help: "Go on from where a text stood: a file that --save-state wrote. A prompt is read after that text.")
    var loadState: String?

    @Option(help: "Threads to use; all processors unless given.")
    var threads: Int?

    func run() throws {
        let input = { String(decoding: FileHandle.standardInput.readDataToEndOfFile(), as: UTF8.self) }
        var source = options.source
        source.weightsAs = precision.weightsAs
        let command = GenerateCommand(
            source: source, prompt: prompt ?? (loadState == nil ? input() : ""), length: length,
            sampling: sampling, saveState: saveState, loadState: loadState, threads: threads)
        try command.run { show($0, terminator: "") }
        show("")
    }

    /// nil where none of its options is given: it is then left to what the model has learned.
    private var sampling: SamplingOptions? {
        guard temperature != nil || topK != nil || filterThreshold != nil || topP != nil || seed != nil else {
            return nil
        }
        return SamplingOptions(
            temperature: temperature ?? 1, topK: topK, filterThreshold: filterThreshold, topP: topP, seed: seed ?? 0)
    }
}
