import Foundation
import Tensors
import Testing

@testable import Trainer

/// Logs are no precondition: a training resumes whatever is in them, and says what it left out.
extension ResumeTests {
    /// Resumes a run and trains it to its end.
    func warnings(resuming name: String) throws -> [String] {
        var warnings: [String] = []
        try resume(name).train { if case .warning(let text) = $0 { warnings.append(text) } }
        return warnings
    }

    func insert(_ line: String, at number: Int, of file: String) throws {
        var lines = try bytes(file).split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) }
        lines.insert(line, at: min(number, lines.count))
        try temporary.write(lines.joined(separator: "\n") + "\n", file)
    }

    @Test(
        "Broken lines in the middle and at the end of the logs do not stop a resumption",
        arguments: [
            "metrics.jsonl", "samples.jsonl",
        ])
    func brokenLines(file: String) throws {
        try begin("whole", options()).train()
        let zeros = String(repeating: "\0", count: 500)
        for (number, line) in [(0, "{"), (1, zeros), (99, zeros), (99, "[]"), (1, "{\"step\":1e99}"), (0, "")]
            .enumerated()
        {
            let name = "broken-\(number)"
            do { try begin(name, options()).train(until: 4) }
            try insert(line.1, at: line.0, of: name + "/" + file)
            let warnings = try warnings(resuming: name)
            try #require(warnings.count == 1, "\(line)")
            #expect(warnings[0].hasPrefix("\(temporary.path)/\(name)/\(file), line "))
            #expect(warnings[0].hasSuffix("; left out"))
            #expect(!warnings[0].contains { $0.isNewline || $0 == "\0" })
            try expectSameEnd("whole", name, step: 6)
            #expect(try bytes(name + "/samples.jsonl") == bytes("whole/samples.jsonl"))
        }
    }

    @Test("Zeros without the end of a line, as a power cut leaves them, are cut off")
    func zerosAtTheEnd() throws {
        try begin("whole", options()).train()
        do { try begin("zeros", options()).train(until: 4) }
        for file in ["metrics.jsonl", "samples.jsonl"] {
            try temporary.write(bytes("zeros/" + file) + Data(count: 4000), "zeros/" + file)
        }
        #expect(try warnings(resuming: "zeros") == [])
        try expectSameEnd("whole", "zeros", step: 6)
        #expect(try bytes("zeros/samples.jsonl") == bytes("whole/samples.jsonl"))
    }

    @Test("Where the line of a step is lost whose validation is to be made up for, this is made all the same")
    func lostLineOfAnUnfollowedStep() throws {
        try begin("whole", options()).train()
        for isGone in [true, false] {
            let name = "lost-\(isGone)"
            do {
                let run = try begin(name, options())
                try run.train(stop: { run.step == 4 })
                #expect(try !RunFolder(path: temporary.path + "/" + name).checkpoint(4).open().training.isFollowed)
            }
            if isGone {
                unlink(temporary.path + "/\(name)/metrics.jsonl")
            } else {
                let lines = try bytes(name + "/metrics.jsonl").split(separator: 0x0A).prefix(3)
                try temporary.write(
                    Data(lines.joined(separator: [0x0A])) + [0x0A, 0x7B, 0x0A], name + "/metrics.jsonl")
            }
            #expect(try warnings(resuming: name).count == (isGone ? 0 : 1))
            #expect(try bytes(name + "/weights.safetensors") == bytes("whole/weights.safetensors"))
            let logs = try ["whole", name].map { try MetricsLog.read(path: temporary.path + "/\($0)/metrics.jsonl") }
            #expect(logs[1].map(\.step) == Array(isGone ? 4...6 : 1...6))
            let (expected, made) = (logs[0][3], logs[1].first { $0.step == 4 })
            #expect(expected.extra["validation_loss"] != nil && made?.extra == expected.extra)
            #expect(made?.tokens == expected.tokens && made?.learningRate == expected.learningRate)
            #expect(made?.loss.isNaN == true)
        }
    }

    @Test("A cosine that ends later says how the learning rate jumps before a step is made")
    func cosineThatEndsLater() throws {
        for (stop, name) in [(6, "finished"), (4, "stopped")] {
            do { try begin(name, options()).train(until: stop) }
            var events: [TrainingEvent] = []
            try resume(name) { $0.length = .steps(12) }.train(until: stop + 1) { events.append($0) }
            #expect(events.prefix(3).map(\.name) == ["started", "warning", "step"])
            let rates = try MetricsLog.read(path: temporary.path + "/\(name)/metrics.jsonl").map(\.learningRate)
            #expect(
                events[1].description
                    == String(
                        format:
                            "warning: the learning rate jumps from %.2e in step %d to %.2e in step %d: the cosine ends"
                            + " with step 12 now, not 6", rates[stop - 1], stop, rates[stop], stop + 1))
            // Said once: the next resumption goes on as this one did.
            events = []
            try resume(name).train(until: stop + 2) { events.append($0) }
            #expect(events.map(\.name).prefix(2) == ["started", "step"])
        }
    }

    @Test(
        "A schedule that does not know its end says nothing", arguments: [LearningRateSchedule.Shape.constant, .noam])
    func otherSchedulesThatEndLater(shape: LearningRateSchedule.Shape) throws {
        var options = options()
        options.schedule = shape
        do { try begin("run", options).train(until: 4) }
        var names: [String] = []
        try resume("run") { $0.length = .steps(12) }.train(until: 5) { names.append($0.name) }
        #expect(!names.contains("warning"))
    }
}
