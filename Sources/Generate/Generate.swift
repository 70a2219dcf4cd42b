import ArgumentParser
import CommandSupport
import Foundation
import ModelZoo

@main
struct Generate: Command {
    static let configuration = CommandConfiguration(
        abstract: "Continue a text.",
        usage: """
            Generate --run FOLDER [--prompt TEXT] [options]
            Generate --model ID --config FILE --weights FILE [--prompt TEXT] [options]
            """)

    @OptionGroup(title: "Model") var options: SourceOptions

    @Option(help: "The text to continue; standard input unless given.")
    var prompt: String?

    @Option(help: "How many tokens to generate.")
    var length = 256

    @Option(help: "0 for the likeliest token always, 1 for tokens as likely as the model says.")
    var temperature = 1.0

    @Option(help: "Take only the N likeliest tokens.")
    var topK: Int?

    @Option(help: "Take only max(1, int((1 - X) * vocabulary)) tokens: the peers' filter_thres.")
    var filterThreshold: Double?

    @Option(help: "Take only the likeliest tokens that together have this probability.")
    var topP: Double?

    @Option(help: "The same seed gives the same text.")
    var seed: UInt64 = 0

    @Option(help: "Threads to use; all processors unless given.")
    var threads: Int?

    func run() throws {
        let input = { String(decoding: FileHandle.standardInput.readDataToEndOfFile(), as: UTF8.self) }
        let command = GenerateCommand(
            source: options.source, prompt: prompt ?? input(), length: length,
            sampling: SamplingOptions(
                temperature: temperature, topK: topK, filterThreshold: filterThreshold, topP: topP, seed: seed),
            threads: threads)
        try command.run { show($0, terminator: "") }
        show("")
    }
}
