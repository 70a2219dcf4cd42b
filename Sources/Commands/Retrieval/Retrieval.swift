import ArgumentParser
import AttentionZooExperiments
import ModelZoo

/// `Retrieval`: trains memories on the retrieval tasks of fast weights (2102.11174, section 6.1).
public struct Retrieval: Command {
    /// The name, usage and help of the command.
    public static let configuration = CommandConfiguration(
        abstract: "The retrieval tasks of fast weights (2102.11174, section 6.1): the loss by the number of keys.",
        discussion: """
            Reads pairs of a key and a value one after another and asks for the value of one key, for growing numbers S of \
            keys: in setting 1 S pairs, every key once; in setting 2 2 S pairs, of which the last value of a key counts. \
            Each cell, a number of keys for a feature map and an update rule, is trained until its loss is 1e-3 or 11 \
            evaluations in a row have brought no progress.

            results.json, report.html and a plot for each setting are written to the folder after each cell. Ctrl-C keeps \
            the cells that are finished; the same command goes on with the others.

            All of the paper's figures take hours: Retrieval --setting 1 --pairs 20,40,…,600 --rules sum --maps \
            elu,dpfp1,dpfp2,dpfp3,favor64,favor128,favor512,softmax --out setting-1, and Retrieval --setting 2 --pairs \
            20,40,…,200 --maps elu,dpfp1,dpfp2 --out setting-2.

            Exit codes: 0 all cells are finished; 1 bad input, or something failed; 2 the minutes were over; 64 the \
            command line could not be read; 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, 141 because nobody \
            read the output any more.
            """)

    /// Creates the command without values, as the parser needs.
    public init() {}

    @Option(help: "1, 2, or 1,2.")
    var setting = RetrievalCommand().setting

    @Option(help: "Numbers of keys S, with commas.")
    var pairs = RetrievalCommand().pairs

    @Option(help: "Feature maps, with commas: elu, dpfpN, favorM (M random directions), softmax.")
    var maps = RetrievalCommand().maps

    @Option(help: "Update rules, with commas: sum, delta.")
    var rules = RetrievalCommand().rules

    @Option(help: "Steps of a cell at most.")
    var steps = RetrievalCommand().options.steps

    @Option(help: "Minutes for all cells; without it until all are finished.")
    var minutes: Double?

    @Option(help: "Sequences in a step.")
    var batchSize = RetrievalCommand().options.batchSize

    @Option(help: "The learning rate of Adam.")
    var learningRate = RetrievalCommand().options.learningRate

    @Option(help: "What parameters and sequences are drawn from.")
    var seed = RetrievalCommand().options.seed

    @Flag(help: "Judge setting 2 on 2 S pairs as in training; the authors' code takes S.")
    var fullLength = false

    @Option(help: "Threads to use; all processors unless given.")
    var threads: Int?

    @Option(help: "The folder of the results.")
    var out = RetrievalCommand().out

    /// Runs the command; throws an error of one line, or `ExitCode`.
    public func run() throws {
        var command = RetrievalCommand()
        (command.setting, command.pairs, command.maps, command.rules) = (setting, pairs, maps, rules)
        (command.options.steps, command.options.batchSize) = (steps, batchSize)
        (command.options.learningRate, command.options.seed) = (learningRate, seed)
        command.options.judgesFullLength = fullLength
        (command.minutes, command.threads, command.out) = (minutes, threads, out)
        try RetrievalDisplay().show(command)
    }
}
