import ArgumentParser
import AttentionZooExperiments
import ModelZoo

/// `Bench`: measures the machine, operations, training steps and generation.
public struct Bench: Command {
    /// The name, usage and help of the command.
    public static let configuration = CommandConfiguration(
        abstract: "Measure the machine, operations against plain forms and loops, training steps, and generation.",
        subcommands: [
            MachineCommand.self, Kernels.self, TrainingSteps.self, Generation.self, Projections.self, Instructions.self,
        ])

    /// Creates the command without values, as the parser needs.
    public init() {}
}

/// The options of every benchmark.
struct CommonOptions: ParsableArguments {
    @Option(help: "Threads to use; all processors unless given.")
    var threads: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        try check("--threads", threads, Threads.counts)
    }

    func apply() { if let threads { Threads.count = threads } }
}

/// - Throws: `ValidationError` that names the option and the bound that the number is beyond.
private func check(_ name: String, _ number: Int?, _ range: ClosedRange<Int>) throws {
    guard let number, !range.contains(number) else { return }
    let bound = number < range.lowerBound ? "at least \(range.lowerBound)" : "at most \(range.upperBound)"
    throw ValidationError("\(name): expected \(bound), found \(number)")
}

/// The model of a benchmark.
struct ModelOptions: ParsableArguments {
    @Option(help: "The architecture: \(Zoo.identifiers.joined(separator: ", ")).")
    var model: String

    @Option(help: "The preset.")
    var preset = "reference"

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("A key of the preset's configuration to change; may be repeated.", valueName: "KEY=VALUE"))
    var changes: [String] = []

    func validate() throws { _ = try settings() }

    func settings() throws -> [ConfigurationSetting] {
        try changes.map {
            guard let setting = ConfigurationSetting($0) else {
                throw ValidationError("--set: expected KEY=VALUE, found \($0)")
            }
            return setting
        }
    }
}

struct MachineCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "machine",
        abstract: "What is here: processor, OpenBLAS and its kernels, threads, the best product and copy.")

    @OptionGroup var common: CommonOptions

    @Flag(help: "Measure no speeds.")
    var quick = false

    func run() throws {
        common.apply()
        let report = MachineReport.run(measuresSpeeds: !quick)
        show(common.json ? try report.json() : report.text())
    }
}

struct Kernels: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels",
        abstract: "Operations against plain forms and loops: speed, share of the machine's peak, agreement.")

    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let report = KernelBenchmarks.run()
        print(common.json ? try report.json() : report.table())
        if !report.allAgree { throw ExitCode.failure }
    }
}

struct Projections: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "projections",
        abstract: "Linformer's attention against full attention over growing lengths (the paper's Table 3).")

    @OptionGroup var common: CommonOptions

    @Option(help: "The longest sequence, at least 512; each is twice the one before.")
    var longest = 65536

    func validate() throws {
        try check("--longest", longest, 512...1 << 24)
    }

    func run() throws {
        common.apply()
        let lengths = (9...).lazy.map { 1 << $0 }.prefix { $0 <= longest }
        let report = ProjectionLengths.run(lengths: Array(lengths))
        print(common.json ? try report.json() : report.table())
    }
}

struct TrainingSteps: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "train", abstract: "Training steps on random tokens.")

    @OptionGroup var model: ModelOptions
    @OptionGroup var common: CommonOptions

    @Option(help: "Steps after one warm-up; the fastest counts.")
    var steps = 3

    @Option(help: "Tokens in a sequence; the preset's unless given.")
    var sequenceLength: Int?

    @Option(help: "Sequences in a batch; the preset's unless given.")
    var batchSize: Int?

    func validate() throws {
        try check("--steps", steps, 1...TrainingOptions.mostSteps)
        try check("--sequence-length", sequenceLength, 1...1 << 24)
        try check("--batch-size", batchSize, 1...1 << 20)
    }

    func run() throws {
        common.apply()
        let result = try TrainingBenchmark.run(
            model: model.model, preset: model.preset, settings: model.settings(), steps: steps,
            sequence: sequenceLength, batch: batchSize)
        print(try common.json ? result.json() : result.lines())
    }
}

struct Generation: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Greedy generation after a random prompt.")

    @OptionGroup var model: ModelOptions
    @OptionGroup var common: CommonOptions

    @Option(help: "Tokens in the prompt.")
    var promptLength = 512

    @Option(help: "Tokens to generate, of each sequence.")
    var length = 64

    @Option(help: "Sequences that are decoded together, each after a prompt of its own.")
    var batchSize = 1

    @OptionGroup var precision: WeightOptions

    func validate() throws {
        try check("--prompt-length", promptLength, 1...1 << 24)
        try check("--length", length, 1...1 << 24)
        try check("--batch-size", batchSize, 1...1 << 16)
    }

    func run() throws {
        common.apply()
        let result = try GenerationBenchmark.run(
            model: model.model, preset: model.preset, settings: model.settings(), promptLength: promptLength,
            length: length, batch: batchSize, weightsAs: precision.weightsAs ?? WeightPrecision.float.rawValue)
        print(try common.json ? result.json() : result.lines())
    }
}

struct Instructions: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "instructions",
        abstract:
            "Fixed work on one thread, whose instructions Scripts/baselines counts; prints the names of the cases.")

    func run() throws {
        Threads.count = 1
        for item in InstructionCase.all {
            try item.run()
            print(item.name)
        }
    }
}
