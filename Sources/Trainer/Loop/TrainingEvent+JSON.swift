import NN
import Tensors

// Events for programs: one JSON object a line, told apart by "event". Lengths of time are in seconds.

extension TrainingEvent {
    /// The event in one word: the "event" of its line of JSON.
    public var name: String {
        switch self {
        case .started: "started"
        case .step: "step"
        case .sample: "sample"
        case .saved: "saved"
        case .warning: "warning"
        case .finished: "finished"
        case .interrupted: "interrupted"
        }
    }

    /// The event as one line of JSON without its newline; "event" comes first.
    ///
    /// | event | other keys |
    /// |---|---|
    /// | started | parameters, training_tokens, validation_tokens, tokens_per_step, total_steps and total_seconds (one of \
    ///   them null), steps_made, folder, floor and window_floor (null where not known) |
    /// | step | those of a line of metrics.jsonl |
    /// | sample | step, prompt, text |
    /// | saved | step, folder |
    /// | warning | message |
    /// | finished | step, seconds |
    /// | interrupted | step, seconds, folder |
    public var jsonLine: String {
        if case .step(let metrics, _) = self { return "{\"event\":\"step\"," + metrics.line.dropFirst() }
        let members = [("event", JSONValue.string(name))] + members
        return "{" + members.map { "\(JSONValue.quoted($0)):\($1)" }.joined(separator: ",") + "}"
    }

    private var members: [(String, JSONValue)] {
        func optional<Value>(_ value: Value?, _ json: (Value) -> JSONValue) -> JSONValue { value.map(json) ?? .null }
        switch self {
        case .started(let summary):
            return [
                ("parameters", .integer(summary.parameters)), ("training_tokens", .integer(summary.trainingTokens)),
                ("validation_tokens", .integer(summary.validationTokens)),
                ("tokens_per_step", .integer(summary.tokensPerStep)),
                ("total_steps", optional(summary.totalSteps, JSONValue.integer)),
                ("total_seconds", optional(summary.totalSeconds, JSONValue.number)),
                ("steps_made", .integer(summary.stepsMade)), ("folder", optional(summary.folder, JSONValue.string)),
                ("floor", optional(summary.floor, JSONValue.number)),
                ("window_floor", optional(summary.windowFloor, JSONValue.number)),
            ]
        case .step: return []
        case .sample(let step, let prompt, let text):
            return [("step", .integer(step)), ("prompt", .string(prompt)), ("text", .string(text))]
        case .saved(let step, let folder): return [("step", .integer(step)), ("folder", .string(folder))]
        case .warning(let message): return [("message", .string(message))]
        case .finished(let step, let seconds): return [("step", .integer(step)), ("seconds", .number(seconds))]
        case .interrupted(let step, let seconds, let folder):
            return [
                ("step", .integer(step)), ("seconds", .number(seconds)),
                ("folder", optional(folder, JSONValue.string)),
            ]
        }
    }
}
