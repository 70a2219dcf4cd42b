import ModelZoo
import Plotting

// What is being written elsewhere: whoever brings one of these removes it here.

struct RecallCell {
    let task: RecallTaskName
    let model: String
    func run(
        _ options: RecallOptions, seed: UInt64, progress: (Double, String) -> Void, stop: () -> Bool
    ) throws -> RecallOutcome? { throw InputError("--task recall: not there yet") }
}

public struct ComparisonReport {
    public var html = "", markdown = "", text = ""
    public var plots: [(name: String, plot: LinePlot)] = []
    public init(_ results: ComparisonResults) {}
}
