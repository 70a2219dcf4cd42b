import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

@Suite("Options as values") struct OptionTests {
    // MARK: JSON

    @Test("Options are the same after JSON, from any decoder")
    func coding() throws {
        func expectSame<Options: Codable & Equatable>(_ options: Options) throws {
            let data = try JSONEncoder().encode(options)
            #expect(try JSONDecoder().decode(Options.self, from: data) == options)
        }
        try expectSame(TrainingOptions())
        try expectSame(
            TrainingOptions(
                objective: .reverse, order: .sequential, sequenceLength: 7, batchSize: 3, accumulate: 2,
                length: .epochs(2), optimizer: .adafactor(decayExponent: 0.7), learningRate: 0.5, schedule: .noam,
                warmupSteps: 5, learningRateFloor: 0.25, clip: 2, validateEvery: 4, validationShare: 0.5,
                sampleEvery: 6, sampleLength: 8, saveEvery: 9, keepCheckpoints: 10, seed: .max))
        try expectSame(TrainingOptions(length: .minutes(0.5), optimizer: .sgd(momentum: 0.5, weightDecay: 0.25)))
        try expectSame(SamplingOptions())
        try expectSame(SamplingOptions(temperature: 0.5, topK: 3, filterThreshold: 0.25, topP: 0.75, seed: 1 << 63))
        try expectSame(CorpusOptions(seed: .max, length: 5, validationLength: 6))
    }

    @Test("The JSON form has the keys that run folders have")
    func keys() {
        let options = TrainingOptions(optimizer: .adamW(), clip: 1, seed: .max)
        #expect(
            options.json.description
                == """
                {"accumulate": 1, "batch_size": 8, "clip": 1.0, "keep_checkpoints": 1, "learning_rate": 0.0003, \
                "learning_rate_floor": 0.0, "objective": "next-token", "optimizer": {"beta1": 0.9, "beta2": 0.999, \
                "epsilon": 1e-08, "momentum": 0.0, "name": "adamw", "weight_decay": 0.01}, "order": "random", \
                "sample_every": 500, "sample_length": 256, "save_every": 100, "schedule": "constant", "seed": -1, \
                "sequence_length": 256, "steps": 1000, "validate_every": 100, "validation_share": null, "warmup": 0}
                """)
        #expect(
            OptimizerOptions.adafactor().json.description
                == """
                {"beta1": 0.9, "beta2": 0.999, "decay_exponent": 0.8, "epsilon": 1e-08, "least_size": 0.001, \
                "momentum": 0.0, "name": "adafactor", "update_limit": 1.0, "weight_decay": 0.0}
                """)
        #expect(
            CorpusOptions(seed: 2).json.description
                == "{\"length\": 4194304, \"seed\": 2, \"validation_length\": 262144}")
    }

    @Test("What a file has wrong is named by its key")
    func filesNameKeys() {
        func read(_ change: (inout [String: JSONValue]) -> Void) throws -> TrainingOptions {
            guard case .object(var members) = TrainingOptions().json else { return TrainingOptions() }
            change(&members)
            return try TrainingOptions(.object(members), file: "c.json")
        }
        expectError("c.json: \"clip\": expected a number above 0, found -1.0") {
            try read { $0["clip"] = .integer(-1) }
        }
        expectError("c.json: \"keep_checkpoints\": is missing; expected a whole number from 1 to 1073741824") {
            try read { $0["keep_checkpoints"] = nil }
        }
        expectError("c.json, optimizer: \"weight_decay\": expected a number of at least 0, found -1.0") {
            guard case .object(var optimizer)? = TrainingOptions().json.objectValue?["optimizer"] else { return }
            optimizer["weight_decay"] = .integer(-1)
            _ = try read { $0["optimizer"] = .object(optimizer) }
        }
        expectError("c.json, optimizer: \"parameter_scaled\": expected only with \"name\" adam or adamw; it is sgd") {
            guard case .object(var optimizer) = OptimizerOptions.sgd().json else { return }
            optimizer["parameter_scaled"] = .bool(true)
            _ = try read { $0["optimizer"] = .object(optimizer) }
        }
        expectError("c.json: \"minutes\": expected a number of at most 1e9, found 2000000000.0") {
            try read { ($0["steps"], $0["minutes"]) = (nil, .number(2e9)) }
        }
        expectError("c.json: \"steps\": expected exactly one of steps, epochs, minutes") {
            try read { $0["minutes"] = .integer(1) }
        }
        expectError("SamplingOptions: \"top_k\": expected a whole number of at least 1, found 0") {
            try JSONDecoder().decode(SamplingOptions.self, from: Data("{\"top_k\": 0}".utf8))
        }
    }

    // MARK: Errors

    @Test("An error names options as its reader does")
    func names() {
        let error = OptionError(
            "warmupSteps", "expected fewer than the \(6) steps of \(option: "schedule", "cosine"), found \(7)")
        #expect(error.property == "warmupSteps")
        #expect("\(error)" == "warmupSteps: expected fewer than the 6 steps of schedule cosine, found 7")
        #expect(
            error.message(naming: .keys(["warmupSteps": "warmup"]))
                == "\"warmup\": expected fewer than the 6 steps of \"schedule\" cosine, found 7")
        #expect(OptionError("a", is: "3", "no") == OptionError(of: "a", text: "\(option: "a", "3"): no"))
        #expect(OptionError("a.bC", "no").message(naming: .keys([:])) == "\"b_c\": no")
        #expect("\(OptionError("a", "line\nbreak"))" == "a: line\\u{A}break")
    }

    @Test("Every option out of range is named as the property it is", arguments: [-1.0, .nan])
    func properties(_ value: Double) {
        let changes: [(String, (inout TrainingOptions) -> Void)] = [
            ("learningRate", { $0.learningRate = value }), ("learningRateFloor", { $0.learningRateFloor = value }),
            ("optimizer.epsilon", { $0.optimizer.epsilon = value }),
            ("optimizer.leastSize", { $0.optimizer.leastSize = value }),
            ("optimizer.decayExponent", { $0.optimizer.decayExponent = value }),
            ("warmupSteps", { $0.warmupSteps = -1 }), ("validateEvery", { $0.validateEvery = -1 }),
            ("sampleLength", { $0.sampleLength = 0 }), ("keepCheckpoints", { $0.keepCheckpoints = 0 }),
        ]
        for (name, change) in changes {
            var options = TrainingOptions()
            change(&options)
            #expect(throws: OptionError.self) { try options.validate() }
            do { try options.validate() } catch { #expect((error as? OptionError)?.property == name) }
        }
    }

    @Test("A learning rate's schedule names the options of the training that it is of")
    func schedules() {
        var options = TrainingOptions(schedule: .noam)
        expectError("warmupSteps: expected at least 1 for schedule noam, which falls from the warm-up on, found 0") {
            try options.makeSchedule(totalSteps: 5)
        }
        options.learningRate = 0
        expectError("learningRate: expected a number above 0, found 0.0") { try options.makeSchedule(totalSteps: 5) }
    }
}
