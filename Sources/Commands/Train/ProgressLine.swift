import Foundation
import ModelZoo

/// The line that tells how a training stands: a value, made from the events so far, without a clock of its own.
struct ProgressLine {
    private var summary: TrainingSummary?
    private var step = 0
    private var seconds = 0.0
    private var bitsPerByte = RunningMean(span: 10)
    private var tokensPerSecond = RunningMean(span: 10)
    private var pace = Pace()
    private var validation: Double?

    init() {}

    mutating func start(_ summary: TrainingSummary) {
        self = ProgressLine()
        self.summary = summary
        step = summary.stepsMade
        if step == 0 { pace.add(step: 0, seconds: 0) }
    }

    mutating func add(_ metrics: StepMetrics) {
        (step, seconds) = (metrics.step, metrics.seconds)
        // A step's own numbers jump about too much to be read while they change.
        bitsPerByte.add(metrics.bitsPerByte)
        tokensPerSecond.add(metrics.tokensPerSecond)
        pace.add(step: step, seconds: seconds)
        validation = metrics.extra["validation_bits_per_byte"] ?? validation
    }

    /// Seconds until the end; nil while nobody knows.
    var secondsLeft: Double? {
        if let total = summary?.totalSeconds { return step > 0 ? max(0, total - seconds) : nil }
        guard let total = summary?.totalSteps, let each = pace.secondsPerStep else { return nil }
        return Double(max(0, total - step)) * each
    }

    /// The line, of at most `width` columns: where there is no room for all of it, the less important parts are left out.
    func text(width: Int) -> StyledText {
        var fields = self.fields
        while fields.count > 1, Self.joined(fields).width > width {
            let least = fields.indices.max { fields[$0].rank < fields[$1].rank }!
            fields.remove(at: least)
        }
        return Self.joined(fields).prefix(width)
    }

    private typealias Field = (rank: Int, text: StyledText)

    /// From left to right; what has the highest rank goes first.
    private var fields: [Field] {
        var fields: [Field] = []
        func add(
            rank: Int, _ before: String, _ value: String, _ after: String = "", style: StyledText.Style = .plain
        ) {
            var text = StyledText(before, .dim)
            text.append(value, style)
            text.append(after, .dim)
            fields.append((rank, text))
        }
        add(rank: 0, "step ", "\(step)", summary?.totalSteps.map { "/\($0)" } ?? "", style: .bold)
        if let share { add(rank: 5, "", String(format: "%.0f", (share * 100).rounded(.down)), " %") }
        if let bits = bitsPerByte.value { add(rank: 1, "", String(format: "%.3f", bits), " bits/byte", style: .bold) }
        if let validation { add(rank: 3, "validation ", String(format: "%.3f", validation), style: .accent) }
        if let rate = tokensPerSecond.value { add(rank: 4, "", String(format: "%.0f", rate), " tokens/s") }
        if let secondsLeft { add(rank: 2, "", Self.duration(secondsLeft), " left") }
        return fields
    }

    private static func joined(_ fields: [Field]) -> StyledText {
        var line = StyledText()
        for (index, field) in fields.enumerated() {
            if index > 0 { line.append("  ") }
            line.append(field.text)
        }
        return line
    }

    /// The share of the training that is done, from 0 to 1; nil before there is anything to say.
    private var share: Double? {
        guard let summary, step > 0 else { return nil }
        if let total = summary.totalSeconds { return min(1, seconds / total) }
        return summary.totalSteps.map { min(1, Double(step) / Double($0)) }
    }

    /// A length of time in as many words as are of use: 45 s, 12:05, 3:12:05, 2 d 4 h.
    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e9 else { return "?" }
        let whole = Int(seconds.rounded(.up))
        switch whole {
        case ..<60: return "\(whole) s"
        case ..<3600: return String(format: "%d:%02d", whole / 60, whole % 60)
        case ..<(48 * 3600): return String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
        default: return "\(whole / 86400) d \(whole / 3600 % 24) h"
        }
    }
}

/// A mean in which the last `span` values count most.
private struct RunningMean {
    private let keep: Double
    private var (sum, weight) = (0.0, 0.0)

    init(span: Double) { keep = 1 - 1 / span }

    mutating func add(_ value: Double) {
        guard value.isFinite else { return }
        (sum, weight) = (sum * keep + value, weight * keep + 1)
    }

    var value: Double? { weight > 0 ? sum / weight : nil }
}

/// The time a step takes, with all that comes between steps: a mean over about the last half of the time seen. So it
/// settles after a slow first step, follows a machine that slows down, and does not jump with each validation.
private struct Pace {
    private var last: (step: Int, seconds: Double)?
    private var (elapsed, steps, seconds) = (0.0, 0.0, 0.0)

    mutating func add(step: Int, seconds now: Double) {
        if let last, now > last.seconds {
            let passed = now - last.seconds
            let keep = elapsed / (elapsed + passed)
            elapsed += passed
            steps = steps * keep + Double(step - last.step)
            seconds = seconds * keep + passed
        }
        last = (step, now)
    }

    var secondsPerStep: Double? { steps > 0 ? seconds / steps : nil }
}
