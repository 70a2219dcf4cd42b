import ArgumentParser
import ModelZoo

/// `Train`: trains a language model on a text, or resumes a run.
public struct Train: Command {
    /// The name, usage and help of the command.
    public static let configuration = CommandConfiguration(
        abstract: "Train a language model on a text.",
        usage: """
            Train --model ID [--preset NAME] [--config FILE] [--data PATH ...] [options]
            Train --resume FOLDER [--steps N | --epochs N | --minutes M] [options]
            """,
        discussion: """
            On a terminal a line shows how the training stands; elsewhere there are plain lines. NO_COLOR turns colors \
            off. The first Ctrl-C, SIGTERM or SIGHUP finishes the step, saves, and says how to go on; another Ctrl-C \
            stops at once, with the loss of the steps since the last save.

            Exit codes: 0 trained to the end; 1 bad input, or something failed (one line on standard error); 3 the \
            training diverged: its numbers are no longer finite; 64 the command line could not be read; 130 stopped by \
            Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, 141 because nobody read the output any more, all of them after a save.
            """)

    /// Creates the command without values, as the parser needs.
    public init() {}

    @Option(help: "The architecture: \(ModelZoo.identifiers.joined(separator: ", ")).")
    var model: String?

    @Option(
        help:
            """
            Where configuration and training options come from unless given: tiny, quick, small or reference; fast-weights \
            has gated too, block-recurrent memory. (default: small, and quick without --data)
            """
    )
    var preset: String?

    @Option(help: "The model's configuration in place of the preset's: JSON with the peer's keyword names.")
    var config: String?

    @OptionGroup(title: "Text") var text: TextOptions
    @OptionGroup(title: "Steps") var steps: StepOptions
    @OptionGroup(title: "Optimizer") var optimizer: OptimizerArguments
    @OptionGroup(title: "Progress") var progress: ProgressOptions

    @Option(help: "What the initial weights, windows and dropout are drawn from. (default: 0)")
    var seed: UInt64?

    @Option(help: "Threads to use; all processors unless given.")
    var threads: Int?

    @Option(help: "The run's folder. (default: runs/MODEL-1, or the next free number)")
    var out: String?

    @Option(help: "Go on with the run in this folder.")
    var resume: String?

    /// Runs the command; throws an error of one line, or `ExitCode`.
    public func run() throws {
        let display = try TrainingDisplay(json: progress.json, quiet: progress.quiet)
        var command = TrainCommand()
        (command.model, command.preset, command.config) = (model, preset, config)
        (command.seed, command.threads, command.out, command.resume) = (seed, threads, out, resume)
        text.apply(to: &command)
        steps.apply(to: &command)
        optimizer.apply(to: &command)
        progress.apply(to: &command)
        try display.show(command)
    }
}
