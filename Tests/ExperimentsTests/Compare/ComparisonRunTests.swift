import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

@testable import AttentionZooExperiments

@Suite struct ComparisonRunTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    // MARK: Options

    private static let wrong: [(@Sendable (inout CompareCommand) -> Void, String)] = [
        ({ $0.task = "texts" }, "--task: expected some of text, recall, scale, all, found \"texts\""),
        ({ $0.task = "text," }, "--task: expected some of text, recall, scale, all, found \"\""),
        (
            { ($0.task, $0.recall) = ("text,recall", "mqar,copy") },
            "--recall: expected some of mqar, induction, copying, passkey, questions, distance, facts, all, found \"copy\""
        ),
        ({ $0.steps = 0 }, "--steps: expected a whole number of at least 1, found 0"),
        ({ ($0.steps, $0.minutes) = (nil, 0) }, "--minutes: expected a number above 0, found 0.0"),
        ({ ($0.steps, $0.minutes) = (nil, .nan) }, "--minutes: expected a number above 0, found nan"),
        ({ $0.minutes = 1 }, "--minutes: cannot be combined with --steps; expected one of the two"),
        ({ $0.parameters = -1 }, "--parameters: expected a whole number of at least 1, found -1"),
        ({ $0.sequenceLength = 100 }, "--sequence-length: expected a whole number from 128 to 1048576, found 100"),
        ({ $0.batchSize = 0 }, "--batch-size: expected a whole number of at least 1, found 0"),
        ({ $0.learningRate = .infinity }, "--learning-rate: expected a number above 0, found inf"),
        (
            { $0.order = "randm" },
            "--order: expected one of random, sequential, found \"randm\"; did you mean \"random\"?"
        ),
        ({ $0.longest = 256 }, "--longest: expected a whole number from 512 to 16777216, found 256"),
        ({ $0.longest = .max }, "--longest: expected a whole number from 512 to 16777216, found \(Int.max)"),
        ({ $0.budgetSeconds = 0 }, "--budget-seconds: expected a number above 0, found 0.0"),
        ({ $0.budgetGigabytes = -2 }, "--budget-gigabytes: expected a number above 0, found -2.0"),
        ({ $0.threads = 0 }, "--threads: expected a whole number of at least 1, found 0"),
        ({ $0.models = "local,locla" }, "unknown model \"locla\", did you mean \"local\"?"),
        ({ $0.data += $0.data }, "--data: two texts are named story.txt; expected files of different names"),
        ({ $0.data = ["/nowhere/at.all"] }, "/nowhere/at.all"),
        ({ $0.parameters = 20_000 }, "--parameters: no width of"),
    ]

    @Test("Wrong options are named before anything is made", arguments: wrong.indices)
    func wrongOptionsAreNamed(_ index: Int) {
        let (change, message) = Self.wrong[index]
        let error = #expect(throws: InputError.self) { try workspace.command(change).run() }
        #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "")")
        // Nothing is made for a command that cannot be run.
        #expect(!FileManager.default.fileExists(atPath: workspace.out))
    }

    @Test("Cells are ordered by text, task, and length")
    func cellsGoByTextTaskAndLength() throws {
        var command = workspace.command {
            ($0.task, $0.models, $0.recall, $0.longest) = ("all", "transformer, flash", "passkey", 1500)
        }
        command.data = ["corpus", workspace.text]
        let options = try command.options(ComparisonTask.allCases)
        let texts = try command.data.map { try ComparedText($0, sequenceLength: 128) }
        let titles = try command.cells(ComparisonTask.allCases, texts, options).map(\.title)
        #expect(
            titles == [
                "text corpus, transformer", "text corpus, flash", "text story.txt, transformer",
                "text story.txt, flash",
                "recall passkey, transformer", "recall passkey, flash", "scale 512, transformer", "scale 512, flash",
                "scale 512, naive", "scale 1024, transformer", "scale 1024, flash", "scale 1024, naive",
            ])
        #expect(ScaleOptions().lengths.first == 512 && ScaleOptions().lengths.last == 262_144)
        #expect(ScaleOptions().lengths.count == 10)
    }

    private static let foreign: [(String, @Sendable (inout CompareCommand) -> Void, String)] = [
        ("recall", { $0.data = ["a"] }, "--data: expected only with --task text"),
        ("scale,recall", { $0.order = "random" }, "--order: expected only with --task text"),
        ("scale", { $0.recall = "mqar" }, "--recall: expected only with --task recall"),
        ("text", { $0.longest = 512 }, "--longest: expected only with --task scale"),
        ("recall", { $0.budgetSeconds = 5 }, "--budget-seconds: expected only with --task scale"),
        ("scale", { $0.steps = 5 }, "--steps: expected only with --task recall or --task text"),
        ("recall", { $0.parameters = 500_000 }, "--parameters: expected only with --task scale or --task text"),
    ]

    @Test("Options that no chosen task takes are refused", arguments: foreign.indices)
    func optionsThatNoTaskTakesAreRefused(_ index: Int) {
        let (task, change, message) = Self.foreign[index]
        #expect(throws: InputError(message)) { try workspace.command(task: task, models: "local", change).run() }
        #expect(!FileManager.default.fileExists(atPath: workspace.out))
    }

    private static let options: [(ComparisonTask, @Sendable (inout ComparisonOptions) -> Void, String?)] = [
        (.text, { $0.text.minutes = 9 }, "--minutes"), (.text, { $0.text.steps = 9 }, "--steps"),
        (.text, { $0.text.sequenceLength = 999 }, "--sequence-length"),
        (.text, { $0.text.batchSize = 99 }, "--batch-size"),
        (.text, { $0.text.learningRate = 9 }, "--learning-rate"), (.text, { $0.text.order = .sequential }, "--order"),
        (.text, { $0.text.validateEvery = 9 }, "--validate-every"), (.text, { $0.parameters = 9 }, "--parameters"),
        (.text, { $0.seed = 9 }, "--seed"), (.text, { $0.recall.minutes = 9 }, nil),
        (.recall, { $0.recall.minutes = 9 }, "--minutes"), (.recall, { $0.recall.steps = 9 }, "--steps"),
        (.recall, { $0.recall.learningRate = 9 }, "--learning-rate"), (.recall, { $0.seed = 9 }, "--seed"),
        (.recall, { $0.parameters = 9 }, nil), (.recall, { $0.scale.longest = 9 }, nil),
        (.scale, { $0.scale.budgetSeconds = 9 }, "--budget-seconds"),
        (.scale, { $0.scale.budgetMegabytes = 9216 }, "--budget-gigabytes"),
        (.scale, { $0.parameters = 9 }, "--parameters"), (.scale, { $0.scale.longest = 9 }, nil),
        (.scale, { $0.text.batchSize = 9 }, nil),
    ]

    @Test("Every option that affects a measured task must stay the same, and no other", arguments: options.indices)
    func everyOptionOfATaskHasToStay(_ index: Int) {
        let (task, change, name) = Self.options[index]
        var other = ComparisonOptions()
        change(&other)
        let differences = ComparisonOptions().differences(from: other, in: [task], measured: [task])
        #expect(differences.map(\.name) == (name.map { [$0] } ?? []))
        // A task without results may have any options, but for what it shares with another.
        let free = ComparisonOptions().differences(from: other, in: [task], measured: [])
        #expect(free.map(\.name) == (name == "--seed" ? ["--seed"] : []))
    }

    // MARK: Going on

    @Test("Finished cells are not measured again")
    func whatIsFinishedIsNotMeasuredAgain() throws {
        let first = try workspace.command { $0.models = "local" }.run()
        #expect(first.isComplete && first.results.text.map(\.model) == ["local"])
        let diary = Diary()
        let second = try workspace.command().run(report: diary.add)
        #expect(diary.lines == ["1 of 2", "2/2 text story.txt, fast-weights"])
        #expect(second.results.text.first == first.results.text.first)
        #expect(try ComparisonResults(path: workspace.out + "/results.json") == second.results)
        for name in ["report.html", "summary.md"] {
            #expect(try !workspace.folder.read("out/" + name).isEmpty)
        }
    }

    @Test("A stopped run keeps its finished cells")
    func aStoppedRunKeepsWhatIsFinished() throws {
        let diary = Diary()
        let stopped = try workspace.command().run(report: diary.add, stop: { diary.finished == 1 })
        #expect(!stopped.isComplete && stopped.results.text.map(\.model) == ["local"])
        #expect(try ComparisonResults(path: workspace.out + "/results.json") == stopped.results)
        let rest = try workspace.command().run()
        #expect(rest.isComplete && rest.results.text.map(\.model) == ["local", "fast-weights"])
        #expect(rest.results.text[0] == stopped.results.text[0])
    }

    private static let others: [(@Sendable (inout CompareCommand) -> Void, String)] = [
        ({ $0.steps = 5 }, "--steps 4, found --steps 5"),
        ({ ($0.steps, $0.minutes) = (nil, 1) }, "--minutes not given, found --minutes 1.0"),
        ({ $0.parameters = 210_000 }, "--parameters 200000, found --parameters 210000"),
        ({ $0.seed = 3 }, "--seed 0, found --seed 3"),
        ({ $0.sequenceLength = 192 }, "--sequence-length 128, found --sequence-length 192"),
        ({ $0.learningRate = 0.5 }, "--learning-rate 0.003, found --learning-rate 0.5"),
        ({ $0.order = "sequential" }, "--order random, found --order sequential"),
    ]

    @Test("Other options need another folder")
    func otherOptionsNeedAnotherFolder() throws {
        let before = try workspace.command { $0.models = "local" }.run().results
        let path = workspace.out + "/results.json"
        for (change, text) in Self.others {
            let message = "\(path): was measured with \(text); expected the same, or another folder (--out)"
            #expect(throws: InputError(message)) { try workspace.command(change).run() }
        }
        #expect(try ComparisonResults(path: path) == before)
    }

    @Test("A task without results may have other options")
    func anotherTaskMayHaveItsOwnOptions() throws {
        _ = try workspace.command { ($0.models, $0.parameters) = ("local", 300_000) }.run()
        let (results, isComplete) = try workspace.command(task: "scale", models: "local") {
            ($0.longest, $0.parameters) = (512, 300_000)
        }.run()
        #expect(isComplete && results.text.count == 1 && results.scale.map(\.length) == [512])
        #expect(results.options.scale.longest == 512 && results.options.text.steps == 4)
    }

    @Test("Another text of the same name is refused")
    func anotherTextOfTheSameNameIsRefused() throws {
        let checksum = try workspace.command { $0.models = "local" }.run().results.text[0].checksum
        try workspace.folder.write(String(repeating: "something else altogether ", count: 400), "story.txt")
        let error = #expect(throws: InputError.self) { try workspace.command().run() }
        #expect(error?.message.contains("another text named story.txt (checksum \(checksum), found ") == true)
    }

    @Test("Another validation text is refused")
    func anotherEndOfTheTextIsRefused() throws {
        let text = try workspace.folder.read("story.txt")
        _ = try workspace.command { $0.models = "local" }.run()
        try workspace.folder.write(String(text.dropLast(9)) + "another.\n", "story.txt")
        let error = #expect(throws: InputError.self) { try workspace.command { $0.models = "fast-weights" }.run() }
        #expect(error?.message.contains("another text named story.txt") == true)
    }

    @Test("A new version may resume a folder without finished cells")
    func aNewVersionMayGoOnWhereNothingIsFinished() throws {
        let path = workspace.out + "/results.json"
        _ = try workspace.command { $0.models = "local" }.run(stop: { true })
        var results = try ComparisonResults(path: path)
        results.version = "0.0.1"
        try results.write(to: path)
        #expect(try workspace.command { $0.models = "local" }.run().results.version == packageVersion)
        #expect(try workspace.command { $0.models = "local" }.run().isComplete)
    }

    @Test("Another machine needs another folder, another day or system does not")
    func anotherMachineNeedsAnotherFolder() throws {
        var results = try workspace.command { $0.models = "local" }.run().results
        let path = workspace.out + "/results.json"
        results.machine.processor = "Another Processor"
        try results.write(to: path)
        let error = #expect(throws: InputError.self) { try workspace.command().run() }
        #expect(error?.message.hasPrefix("\(path): was measured on Another Processor, ") == true)
        // Another day, or a newer system, is the same machine.
        results.machine = .current
        (results.machine.date, results.machine.system) = ("2001-01-01", "Minix")
        try results.write(to: path)
        #expect(try workspace.command().run().isComplete)
    }

    @Test("A malformed results file names the key")
    func aFileThatIsNoResultNamesThePlace() throws {
        _ = try workspace.command { $0.models = "local" }.run()
        let (path, good) = (workspace.out + "/results.json", try workspace.folder.read("out/results.json"))
        for (from, to, message) in [
            ("\"steps\" : 4,", "\"steps\" : \"four\",", "\"text.0.steps\""),
            ("\"checksum\"", "\"cheksum\"", "\"text.0.checksum\": is missing"),
            ("{", "[", ""),
        ] {
            #expect(good.contains(from))
            let parts = good.components(separatedBy: from)
            // The last place: options come before results.
            let bad = parts.dropLast().joined(separator: from) + to + parts.last!
            try workspace.folder.write(bad, "out/results.json")
            let error = #expect(throws: InputError.self) { try workspace.command().run() }
            #expect(error?.message.hasPrefix("\(path): \(message)") == true, "\(error?.message ?? "")")
        }
    }

    @Test("A folder has only one run at a time")
    func onlyOneRunAtATime() throws {
        let lock = try { () throws -> RunLock in
            try FileManager.default.createDirectory(atPath: workspace.out, withIntermediateDirectories: true)
            return try RunLock(folder: workspace.out)
        }()
        let fault = #expect(throws: TrainingFault.self) { try workspace.command().run() }
        #expect(fault?.message.hasSuffix("expected a folder that nobody else uses") == true)
        withExtendedLifetime(lock) {}
    }
}
