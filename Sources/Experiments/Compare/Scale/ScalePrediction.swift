import AttentionZooReports
import Foundation
import ModelZoo

/// The predicted cost of a pass with gradients, from shorter lengths; nil where there is nothing to go by.
struct ScalePrediction: Equatable {
    private(set) var seconds: Double?
    private(set) var megabytes: Double?

    init(seconds: Double? = nil, megabytes: Double? = nil) { (self.seconds, self.megabytes) = (seconds, megabytes) }

    /// - Parameter before: outcomes of the same model; those of other lengths than shorter ones say nothing.
    init(of length: Int, before: [ScaleOutcome]) {
        let shorter = before.filter { $0.length < length }.sorted { $0.length < $1.length }
        func predicted(_ value: (ScaleOutcome) -> Double?) -> Double? {
            Self.extrapolate(shorter.compactMap { outcome in value(outcome).map { (outcome.length, $0) } }, to: length)
        }
        // A pass that took too long without gradients was not run with them.
        seconds = predicted { $0.trainingSeconds ?? $0.forwardSeconds }
        megabytes = predicted(\.peakMegabytes)
    }

    /// Grows as between the last two lengths, but at least with the length and at most with its square, which nothing here
    /// exceeds: what is more is noise. From one length alone: with the square.
    /// - Parameter points: lengths and values, in the order of the lengths.
    static func extrapolate(_ points: [(length: Int, value: Double)], to length: Int) -> Double? {
        guard let last = points.last else { return nil }
        var power = 2.0
        if let other = points.dropLast().last, other.value > 0 {
            power = log(last.value / other.value) / log(Double(last.length) / Double(other.length))
        }
        return last.value * pow(Double(length) / Double(last.length), min(max(power, 1), 2))
    }

    /// Takes at least so much memory.
    mutating func raise(megabytes least: Double) { megabytes = max(megabytes ?? 0, least) }

    /// Returns the reason why a model is not run, as the end of a sentence; nil if it may be.
    func refusal(_ options: ScaleOptions) -> String? {
        options.excess("would take about", seconds: seconds, megabytes: megabytes)
    }
}

extension ScaleOptions {
    /// Describes what exceeds the budgets, as the end of a sentence; nil if nothing does.
    /// - Parameters:
    ///   - verb: took, or would take about.
    ///   - pass: whose `seconds` they are.
    func excess(_ verb: String, seconds: Double?, of pass: String = "a pass", megabytes: Double? = nil) -> String? {
        // Memory first: it is the same on every machine.
        if let megabytes, megabytes > budgetMegabytes {
            return "\(verb) \(ComparisonText.megabytes(megabytes)), more than the"
                + " \(Numbers.round(ComparisonText.megabytes(budgetMegabytes))) allowed"
        }
        if let seconds, seconds > budgetSeconds {
            return "\(verb) \(Numbers.seconds(seconds)) \(pass), more than the"
                + " \(Numbers.round(Numbers.seconds(budgetSeconds))) allowed"
        }
        return nil
    }
}

/// In MB of 2²⁰ bytes.
func megabytes(_ bytes: Int) -> Double { Double(bytes) / ComparisonText.megabyte }

extension TransformerConfiguration {
    /// Returns the least memory of a pass with gradients over n tokens in the naive form: the weights of all layers and
    /// their masks, and three more of what has n² numbers in each head for the layer being worked on.
    func naiveMegabytes(_ n: Int) -> Double {
        let squares = heads * (depth + 3) + depth
        return 4 * Double(squares) * Double(n) * Double(n) / ComparisonText.megabyte
    }
}
