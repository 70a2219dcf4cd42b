import Foundation

@testable import AttentionZooExperiments

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

    static var recall: [RecallOutcome] {
        RecallTaskName.allCases.filter { $0 != .distance && $0 != .facts }.flatMap(outcomes)
    }

    static func outcomes(_ task: RecallTaskName) -> [RecallOutcome] {
        ids.enumerated().map { index, id in
            RecallOutcome(
                task: task, model: id, parameters: 210_000 + index * 1000, steps: 2000, seconds: 120,
                trainingLength: task == .questions ? 1024 : 256, chance: chance(task),
                reach: id == "local" ? reach : nil,
                accuracies: accuracies(task, index, id))
        }
    }

    private static func chance(_ task: RecallTaskName) -> Double {
        switch task {
        case .mqar: 1.0 / 64
        case .induction: 1.0 / 15
        case .copying: 1.0 / 14
        case .passkey: 1e-5
        case .questions, .distance, .facts: 1.0 / 16
        }
    }

    /// Returns the share that is found without binding.
    private static func guess(_ task: RecallTaskName, _ length: Int) -> Double? {
        switch task {
        case .mqar: 8 / Double(length)
        case .induction: 1.0 / 15 + 0.5 / Double(length).squareRoot()
        case .copying: 0.27
        case .passkey: 0.02
        case .questions, .distance, .facts: nil
        }
    }

    static let reach = 64

    /// Cells as a run gives them: by length, of 256 tokens by distance too, of the key's by depth, of the corpus's questions
    /// by distance alone. `local` knows nothing farther back than 64 tokens, `linformer` reads no more than 256.
    private static func accuracies(_ task: RecallTaskName, _ index: Int, _ id: String) -> [RecallOutcome.Accuracy] {
        let skill = [0.93, 0.97, 0.6, 0.88, 0.95, 0.99][index]
        func cell(_ length: Int, distance: Int? = nil, depth: Double? = nil, asked: Int = 400) -> RecallOutcome.Accuracy
        {
            if id == "linformer" && length > 256 && task != .questions {
                return .init(length: length, distance: distance, depth: depth, asked: nil, found: nil)
            }
            // About how far back the nearest of what is asked stands.
            let near = depth.map { Int((1 - $0) * Double(length)) } ?? distance.map { $0 * 3 / 4 } ?? length / 2
            let isBlind = id == "local" && near >= reach
            let share =
                isBlind
                ? chance(task)
                : max(skill * pow(256 / max(Double(length), 256), 0.08 * Double(index + 1)), chance(task))
            return .init(
                length: length, distance: distance, depth: depth, asked: asked, found: Int(Double(asked) * share),
                chance: guess(task, length),
                blindChance: isBlind && (distance != nil || depth != nil) && task != .questions ? chance(task) : nil)
        }
        func byDistance() -> [RecallOutcome.Accuracy] {
            zip([32, 64, 96, 128, 192, 256], [40, 120, 100, 60, 50, 30]).map { cell(256, distance: $0, asked: $1) }
        }
        func lengths(_ lengths: [Int]) -> [RecallOutcome.Accuracy] {
            lengths.flatMap { [cell($0)] + ($0 == 256 ? byDistance() : []) }
        }
        return switch task {
        case .mqar: lengths([32, 64, 128, 256, 384])
        case .induction: lengths([64, 256, 1024, 4096, 16_384])
        case .copying: lengths([32, 64, 128, 256, 512, 1024])
        case .passkey:
            [64, 256, 1024, 4096].flatMap { n in [0, 0.25, 0.5, 0.75, 1].map { cell(n, depth: $0, asked: 51) } }
        case .distance, .facts: [16, 64, 1024, 65_536].map { cell($0 + 32, distance: $0) }
        case .questions: [100, 300, 1000].map { cell(1024, distance: $0, asked: 256) }
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
