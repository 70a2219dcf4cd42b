import Foundation

/// The events of a training, in order.
public enum TrainingEvent: Sendable {
    /// Before the first step.
    case started(TrainingSummary)
    /// A step was made. Where it was followed by a validation, the metrics hold `validation_loss` and
    /// `validation_bits_per_byte` as extras.
    case step(StepMetrics, total: Int?)
    /// Text that the model continued, or reversed: prompt and answer.
    case sample(step: Int, prompt: String, text: String)
    /// Weights and training state are safe in the folder.
    case saved(step: Int, folder: String)
    /// Something that does not end the training but should be known, in one line.
    case warning(String)
    /// After the last step.
    case finished(step: Int, seconds: Double)
    /// Stopped before the last step, by a wish to stop; saved where there is a folder.
    case interrupted(step: Int, seconds: Double, folder: String?)
}

/// A summary of the training about to begin.
public struct TrainingSummary: Sendable {
    /// The number of trainable floats.
    public let parameters: Int
    /// Tokens of the training text; 0 where the program makes the batches.
    public let trainingTokens: Int
    /// Tokens of the part that is validated with; 0 for none.
    public let validationTokens: Int
    /// Tokens predicted in a step.
    public let tokensPerStep: Int
    /// nil where time is the limit.
    public let totalSteps: Int?
    /// Seconds of training, where time is the limit; nil where it is not.
    public let totalSeconds: Double?
    /// The steps already made, where a run is resumed.
    public let stepsMade: Int
    /// The run folder; nil without one.
    public let folder: String?
    /// The bits per byte that no model can do without on the validation text, and those of a model that sees only its
    /// window; nil where they are not known.
    public let floor: Double?
    /// The bits per byte that no model can do without that sees only its window; nil where they are not known.
    public let windowFloor: Double?
}

extension TrainingEvent: CustomStringConvertible {
    /// For people: a line, or the text of a sample between two rules.
    public var description: String {
        switch self {
        case .started(let summary): summary.description
        case .step(let metrics, let total): metrics.summary(total: total)
        case .sample(let step, let prompt, let text):
            "--- sample after step \(step)\n\(prompt)|\(text)\n---"
        case .saved(let step, let folder): "saved step \(step) in \(folder)"
        case .warning(let text): "warning: \(text)"
        case .finished(let step, let seconds): "finished after \(counted(step, "step")), \(Self.time(seconds))"
        case .interrupted(let step, let seconds, _): "stopped after \(counted(step, "step")), \(Self.time(seconds))"
        }
    }

    package static func time(_ seconds: Double) -> String {
        guard seconds.isFinite, abs(seconds) < 1e15 else { return "an unknown time" }
        let whole = Int(seconds.rounded())
        return whole < 60
            ? String(format: "%.1f s", seconds)
            : String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
    }
}

extension TrainingSummary: CustomStringConvertible {
    /// The lines for people.
    public var description: String {
        var parts = ["\(parameters) parameters"]
        if trainingTokens > 0 {
            parts.append("\(trainingTokens) tokens to train on")
            parts.append(validationTokens > 0 ? "\(validationTokens) to validate with" : "no validation")
            parts.append("\(tokensPerStep) tokens a step")
        }
        if let totalSteps { parts.append("\(totalSteps) steps") }
        if let totalSeconds { parts.append(String(format: "%g minutes", totalSeconds / 60)) }
        if stepsMade > 0 { parts.append("resumed after step \(stepsMade)") }
        if let floor { parts.append(String(format: "floor %.4f bits/byte", floor)) }
        if let windowFloor { parts.append(String(format: "%.4f for one that sees only its window", windowFloor)) }
        if let folder { parts.append("folder \(folder)") }
        return parts.joined(separator: ", ")
    }
}

extension StepMetrics {
    /// A line for people.
    func summary(total: Int?) -> String {
        var text = "step \(step)\(total.map { "/\($0)" } ?? "")"
        text += String(format: "  loss %.4f", loss)
        if !bitsPerByte.isNaN { text += String(format: "  %.4f bits/byte", bitsPerByte) }
        text += String(format: "  rate %.2e  gradient %.3g", learningRate, gradientNorm)
        if !bitsPerByte.isNaN { text += String(format: "  %.0f tokens/s", tokensPerSecond) }
        text += "  " + TrainingEvent.time(seconds)
        if let validation = validationSummary { text += "  " + validation }
        if let answers = answersSummary { text += "\n  " + answers }
        return text
    }

    /// The result of a validation, for people; nil without one.
    package var validationSummary: String? {
        guard let bits = extra["validation_bits_per_byte"] else {
            return extra["validation_loss"].map { String(format: "validation loss %.4f", $0) }
        }
        var parts = [String(format: "validation %.4f bits/byte", bits)]
        if let floor = extra["validation_floor"] { parts.append(String(format: "floor %.4f", floor)) }
        for (name, key) in [
            ("answered", "answered"), ("found", "validation_masked_accuracy"),
            ("token accuracy", "validation_token_accuracy"),
        ] {
            if let share = extra[key] { parts.append(String(format: "%@ %.1f %%", name, share * 100)) }
        }
        return parts.joined(separator: "  ")
    }

    /// The questions answered by how far back the fact lies, for people; nil where none were asked.
    package var answersSummary: String? {
        let parts = Question.distanceBounds.compactMap { bound in
            extra["answered_to_\(bound)"].map { String(format: "%.0f %% to %d", $0 * 100, bound) }
        }
        return parts.isEmpty ? nil : "questions answered by bytes back: " + parts.joined(separator: ", ")
    }
}
