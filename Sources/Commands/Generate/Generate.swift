import ArgumentParser
import Foundation
import ModelZoo

/// `Generate`: continues a text, or reverses it, as a model has learned.
public struct Generate: Command {
    /// The name, usage and help of the command.
    public static let configuration = CommandConfiguration(
        abstract: "Continue a text, or reverse it, as the model has learned.",
        usage: """
            Generate --run FOLDER [--prompt TEXT | --prompt-file FILE] [options]
            Generate --model ID --config FILE --weights FILE [--prompt TEXT | --prompt-file FILE] [options]
            """,
        discussion: """
            Where tokens are bytes, a prompt from a file or standard input is read as the bytes it is, and what is \
            generated is written as it is; on a terminal, bytes that are no UTF-8 are shown as U+FFFD, and a newline \
            ends the output.

            The text ends before a --stop text, which is not printed, and after --length tokens at the latest. That of a \
            run that was trained with --documents lines or byte:N ends with its document, too; the byte that ends it is \
            not printed either.
            """)

    /// Creates the command without values, as the parser needs.
    public init() {}

    @OptionGroup(title: "Model") var options: SourceOptions
    @OptionGroup(title: "Model") var precision: WeightOptions

    @Option(
        parsing: .unconditional,
        help: "The text to continue or reverse; standard input unless given, or nothing with --load-state.")
    var prompt: String?

    @Option(help: "A file or pipe with that text, whose bytes are taken as they are.")
    var promptFile: String?

    @Option(help: "How many tokens to generate. (default: 256; as many as the prompt has where it is reversed)")
    var length: Int?

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Where to stop, before this text: TEXT, or byte:N with N from 0 to 255, 0x00 to 0xff, or \\n. May be repeated.",
            valueName: "TEXT|byte:N"))
    var stop: [String] = []

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

    /// Runs the command; throws an error of one line, or `ExitCode`.
    public func run() throws {
        var source = options.source
        source.weightsAs = precision.weightsAs
        try source.requireNames()
        let command = try GenerateCommand(source: source, prompt: promptBytes(), options: self)
        guard isatty(STDOUT_FILENO) == 1 else { return try command.runForBytes { show($0) } }
        try command.run { show($0, terminator: "") }
        show("")
    }

    private func promptBytes() throws -> [UInt8] {
        if let prompt {
            guard promptFile == nil else {
                throw InputError("--prompt-file: cannot be combined with --prompt; expected one of the two")
            }
            return Array(prompt.utf8)
        }
        if let promptFile { return try PromptInput.read(file: promptFile) }
        return loadState == nil ? try PromptInput.readStandardInput() : []
    }

    /// nil where none of its options is given: it is then left to what the model has learned.
    var sampling: SamplingOptions? {
        guard temperature != nil || topK != nil || filterThreshold != nil || topP != nil || seed != nil else {
            return nil
        }
        return SamplingOptions(
            temperature: temperature ?? 1, topK: topK, filterThreshold: filterThreshold, topP: topP, seed: seed ?? 0)
    }
}
