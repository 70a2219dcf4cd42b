import ArgumentParser
import AttentionZooExperiments
import ModelZoo

/// `Compare`: compares the architectures on equal terms.
public struct Compare: Command {
    /// The name, usage and help of the command.
    public static let configuration = CommandConfiguration(
        abstract: "The architectures side by side: quality, speed and memory on equal terms.",
        discussion: """
            Three tasks, each for models of one size, and a plain transformer with full softmax attention as the baseline:

            text: each model is trained on the same windows of a text in the same order, for the same time or number of \
            steps. Bits per byte against time and tokens, speed, memory, generation.
            recall: associative recall, induction heads, selective copying, passkeys, questions of the built-in corpus, \
            one fact and four over distances: how much of what was read is found again, by length and distance.
            scale: what a pass and a generated token cost at sequence lengths from 512 on, until a model passes the budget.

            results.json, report.html, summary.md and the plots are written to the folder after each cell, which is one \
            model in one task. Ctrl-C keeps what is finished; the same command goes on.

            Exit codes: 0 all cells are finished; 1 bad input, or something failed; 64 the command line could not be read; \
            130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, 141 because nobody read the output any more.
            """)

    /// Creates the command without values, as the parser needs.
    public init() {}

    @Option(help: "text, recall, scale, several with commas, or all.")
    var task = CompareCommand().task

    @Option(help: "Architectures with commas, or all.")
    var models = CompareCommand().models

    @Option(
        parsing: .upToNextOption,
        help: "Text files, each compared on its own; corpus for the built-in corpus, which is taken without any.")
    var data: [String] = []

    @Option(help: "Tasks of recall with commas: mqar, induction, copying, passkey, questions, distance, facts; or all.")
    var recall = CompareCommand().recall

    @Option(help: "Minutes of training for each model on each text (5 unless given) and task of recall (2).")
    var minutes: Double?

    @Option(help: "Steps of training instead of minutes.")
    var steps: Int?

    @Option(help: "Parameters of each model in text and scale, within 5 %; 1000000 unless given.")
    var parameters: Int?

    @Option(help: "Tokens in a window of text; 512 unless given.")
    var sequenceLength: Int?

    @Option(help: "Windows of text in a batch; 8 unless given.")
    var batchSize: Int?

    @Option(help: "The learning rate of Adam; 0.003 unless given.")
    var learningRate: Double?

    @Option(
        help: "Windows of text: random, or sequential, so that what carries something along can; random unless given.")
    var order: String?

    @Option(help: "Steps between two validations on a text; 50 unless given.")
    var validateEvery: Int?

    @Option(help: "The longest sequence of scale; 262144 unless given.")
    var longest: Int?

    @Option(help: "Seconds that one pass of scale may take; 60 unless given.")
    var budgetSeconds: Double?

    @Option(help: "Memory that one pass of scale may take; 8 unless given.")
    var budgetGigabytes: Double?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "A key to change in the configurations of the models that have it; may be repeated.", valueName: "KEY=VALUE"
        ))
    var settings: [String] = []

    @Option(help: "What parameters, windows and tasks are drawn from; 0 unless given.")
    var seed: UInt64?

    @Option(help: "Threads to use; all processors unless given.")
    var threads: Int?

    @Flag(
        help: ArgumentHelp(
            "mqar at the published settings: 8,192 tokens, 100,000 examples, two layers of mixer.",
            discussion: "With --task recall --recall mqar."))
    var published = false

    @Option(help: "With --published: 64, 128, 256, 512 tokens, with commas; the first three unless given.")
    var lengths: String?

    @Option(help: "With --published: widths with commas; 64,128 unless given.")
    var widths: String?

    @Option(
        help:
            "With --published: learning rates with commas, the first that solves a setting ends its search; four unless given."
    )
    var rates: String?

    @Option(help: "With --published: epochs of training at most; 64 unless given.")
    var epochs: Int?

    @Option(help: "With --published: examples of the training; 100000 unless given.")
    var examples: Int?

    @Option(help: "The folder of the results.")
    var out = CompareCommand().out

    /// Runs the command; throws an error of one line, or `ExitCode`.
    public func run() throws {
        var command = CompareCommand()
        (command.task, command.models, command.data, command.recall) = (task, models, data, recall)
        (command.minutes, command.steps, command.parameters) = (minutes, steps, parameters)
        (command.sequenceLength, command.batchSize) = (sequenceLength, batchSize)
        (command.learningRate, command.order, command.validateEvery) = (learningRate, order, validateEvery)
        (command.longest, command.budgetSeconds, command.budgetGigabytes) = (longest, budgetSeconds, budgetGigabytes)
        (command.published, command.lengths, command.widths) = (published, lengths, widths)
        (command.rates, command.epochs, command.examples) = (rates, epochs, examples)
        (command.settings, command.seed, command.threads, command.out) = (settings, seed, threads, out)
        try CompareDisplay().show(command)
    }
}
