import AttentionZooCommands
import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import AttentionZooExperiments

@Suite struct RetrievalRunTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func command(_ change: (inout RetrievalCommand) -> Void = { _ in }) -> RetrievalCommand {
        var command = RetrievalCommand()
        (command.setting, command.pairs, command.maps, command.rules) = ("2", "4", "elu,dpfp1", "sum,delta")
        (command.options.steps, command.out) = (20, folder.path + "/out")
        change(&command)
        return command
    }

    private func names(_ results: RetrievalResults) -> [String] {
        results.outcomes.map { "\($0.cell.task.setting.rawValue) \($0.cell.task.keys) \($0.cell.memory.name)" }
    }

    // MARK: Options

    @Test("Cells are ordered by setting, size, and memory")
    func cellsAreOrderedBySize() throws {
        let cells = try command {
            ($0.setting, $0.pairs, $0.maps) = ("2,1", "30, 5,30", "softmax,dpfp2")
        }.cells
        let texts = cells.map { "\($0.task.setting.rawValue) \($0.task.keys) \($0.memory.name)" }
        let memories = ["softmax", "dpfp2 sum", "dpfp2 delta"]
        #expect(texts == ["2 5", "2 30", "1 5", "1 30"].flatMap { task in memories.map { "\(task) \($0)" } })
        #expect(try !RetrievalCommand().cells.isEmpty)
    }

    private static let wrong: [(@Sendable (inout RetrievalCommand) -> Void, String)] = [
        ({ $0.setting = "3" }, "--setting: expected 1 or 2, found \"3\""),
        ({ $0.pairs = "20,,40" }, "--pairs: expected whole numbers from 1 to 10000, found \"\""),
        ({ $0.pairs = "0" }, "--pairs: expected whole numbers from 1 to 10000, found \"0\""),
        ({ $0.rules = "delta,add" }, "--rules: expected sum or delta, found \"add\""),
        ({ $0.options.steps = 0 }, "--steps: expected a whole number of at least 1, found 0"),
        ({ $0.options.batchSize = -1 }, "--batch-size: expected a whole number of at least 1, found -1"),
        ({ $0.options.learningRate = .nan }, "--learning-rate: expected a number above 0, found nan"),
        ({ $0.minutes = 0 }, "--minutes: expected a number above 0, found 0.0"),
        ({ $0.threads = 0 }, "--threads: expected a whole number of at least 1, found 0"),
    ]

    @Test("Wrong options are named before anything is made", arguments: wrong.indices)
    func wrongOptionsAreNamed(_ index: Int) {
        let (change, message) = Self.wrong[index]
        #expect(throws: InputError(message)) { try command(change).run() }
        // Nothing is made for a command that cannot be run.
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
    }

    // MARK: Going on

    @Test("Finished cells are not trained again")
    func whatIsFinishedIsNotTrainedAgain() throws {
        let first = try command { $0.maps = "elu" }.run()
        #expect(first.isComplete && names(first.results) == ["2 4 elu sum", "2 4 elu delta"])
        var started: [String] = []
        let second = try command().run(report: {
            switch $0 {
            case .started(let finished, let total): started.append("\(finished) of \(total)")
            case .finished(let outcome, let progress): started.append("\(progress.number) \(outcome.cell.memory.name)")
            case .evaluated: break
            }
        })
        #expect(started == ["2 of 4", "3 dpfp1 sum", "4 dpfp1 delta"])
        #expect(second.results.outcomes.count == 4)
        #expect(Array(second.results.outcomes.prefix(2)) == first.results.outcomes)
    }

    /// The third cell is stopped in the middle: two are kept, and the same command makes the other two.
    @Test("A stopped run keeps its finished cells")
    func aStoppedRunKeepsWhatIsFinished() throws {
        var finished = 0
        let stopped = try command().run(
            report: { if case .finished = $0 { finished += 1 } }, stop: { finished == 2 })
        #expect(!stopped.isComplete && stopped.results.outcomes.count == 2)
        #expect(try RetrievalResults(path: folder.path + "/out/results.json") == stopped.results)
        let whole = try command().run()
        #expect(whole.isComplete && whole.results.outcomes.count == 4)
    }

    @Test("A limit in minutes ends a run")
    func minutesEndARun() throws {
        let cut = try command { ($0.minutes, $0.options.steps) = (1e-9, 100_000) }.run()
        #expect(!cut.isComplete && cut.results.outcomes.isEmpty)
    }

    @Test("Other options need another folder")
    func otherOptionsNeedAnotherFolder() throws {
        _ = try command { $0.maps = "elu" }.run()
        let path = folder.path + "/out/results.json"
        let changes: [(String, (inout RetrievalCommand) -> Void)] = [
            ("--steps 20, found --steps 30", { $0.options.steps = 30 }),
            ("--batch-size 32, found --batch-size 8", { $0.options.batchSize = 8 }),
            ("--learning-rate 0.001, found --learning-rate 0.01", { $0.options.learningRate = 0.01 }),
            ("--seed 0, found --seed 7", { $0.options.seed = 7 }),
            ("--full-length false, found --full-length true", { $0.options.judgesFullLength = true }),
        ]
        for (text, change) in changes {
            let message =
                "\(path): its cells were trained with \(text); expected the same, or another folder (--out)"
            #expect(throws: InputError(message)) { try command(change).run() }
        }
    }

    @Test("A folder that cannot be made is named")
    func foldersThatCannotBeMadeAreNamed() throws {
        try folder.write("", "file")
        #expect {
            try command { $0.out = folder.path + "/file/out" }.run()
        } throws: { ($0 as? InputError)?.message.hasPrefix(folder.path + "/file/out: cannot be made: ") ?? false }
    }

    // MARK: The file

    @Test("Results are read as they were written")
    func resultsAreReadAsTheyWereWritten() throws {
        var options = RetrievalOptions()
        (options.seed, options.judgesFullLength) = (.max, true)
        var results = RetrievalResults(options)
        let cells = [RetrievalMemory(.softmax, .sum), RetrievalMemory(.favor(directions: 64), .delta)].map {
            RetrievalCell(RetrievalTask(.distinctKeys, keys: 3), $0)
        }
        results.add(RetrievalOutcome(cells[0], [.init(step: 100, loss: 0.25)], .solved, seconds: 1.5))
        results.add(RetrievalOutcome(cells[1], [.init(step: 100, loss: .nan)], .diverged, seconds: 0.125))
        let path = folder.path + "/results.json"
        try results.write(to: path)
        let read = try RetrievalResults(path: path)
        #expect(read.json == results.json && read.options == options)
        #expect(read.outcomes[0] == results.outcomes[0])
        #expect(read.outcomes[1].loss == nil && read.outcomes[1].evaluations[0].loss.isNaN)
    }

    @Test("A malformed results file names the key")
    func brokenFilesAreNamed() throws {
        _ = try command { ($0.maps, $0.rules) = ("elu", "sum") }.run()
        let (path, text) = (folder.path + "/broken.json", try folder.read("out/results.json"))
        let changes = [
            ("\"cells\"", "\"cels\"", "\"cells\": is missing; expected a list of finished cells"),
            ("\"elu\"", "\"elo\"", nil), ("\"sum\"", "null", "\"rule\": expected one for every map but softmax"),
            ("\"sum\"", "\"add\"", "\"rule\": expected one of \"delta\", \"sum\", found \"add\""),
            ("\"setting\": 2", "\"setting\": 4", "\"setting\": expected a whole number from 1 to 2, found 4"),
            ("\"seed\": \"0\"", "\"seed\": \"-1\"", nil), ("[20, ", "[\"20\", ", nil), ("{", "", nil),
        ]
        for (old, new, message) in changes {
            #expect(text.contains(old))
            try folder.write(text.replacingOccurrences(of: old, with: new), "broken.json")
            #expect {
                try RetrievalResults(path: path)
            } throws: {
                guard let error = $0 as? InputError else { return false }
                if let message { return error.message == "\(path): \(message)" }
                return error.message.contains("expected")
            }
        }
    }

    // MARK: What is shown

    private func outcome(_ keys: Int, _ map: RetrievalMap, delta: Bool = false, loss: Double, seconds: Double = 4)
        -> RetrievalOutcome
    {
        RetrievalOutcome(
            RetrievalCell(RetrievalTask(.repeatedKeys, keys: keys), RetrievalMemory(map, delta ? .delta : .sum)),
            [.init(step: 1100, loss: loss), .init(step: 1200, loss: loss * 2)], loss <= 1e-3 ? .solved : .stalled,
            seconds: seconds)
    }

    @Test("Tables have a row for each memory")
    func tablesHaveARowForEachMemory() {
        var results = RetrievalResults(RetrievalOptions())
        results.add(outcome(20, .dpfp(nu: 2), delta: true, loss: 0.00052))
        results.add(outcome(100, .dpfp(nu: 2), delta: true, loss: 3e-5))
        results.add(outcome(20, .elu, loss: 0.125))
        results.add(outcome(20, .dpfp(nu: 2), loss: .nan))
        let report = RetrievalReport(results)
        #expect(
            report.text == """
                Setting 2: the last value of a key counts
                S                  20     100
                ELU + 1, sum   0.1250*      –
                DPFP-2, sum         –*      –
                DPFP-2, delta  0.0005   3e-05

                """)
        let page = report.html
        #expect(page.contains("<svg") && page.contains("DPFP-2, delta") && page.contains(">0.1250<"))
        #expect(!page.contains("href=") && !page.contains("src="))
        #expect(report.plots.map(\.setting) == [.repeatedKeys])
        let series = report.plots[0].plot.series
        #expect(series.map(\.name) == ["ELU + 1, sum", "DPFP-2, sum", "DPFP-2, delta"])
        #expect(series[2].x == [20, 100] && series[2].y == [0.00052, 3e-5])
        #expect(series.map(\.color) == [0, 1, 1] && series.map(\.dash) == [1, 1, 0])
    }

    @Test("A run writes a page and plots of both settings")
    func filesAreWrittenForPeople() throws {
        _ = try command { ($0.setting, $0.maps) = ("1,2", "elu") }.run()
        #expect(try folder.read("out/report.html").contains("Setting 1: every key once"))
        for setting in 1...2 { #expect(try folder.read("out/setting-\(setting).svg").contains("<svg")) }
    }

    @Test("A terminal's progress line is overwritten")
    func progressIsALineThatIsWrittenOver() {
        let solved = outcome(20, .dpfp(nu: 1), delta: true, loss: 5e-4, seconds: 75)
        let events: [RetrievalRun.Event] = [
            .started(finished: 0, of: 9),
            .evaluated(
                solved.cell, [.init(step: 100, loss: 0.25), .init(step: 200, loss: 0.5)],
                .init(number: 3, total: 9, secondsLeft: 62)),
            .finished(solved, .init(number: 3, total: 9, secondsLeft: nil)),
        ]
        let line = "setting 2, S 20, DPFP-1, delta: 0.0005 (solved after 1200 steps, 1 min 15 s)\n"
        var plain = RetrievalPrinter(isTerminal: false)
        #expect(events.map { plain.output(for: $0) } == ["9 cells\n", "", line])
        #expect(plain.output(for: .started(finished: 2, of: 9)) == "2 of 9 cells finished already\n")
        #expect(plain.output(for: .started(finished: 0, of: 1)) == "1 cell\n")
        var terminal = RetrievalPrinter(isTerminal: true)
        let status = "3/9  setting 2, S 20, DPFP-1, delta  step 200  loss 0.5000  best 0.2500  about 1 min 2 s left"
        #expect(events.map { terminal.output(for: $0, width: 200) } == ["9 cells\n", status, "\r\u{1B}[K" + line])
        #expect(terminal.output(for: events[1], width: 21) == String(status.prefix(20)))
        #expect(terminal.end() == "\r\u{1B}[K" && terminal.end() == "")
    }

    /// By their share of the work and the time they took.
    @Test("The time left follows the finished cells")
    func timeLeftFollowsTheFinishedCells() {
        let memory = RetrievalMemory(.elu, .sum)
        let cells = [10, 20, 30].map { RetrievalCell(RetrievalTask(.distinctKeys, keys: $0), memory) }
        var estimate = RetrievalEstimate(cells)
        #expect(estimate.secondsLeft(training: cells[0], since: 3) == nil)
        estimate.add(RetrievalOutcome(cells[0], [], .solved, seconds: 10))
        let after = estimate.secondsLeft(training: cells[0], since: 10)!
        #expect(after > 20)
        let during = estimate.secondsLeft(training: cells[1], since: 4)!
        #expect(abs(after - 4 - during) < 1e-9)
        // A cell that takes longer than thought leaves the others' time.
        #expect(estimate.secondsLeft(training: cells[1], since: 1000)! < after - 10)
        for cell in cells[1...] { estimate.add(RetrievalOutcome(cell, [], .solved, seconds: 10)) }
        #expect(estimate.secondsLeft(training: cells[2], since: 1) == 0)
    }
}
