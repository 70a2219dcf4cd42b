import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands
@testable import Trainer

@Suite("The flags of options") struct OptionFlagTests {
    let workspace = try! Workspace()

    @Test("An error names the flag of a property: in kebab-case, but for some")
    func flags() throws {
        let error = OptionError(
            "optimizer.weightDecay",
            "expected \(option: "forgetting"), \(option: "carries", "false") or \(option: "schedule", "cosine")")
        #expect(error.message(naming: .flags) == "--weight-decay: expected --forget, --no-carry or --schedule cosine")
        #expect(
            OptionError("length", "no").message(naming: .flags(["length": "sequence-length"]))
                == "--sequence-length: no")
        expectError("--top-k: expected a whole number of at least 1, found 0") {
            try namingFlags { try SamplingOptions(topK: 0).validate() }
        }
    }

    @Test("A fault's advice is a command line")
    func faults() {
        let fault = TrainingFault(
            .notFinite, "x",
            advice: """
                ; go on with \(resuming: "-a b", with: OptionMention(property: "learningRate", value: "0.5")), or a lower \
                \(option: "clip")
                """)
        let error = #expect(throws: TrainingFault.self) { try namingFlags { throw fault } }
        #expect(error?.message == "x; go on with --resume './-a b' --learning-rate 0.5, or a lower --clip")
        #expect(error?.kind == .notFinite && error?.problem == "x")
        #expect(fault.message == "x; go on with TrainingRun(resuming: -a b) and learningRate 0.5, or a lower clip")
    }

    @Test("Every option that the library checks has its flag among the command's")
    func everyOptionHasAFlag() {
        let help = Train.helpMessage(columns: 200)
        // Constants of optimizers that only code sets, and what stands for several flags.
        let others = ["epsilon", "leastSize", "decayExponent", "updateLimit", "length", "optimizer"]
        let properties =
            TrainingOptions.schema.map(\.property) + OptimizerOptions.schema.map { "optimizer.\($0.property)" }
            + ["length.steps", "length.epochs", "length.minutes"]
        for property in properties where !others.contains(property.lastComponent) {
            let flag = ("\(option: property)" as OptionText).text(naming: .flags)
            #expect(help.contains("  \(flag) ") || help.contains("  \(flag)\n"), "\(property): \(flag)")
        }
    }

    @Test("What the folder of a run says already is refused when it is resumed")
    func resumedRuns() throws {
        try workspace.tinyTraining("run").train()
        for arguments in [
            ["--warmup", "3"], ["--schedule", "noam"], ["--learning-rate-floor", "0.1"], ["--beta2", "0.9"],
            ["--optimizer", "adamw"], ["--parameter-scaled"], ["--batch-size", "2"], ["--order", "random"],
            ["--objective", "masked"], ["--dropout", "0.1"], ["--seed", "1"], ["--out", "x"], ["--documents", "none"],
        ] {
            let command = try Train.parse(["--resume", workspace.path("run")] + arguments)
            expectError("\(arguments[0]): cannot be combined with --resume, whose folder says it already") {
                try command.train()
            }
        }
    }

    @Test("What a resumed run may have another value of changes its options")
    func changesOfResumedRuns() throws {
        let arguments = [
            "--learning-rate", "0.5", "--clip", "0", "--validate-every", "3", "--validation-share", "0.25",
            "--sample-every", "4", "--sample-length", "5", "--save-every", "6", "--keep", "7",
        ]
        var options = TrainingOptions(clip: 1)
        for setting in try Train.parse(arguments).settings where setting.isForResumed { try setting.apply(&options) }
        #expect(
            options
                == TrainingOptions(
                    learningRate: 0.5, clip: nil, validateEvery: 3, validationShare: 0.25, sampleEvery: 4,
                    sampleLength: 5, saveEvery: 6, keepCheckpoints: 7))
    }
}
