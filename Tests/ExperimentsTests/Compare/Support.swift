import AttentionZooExperiments
import AttentionZooTestSupport
import Foundation

/// A folder with a text of a few kilobytes, and commands that train on it in seconds.
final class Workspace {
    let folder: TemporaryFolder
    var out: String { folder.path + "/out" }
    var text: String { folder.path + "/story.txt" }

    init() throws {
        folder = try TemporaryFolder()
        let lines = (0..<400).map { "Line \($0) says \($0 * 7 % 13), \($0 % 5) times.\n" }
        try folder.write(lines.joined(), "story.txt")
    }

    func command(_ change: (inout CompareCommand) -> Void = { _ in }) -> CompareCommand {
        var command = CompareCommand()
        (command.task, command.models, command.data) = ("text", "local,fast-weights", [text])
        (command.steps, command.validateEvery, command.parameters) = (4, 2, 200_000)
        (command.sequenceLength, command.batchSize) = (128, 2)
        command.out = out
        change(&command)
        return command
    }

    /// Makes a command of another task into the same folder, with no option but `models`.
    func command(task: String, models: String, _ change: (inout CompareCommand) -> Void = { _ in }) -> CompareCommand {
        var command = CompareCommand()
        (command.task, command.models, command.out) = (task, models, out)
        change(&command)
        return command
    }
}

/// The events of a run, one line each; of a cell's progress only that there was some.
final class Diary {
    private(set) var lines: [String] = []
    private(set) var finished = 0
    private(set) var steps = 0

    func add(_ event: ComparisonRun.Event) {
        switch event {
        case .started(let finished, let total): lines.append("\(finished) of \(total)")
        case .progress: steps += 1
        case .finished(let cell, _, let progress):
            finished += 1
            lines.append("\(progress.number)/\(progress.total) \(cell.title)")
        }
    }
}
