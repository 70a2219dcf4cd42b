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

struct ScaleCell {
    static let naive = "naive"
    let model: String
    let length: Int
    func run(
        _ options: ScaleOptions, parameters: Int, seed: UInt64, before: [ScaleOutcome],
        progress: (Double, String) -> Void, stop: () -> Bool
    ) throws -> ScaleOutcome? { throw InputError("--task scale: not there yet") }
}

public struct ComparisonReport {
    public var html = "", markdown = "", text = ""
    public var plots: [(name: String, plot: LinePlot)] = []
    public init(_ results: ComparisonResults) {}
}
