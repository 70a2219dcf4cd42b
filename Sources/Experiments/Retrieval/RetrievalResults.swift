import FastWeightTransformers
import Foundation
import NN
import Tensors
import Trainer

/// The finished cells of a folder, with the options that all of them were trained with: results.json.
package struct RetrievalResults: Sendable, Equatable {
    /// The options that all cells share.
    package let options: RetrievalOptions
    /// In the order in which they were finished.
    package private(set) var outcomes: [RetrievalOutcome] = []

    /// Creates results without a cell.
    package init(_ options: RetrievalOptions) { self.options = options }

    /// Appends the outcome of a cell.
    package mutating func add(_ outcome: RetrievalOutcome) { outcomes.append(outcome) }

    /// Returns the outcome of a cell; nil if it is not finished.
    package func outcome(of cell: RetrievalCell) -> RetrievalOutcome? { outcomes.first { $0.cell == cell } }

    // MARK: The file

    /// The contents of results.json.
    package var json: JSONValue {
        .object([
            "version": .string(packageVersion),
            "options": .object([
                "steps": .integer(options.steps), "batch_size": .integer(options.batchSize),
                "learning_rate": .number(options.learningRate), "seed": .string("\(options.seed)"),
                "full_length": .bool(options.judgesFullLength),
            ]),
            "cells": .array(outcomes.map(\.json)),
        ])
    }

    /// Writes the file in one piece.
    package func write(to path: String) throws { try AtomicFile.write(Data((json.indented + "\n").utf8), to: path) }

    /// - Throws: `InputError` that names the file and what is wrong with it.
    package init(path: String) throws {
        var reader = try ConfigurationReader(path: path)
        _ = try reader.string("version")
        options = try Self.options(reader.value("options") ?? .null, path)
        guard case .array(let cells)? = reader.value("cells") else {
            throw reader.error("cells", "is missing; expected a list of finished cells")
        }
        outcomes = try cells.map { try RetrievalOutcome($0, file: path) }
        try reader.finish()
    }

    private static func options(_ json: JSONValue, _ path: String) throws -> RetrievalOptions {
        var reader = try ConfigurationReader(json, file: path)
        var options = RetrievalOptions()
        options.steps = try reader.int("steps", in: 1...RetrievalOptions.mostSteps)
        options.batchSize = try reader.int("batch_size", in: 1...RetrievalOptions.mostBatchSize)
        options.learningRate = try reader.double("learning_rate", in: Double.leastNormalMagnitude...)
        let seed = try reader.string("seed")
        guard let number = UInt64(seed) else {
            throw reader.error("seed", "expected a whole number below 2⁶⁴ in a string, found \(JSONValue.quoted(seed))")
        }
        options.seed = number
        options.judgesFullLength = try reader.bool("full_length")
        try reader.finish()
        return options
    }

    /// - Throws: `InputError` where the file's cells were trained otherwise: lines of one plot must be comparable.
    func require(_ wanted: RetrievalOptions, path: String) throws {
        let pairs: [(name: String, there: String, here: String)] = [
            ("--steps", "\(options.steps)", "\(wanted.steps)"),
            ("--batch-size", "\(options.batchSize)", "\(wanted.batchSize)"),
            ("--learning-rate", "\(options.learningRate)", "\(wanted.learningRate)"),
            ("--seed", "\(options.seed)", "\(wanted.seed)"),
            ("--full-length", "\(options.judgesFullLength)", "\(wanted.judgesFullLength)"),
        ]
        for (name, there, here) in pairs where there != here {
            throw InputError(
                "\(path): its cells were trained with \(name) \(there), found \(name) \(here); expected the same, or another"
                    + " folder (--out)")
        }
    }
}

extension RetrievalOutcome {
    var json: JSONValue {
        .object([
            "setting": .integer(cell.task.setting.rawValue), "keys": .integer(cell.task.keys),
            "map": .string(cell.memory.map.name), "rule": cell.memory.rule.map { .string($0.rawValue) } ?? .null,
            "end": .string(end.rawValue), "seconds": .number(seconds),
            "loss": loss.map { .number($0) } ?? .null,
            "evaluations": .array(
                evaluations.map { .array([.integer($0.step), $0.loss.isFinite ? .number($0.loss) : .null]) }),
        ])
    }

    /// - Parameter file: what errors name.
    init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        let number = try reader.int("setting", in: 1...2)
        let task = RetrievalTask(
            RetrievalSetting(rawValue: number)!, keys: try reader.int("keys", in: 1...RetrievalCommand.mostPairs))
        let map = try RetrievalMap(reader.string("map"))
        let rule = try reader.optionalString("rule", oneOf: UpdateRule.allCases.map(\.rawValue))
        guard (rule == nil) == (map == .softmax) else {
            throw reader.error("rule", "expected one for every map but softmax")
        }
        let memory = RetrievalMemory(map, rule.flatMap(UpdateRule.init) ?? .sum)
        let end: End = try reader.option("end")
        let seconds = try reader.double("seconds", in: 0...)
        _ = try reader.optionalDouble("loss")
        let evaluations = try (reader.value("evaluations")?.arrayValue ?? []).map { entry in
            guard let pair = entry.arrayValue, pair.count == 2, let step = pair[0].intValue,
                pair[1] == .null || pair[1].doubleValue != nil
            else { throw reader.error("evaluations", "expected pairs of a step and a loss, found \(entry)") }
            return Evaluation(step: step, loss: pair[1].doubleValue ?? .nan)
        }
        try reader.finish()
        self.init(RetrievalCell(task, memory), evaluations, end, seconds: seconds)
    }
}
