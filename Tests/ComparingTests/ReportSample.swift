import Foundation

@testable import Comparing

/// Results that look like those of a whole run. All numbers are invented.
enum ReportSample {
    static let ids = ["flash", "local", "linformer", "fast-weights", "block-recurrent", "transformer"]
    static let lengths = (9...18).map { 1 << $0 }

    static let machine = Machine(
        processor: "Example Processor at 2.0 GHz", system: "Linux", threads: 2, blas: "SkylakeX", date: "2026-11-22")

    static var whole: ComparisonResults {
        var results = ComparisonResults(ComparisonOptions(), machine: machine)
        results.text = text
        results.recall = recall
        results.scale = scale
        return results
    }

    // MARK: Text

    /// The speed of training, the bits per byte that a curve tends to, and how fast it does.
    private static let learners: [(id: String, speed: Double, floor: Double, rate: Double)] = [
        ("flash", 21_300, 1.92, 0.42), ("local", 18_200, 1.9, 0.4), ("linformer", 16_900, 2.05, 0.35),
        ("fast-weights", 12_100, 2.02, 0.36), ("block-recurrent", 9_400, 1.93, 0.41),
        ("transformer", 15_600, 1.88, 0.41),
    ]

    static var text: [TextOutcome] { outcomes("a_story.txt", 0) + outcomes(ComparedText.corpus, -0.6) }

    static func outcomes(_ name: String, _ offset: Double = 0) -> [TextOutcome] {
        learners.enumerated().map { index, learner in
            let seconds = 300.0
            let validations = stride(from: 10.0, through: 300, by: 10).map { time in
                let tokens = time * learner.speed
                let bits = learner.floor + 3.1 * pow(tokens / 1e5, -learner.rate) * 0.55
                return TextOutcome.Validation(
                    step: Int(tokens / 4096), tokens: Int(tokens), seconds: time + 0.1 * Double(index),
                    bitsPerByte: bits + offset + 0.004 * sin(time))
            }
            return TextOutcome(
                text: name, checksum: "0", model: learner.id, parameters: 1_000_000 + 7_300 * (index - 2),
                width: 128 + 8 * index,
                steps: Int(seconds * learner.speed / 4096), tokens: Int(seconds * learner.speed), seconds: seconds,
                tokensPerSecond: learner.speed, peakMegabytes: [212, 180, 240, 310, 295, 205.5][index],
                generationTokensPerSecond: [820, 910, 760, 990, 610, 880][index], generationPrompt: 512,
                validations: validations)
        }
    }

    // MARK: Recall

    static var recall: [RecallOutcome] { RecallTaskName.allCases.flatMap(outcomes) }

    static func outcomes(_ task: RecallTaskName) -> [RecallOutcome] {
        ids.enumerated().map { index, id in
            RecallOutcome(
                task: task, model: id, parameters: 210_000 + index * 1000, steps: 2000, seconds: 120,
                trainingLength: task == .questions ? 1024 : 256, chance: chance(task), reach: id == "local" ? 126 : nil,
                accuracies: accuracies(task, index, id))
        }
    }

    private static func chance(_ task: RecallTaskName) -> Double {
        switch task {
        case .mqar: 1.0 / 128
        case .induction: 1.0 / 15
        case .copying: 0.1
        case .passkey: 1e-5
        case .questions: 0.125
        }
    }

    /// Cells as a run gives them: `local` knows nothing farther back than 126 tokens, `linformer` reads no more than
    /// 1024.
    private static func accuracies(_ task: RecallTaskName, _ index: Int, _ id: String) -> [RecallOutcome.Accuracy] {
        let skill = [0.93, 0.97, 0.6, 0.88, 0.95, 0.99][index]
        func cell(_ length: Int, distance: Int? = nil, depth: Double? = nil) -> RecallOutcome.Accuracy {
            if id == "linformer" && length > 1024 {
                return .init(length: length, distance: distance, depth: depth, asked: nil, found: nil)
            }
            let far = depth.map { (1 - $0) * Double(length) } ?? Double(distance ?? length / 3)
            let share =
                id == "local" && far > 126
                ? chance(task)
                : max(skill * pow(256 / max(Double(length), 256), 0.08 * Double(index + 1)), chance(task))
            return .init(length: length, distance: distance, depth: depth, asked: 400, found: Int(400 * share))
        }
        let distances = [32, 64, 128, 256, 512, 1024]
        return switch task {
        case .mqar:
            [64, 128, 256, 512, 1024].flatMap { n in distances.filter { $0 <= n }.map { cell(n, distance: $0) } }
        case .induction: [64, 256, 1024, 4096, 16_384].map { cell($0) }
        case .copying: [128, 256, 512, 1024].map { cell($0) }
        case .passkey:
            [64, 256, 1024, 4096].flatMap { n in [0, 0.25, 0.5, 0.75, 1].map { cell(n, depth: $0) } }
        case .questions: distances.map { cell(1024, distance: $0) }
        }
    }

    // MARK: Scale

    static var scale: [ScaleOutcome] {
        (ids + ["naive"]).enumerated().flatMap { index, id -> [ScaleOutcome] in
            lengths.map { n in
                var outcome = ScaleOutcome(model: id, length: n, parameters: 1_000_000 + index * 5000)
                let count = Double(n)
                let quadratic: Double = ["transformer": 1.0, "naive": 4][id] ?? 0
                let linear: Double = [34e-6, 41e-6, 45e-6, 62e-6, 80e-6, 30e-6, 33e-6][index]
                let token: Double = linear + quadratic * 7e-9 * count
                let square: Double = id == "naive" ? count * count * 64 / 1_048_576 : 0
                let least: Double = [60.0, 52, 66, 71, 75, 50, 50][index]
                let megabytes: Double = least + count * 0.03 + square
                let generation: Double = 9e-4 * (1 + 0.1 * Double(index)) + quadratic * 2e-7 * count
                let states: [Double] = [0.5, 0.75, 2.1, 0.066, 1.2, count * 0.004]
                if 3 * token * count > 60 {
                    outcome.skipped = "would take about \(Int(3 * token * count)) s, more than the 60 s allowed"
                } else if megabytes > 8192 {
                    outcome.skipped = "would take \(Int(megabytes)) MB, more than the 8192 MB allowed"
                } else {
                    outcome.forwardSeconds = token * count
                    outcome.backwardSeconds = 2 * token * count
                    outcome.trainingSeconds = 3 * token * count
                    outcome.generationSeconds = id == "naive" ? token * count : generation
                    outcome.peakMegabytes = megabytes
                    outcome.stateMegabytes = id == "naive" ? nil : states[index]
                }
                return outcome
            }
        }
    }
}
