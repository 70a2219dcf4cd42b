import Foundation
import ModelZoo

/// What a pass with gradients will take, by what it took at shorter lengths; nil where there is nothing to go by.
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

    /// Why a model is not run, as the end of a sentence; nil where it may be.
    func refusal(_ options: ScaleOptions) -> String? {
        // Memory first: it is the same on every machine.
        if let megabytes, megabytes > options.budgetMegabytes {
            return "would take about \(Self.text(megabytes: megabytes)), more than the"
                + " \(Self.text(megabytes: options.budgetMegabytes)) allowed"
        }
        if let seconds, seconds > options.budgetSeconds {
            return "would take about \(Self.text(seconds: seconds)) a pass, more than the"
                + " \(Self.text(seconds: options.budgetSeconds)) allowed"
        }
        return nil
    }

    /// Why there is no pass with gradients after one without that took too long.
    static func took(_ seconds: Double, _ options: ScaleOptions) -> String {
        "took \(text(seconds: seconds)) a pass without gradients, more than the \(text(seconds: options.budgetSeconds))"
            + " allowed"
    }

    /// 250 s, 1.5 s
    private static func text(seconds: Double) -> String { "\(number(seconds)) s" }

    /// 16 GB, 1.5 GB, 300 MB
    private static func text(megabytes: Double) -> String {
        megabytes < 1024 ? "\(number(megabytes)) MB" : "\(number(megabytes / 1024)) GB"
    }

    /// With two digits or all before the point.
    private static func number(_ value: Double) -> String {
        value < 9.95 && value.rounded() != value
            ? String(format: value < 1 ? "%.2g" : "%.1f", value) : String(format: "%.0f", value)
    }
}

extension TransformerConfiguration {
    /// What a pass with gradients over n tokens takes at least in the naive form: the weights of all layers and their masks,
    /// and while one layer is worked on three more of what has n² numbers in each head.
    func naiveMegabytes(_ n: Int) -> Double {
        let squares = heads * (depth + 3) + depth
        return 4 * Double(squares) * Double(n) * Double(n) / Double(1 << 20)
    }
}
