import FastWeightTransformers
import Foundation
import NN
import Tensors
import Trainer

/// `Retrieval`: the options as they are given, lists with commas.
package struct RetrievalCommand: Sendable {
    /// Numbers of settings, 1 and 2.
    package var setting = "1,2"
    /// Values of S.
    package var pairs = "20,60,120,200"
    /// Names of maps.
    package var maps = "elu,dpfp1,dpfp2"
    /// Names of update rules.
    package var rules = "sum,delta"
    /// The options of training.
    package var options = RetrievalOptions()
    /// The minutes of training at most; nil for no limit.
    package var minutes: Double?
    /// Threads to use; nil for all processors.
    package var threads: Int?
    /// The folder of the results.
    package var out = "retrieval"

    /// Creates the command with the paper's cells.
    package init() {}

    /// The cells that the options ask for, the smallest tasks first.
    /// - Throws: `InputError` that names the option and what was expected.
    package var cells: [RetrievalCell] {
        get throws {
            let settings = try Self.list("--setting", setting) { text in
                guard let setting = Int(text).flatMap(RetrievalSetting.init) else {
                    throw InputError("--setting: expected 1 or 2, found \(JSONValue.quoted(text))")
                }
                return setting
            }
            let sizes = try Self.list("--pairs", pairs) { text in
                guard let size = Int(text), (1...Self.mostPairs).contains(size) else {
                    throw InputError(
                        "--pairs: expected whole numbers from 1 to \(Self.mostPairs), found \(JSONValue.quoted(text))")
                }
                return size
            }
            let rules = try Self.list("--rules", rules) { text in
                guard let rule = UpdateRule(rawValue: text) else {
                    throw InputError("--rules: expected sum or delta, found \(JSONValue.quoted(text))")
                }
                return rule
            }
            let memories = try RetrievalMemory.all(Self.list("--maps", maps) { try RetrievalMap($0) }, rules)
            return settings.flatMap { setting in
                sizes.sorted().flatMap { keys in
                    memories.map { RetrievalCell(RetrievalTask(setting, keys: keys), $0) }
                }
            }
        }
    }

    /// S² numbers make a table of the embeddings; with more it would not fit into the memory of most machines.
    static let mostPairs = 10_000

    /// The parts between commas, each once.
    private static func list<Value: Hashable>(_ name: String, _ text: String, _ value: (String) throws -> Value) throws
        -> [Value]
    {
        var seen = Set<Value>()
        return try text.split(separator: ",", omittingEmptySubsequences: false)
            .map { try value($0.trimmingCharacters(in: .whitespaces)) }.filter { seen.insert($0).inserted }
    }

    private func check() throws {
        func expect(_ name: String, _ found: some Any, isValid: Bool, expected: String) throws {
            if !isValid { throw InputError("\(name): expected \(expected), found \(found)") }
        }
        func whole(_ name: String, _ value: Int, atMost most: Int) throws {
            let bound = value < 1 ? "at least 1" : "at most \(most)"
            try expect(name, value, isValid: (1...most).contains(value), expected: "a whole number of \(bound)")
        }
        try whole("--steps", options.steps, atMost: RetrievalOptions.mostSteps)
        try whole("--batch-size", options.batchSize, atMost: RetrievalOptions.mostBatchSize)
        try expect(
            "--learning-rate", options.learningRate,
            isValid: options.learningRate > 0 && options.learningRate.isFinite, expected: "a number above 0")
        if let minutes {
            try expect(
                "--minutes", minutes, isValid: minutes > 0 && minutes.isFinite, expected: "a number above 0")
        }
        if let threads { try whole("--threads", threads, atMost: Threads.counts.upperBound) }
    }

    /// - Throws: `InputError` where memory cannot hold a step of a cell: the numbers of its pairs, and of each pair a key.
    private func requireMemory(for cells: [RetrievalCell]) throws {
        let pairs = cells.map(\.task.pairs).max() ?? 0
        try MemoryLimits.requireRoom(
            for: Int.clampedProduct([options.batchSize, pairs, 8 + 4 * RetrievalModel.width]),
            "a step of \(pairs) pairs in each sequence takes at least",
            remedy: "lower --batch-size, which is \(options.batchSize)")
    }

    /// Trains what is not finished yet.
    /// - Parameters:
    ///   - report: called with each step of the progress.
    ///   - prepared: called when nothing is wrong with the options and the folder.
    ///   - stop: asked before each step.
    /// - Returns: all that is finished in the folder, and whether that is all that was asked for.
    /// - Throws: `InputError` or `TrainingFault`, in one line.
    package func run(
        report: (RetrievalRun.Event) -> Void = { _ in }, prepared: () -> Void = {}, stop: () -> Bool = { false }
    ) throws -> (results: RetrievalResults, isComplete: Bool) {
        try check()
        let cells = try cells
        try requireMemory(for: cells)
        var run = try RetrievalRun(cells, options, folder: out)
        if let threads { Threads.count = threads }
        prepared()
        let isComplete = try run.run(minutes: minutes, report: report, stop: stop)
        return (run.results, isComplete)
    }
}
