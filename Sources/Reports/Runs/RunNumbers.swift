import Foundation
import NN
import Trainer

// What the numbers of a run's record say.

extension RunRecord {
    /// The values of a key of the metrics, and the steps that have it.
    func measured(_ key: String) -> [(metrics: StepMetrics, value: Double)] {
        metrics.compactMap { metrics in metrics.extra[key].map { (metrics, $0) } }
    }

    var validations: [(metrics: StepMetrics, value: Double)] { measured("validation_bits_per_byte") }

    /// The best finite validation, the first of equals.
    var best: (metrics: StepMetrics, value: Double)? {
        validations.filter(\.value.isFinite).min { $0.value < $1.value }
    }

    /// The last value of a key; nil where there is none.
    func last(_ key: String) -> Double? { metrics.last { $0.extra[key] != nil }?.extra[key] }

    /// The number of steps that training's bits per byte are averaged over for its last value.
    var lastStepsAveraged: Int { min(metrics.count, max(1, min(100, metrics.count / 20))) }

    var lastTraining: Double? {
        let last = metrics.suffix(lastStepsAveraged).map(\.bitsPerByte).filter(\.isFinite)
        return last.isEmpty ? nil : last.reduce(0, +) / Double(last.count)
    }

    /// The middle one of the steps' speeds: a pause of the machine does not count.
    var tokensPerSecond: Double? {
        let speeds = metrics.map(\.tokensPerSecond).filter(\.isFinite).sorted()
        guard !speeds.isEmpty else { return nil }
        let middle = speeds.count / 2
        return speeds.count % 2 == 1 ? speeds[middle] : (speeds[middle - 1] + speeds[middle]) / 2
    }

    /// Exact entropies of what is validated, by what a reader of it sees.
    var floors: [(name: String, value: Double)] {
        [("floor", "validation_floor"), ("floor of the window", "validation_window_floor")].compactMap { name, key in
            last(key).flatMap { $0.isFinite ? (name, $0) : nil }
        }
    }

    /// True if the training has come to the end that its options set.
    var isFinished: Bool {
        guard let last = metrics.last else { return false }
        if case .minutes(let minutes) = configuration.training.length { return last.seconds >= minutes * 60 }
        return last.step >= totalSteps ?? .max
    }

    var totalSteps: Int? {
        let options = configuration.training
        // Epochs of streams are counted by reading the text, those of a program's batches by the program.
        if case .epochs = options.length, options.order == .sequential || configuration.hasOwnBatches { return nil }
        let targets = Double(configuration.trainingTokens - 1)
        return options.totalSteps(batchesPerEpoch: targets / Double(options.batchSize * options.sequenceLength))
    }
}

// MARK: Questions by distance

/// The distances of questions that are counted together.
struct DistanceGroup: Hashable {
    /// In bytes; the smallest distance is above the bound before.
    let bound: Int
    var key: String { "answered_to_\(bound)" }

    /// Those that occur in the metrics of any of the runs, from near to far.
    static func all(in runs: [RunRecord]) -> [DistanceGroup] {
        let prefix = "answered_to_"
        let keys = runs.flatMap(\.metrics).lazy.filter { !$0.extra.isEmpty }.flatMap(\.extra.keys)
        let bounds = Set(keys.filter { $0.hasPrefix(prefix) }.compactMap { Int($0.dropFirst(prefix.count)) })
        return bounds.sorted().map(DistanceGroup.init)
    }

    /// From the bound before to this one: 300–1k.
    var label: String {
        let before = Question.distanceBounds.last { $0 < bound }
        return before.map { "\(Self.short($0))–\(Self.short(bound))" } ?? "up to \(Self.short(bound))"
    }

    private static func short(_ bytes: Int) -> String {
        bytes >= 1000 && bytes % 1000 == 0 ? "\(bytes / 1000)k" : "\(bytes)"
    }
}

extension RunRecord {
    /// The metrics of the last validation that asked questions.
    var lastAnswers: StepMetrics? {
        metrics.last { $0.extra.keys.contains { $0.hasPrefix("answered_to_") } }
    }
}
