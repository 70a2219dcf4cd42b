import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// Files of a run are input like any other: every number is checked for its range.
@Suite("State is input") struct StateInputTests {
    let temporary = try! TemporaryFolder()
    static let huge = ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "-1", "1.5", "x", ""]

    // MARK: Training state

    private let metadata = [
        "step": "4", "tokens": "128", "seconds": "2.5", "position": "null", "followed": "yes",
        "validation_bits_per_byte": "3.5", "best_step": "4", "best_bits_per_byte": "3.5",
    ]

    private func state(_ changes: [String: String]) throws -> TrainingState {
        let path = temporary.path + "/state.safetensors"
        try SafetensorsWriter(metadata: metadata.merging(changes) { $1 }).write(to: path)
        return try TrainingState(SafetensorsFile(path: path))
    }

    @Test("A training state as it is saved is read")
    func wholeState() throws {
        let state = try state([:])
        #expect(state.step == 4 && state.tokens == 128 && state.seconds == 2.5 && state.validation == 3.5)
        #expect(state.best == BestValidation(step: 4, bitsPerByte: 3.5))
    }

    @Test(
        "Steps and tokens of a training state are whole numbers in range", arguments: ["step", "tokens", "best_step"],
        huge)
    func wholeNumbers(_ key: String, _ text: String) {
        let error = #expect(throws: InputError.self) { try state([key: text]) }
        #expect(
            error?.message.hasPrefix(
                "\(temporary.path)/state.safetensors: metadata \"\(key)\": expected a whole number from 0 to")
                ?? false)
        #expect(error?.message.hasSuffix(", found \(JSONValue.quoted(text))") ?? false)
    }

    @Test(
        "Times and validations are finite and not below 0",
        arguments: ["seconds", "validation_bits_per_byte", "best_bits_per_byte"],
        ["inf", "-inf", "nan", "-1", "1e13", "9223372036854775807", "x"])
    func numbers(_ key: String, _ text: String) {
        expectError(
            naming: "\(temporary.path)/state.safetensors", "\"\(key)\"", "expected a number", "0 to 1e12",
            "\(JSONValue.quoted(text))"
        ) { try state([key: text]) }
    }

    @Test("A best step after the last is none")
    func bestStep() {
        expectError(
            naming: "\(temporary.path)/state.safetensors", "\"best_step\"", "expected", "0 to step 4", "\"5\""
        ) { try state(["best_step": "5"]) }
    }

    // MARK: Places and carries

    /// A training of streams, saved after 4 steps; `change` changes what the state says.
    private func resume(_ change: (inout TrainingState) -> Void) throws {
        let folder = temporary.path + "/run"
        try? FileManager.default.removeItem(atPath: folder)
        let options = TrainingOptions(
            order: .sequential, sequenceLength: 16, batchSize: 3, length: .steps(9), validateEvery: 0, sampleEvery: 0)
        let run = try TrainingRun(
            Trigram(), on: byteSplit(), tokenizer: ByteTokenizer(), options: options, folder: folder)
        try run.train(until: 4)
        _ = consume run
        let checkpoint = Checkpoint(path: folder + "/checkpoints/step-4", step: 4)
        let contents = try checkpoint.open()
        var state = contents.training
        let optimizer = Optimizer(Trigram().trainable, options.optimizer)
        try optimizer.load(contents.state, besides: state.carries.count)
        change(&state)
        try Checkpoint.writeState(
            optimizer, state, weightsChecksum: contents.weightsChecksum, to: checkpoint.path)
        _ = try TrainingRun(resuming: RunFolder(path: folder), Trigram(), on: byteSplit(), tokenizer: ByteTokenizer())
    }

    private func expectRefusal(
        _ message: String, location: SourceLocation = #_sourceLocation, _ change: (inout TrainingState) -> Void
    ) {
        expectError("\(temporary.path)/run/checkpoints/step-4: \(message)", sourceLocation: location) {
            try resume(change)
        }
    }

    @Test("What rows carry is all there, finite, and the model's")
    func carries() throws {
        try resume { _ in }
        expectRefusal("has what 2 rows carry; expected that of 3") { $0.carries["1/token"] = nil }
        expectRefusal("has what 0 rows carry; expected that of 3") { $0.carries = [:] }
        expectRefusal("the carry of row 1: token: expected finite numbers, found inf") {
            $0.carries["1/token"] = Tensor([.infinity])
        }
        expectRefusal("the carry of row 2: other: is none of the model's; expected token") {
            $0.carries["2/other"] = Tensor([1])
        }
        expectRefusal("carry \"3/token\": expected a row from 0 to 2 and a name") {
            $0.carries["3/token"] = Tensor([1])
        }
        expectRefusal("carry \"9223372036854775808/token\": expected a row from 0 to 2 and a name") {
            $0.carries["9223372036854775808/token"] = Tensor([1])
        }
    }

    @Test("Places in the text are in it")
    func places() {
        let place = "cannot be read on from"
        for offsets in ["[0, 9223372036854775807, 5]", "[0]", "[0, 0, 0, 0]"] {
            let error = #expect(throws: InputError.self) {
                try resume {
                    $0.position = try! JSONValue(parsing: "{\"epoch\": 0, \"offsets\": \(offsets)}".utf8, file: "")
                }
            }
            #expect(error?.message.contains(place) ?? false, "\(error?.message ?? "")")
        }
        for epoch in ["9223372036854775807", "-1", "1.5"] {
            let error = #expect(throws: InputError.self) {
                try resume {
                    $0.position = try! JSONValue(parsing: "{\"epoch\": \(epoch), \"offsets\": [0]}".utf8, file: "")
                }
            }
            #expect(error?.message.contains("\"epoch\": expected a whole number from 0 to ") ?? false)
        }
    }

    // MARK: Options of a run

    private func options(_ key: String, _ value: JSONValue) throws -> TrainingOptions {
        guard case .object(var members) = TrainingOptions().json else { return TrainingOptions() }
        members[key] = value
        return try TrainingOptions(.object(members), file: "config.json, training")
    }

    @Test(
        "Whole numbers of a run's configuration have greatest values",
        arguments: TrainingOptions.schema.compactMap { field in field.range.map { (field.key, $0) } }
            + [("steps", 1...TrainingOptions.mostSteps)])
    func greatest(_ key: String, _ range: ClosedRange<Int>) throws {
        for value in [range.lowerBound - 1, range.upperBound + 1, .max, .min] {
            expectError(
                naming: "config.json", "\"\(key)\"", "expected", "\(range.lowerBound) to \(range.upperBound)",
                "\(value)"
            ) { try options(key, .integer(value)) }
        }
        #expect(throws: Never.self) { try options(key, .integer(range.lowerBound)) }
    }

    @Test("Tokens of a step are counted without overflow, and have a greatest number")
    func tokensPerStep() throws {
        var options = TrainingOptions(sequenceLength: 1 << 30, batchSize: 1 << 24, accumulate: 1 << 20)
        #expect(options.tokensPerStep == .max)
        expectError(
            naming: "batchSize 16777216", "sequenceLength 1073741824", "accumulate 1048576",
            "expected at most 2147483648", "found"
        ) { try options.validate() }
        (options.sequenceLength, options.batchSize, options.accumulate) = (1 << 20, 1 << 11, 1)
        try options.validate()
        options.batchSize += 1
        #expect(throws: OptionError.self) { try options.validate() }
        let file = "config.json, training"
        guard case .object(var members) = options.json else { return }
        members["batch_size"] = .integer(1 << 24)
        expectError(
            naming: "\(file)", "\"batch_size\" 16777216", "\"sequence_length\" 1048576", "\"accumulate\" 1",
            "expected at most 2147483648", "found 17592186044416"
        ) { try TrainingOptions(.object(members), file: file) }
    }

    @Test("Options that must be finite are", arguments: [Double.infinity, -.infinity, .nan])
    func finite(_ value: Double) {
        let changes: [(String, (inout TrainingOptions) -> Void)] = [
            ("clip", { $0.clip = value }), ("length.minutes", { $0.length = .minutes(value) }),
            ("length.epochs", { $0.length = .epochs(value) }),
            ("optimizer.weightDecay", { $0.optimizer.weightDecay = value }),
            ("optimizer.beta1", { $0.optimizer.beta1 = value }),
            ("optimizer.momentum", { $0.optimizer.momentum = value }),
            ("validationShare", { $0.validationShare = value }),
        ]
        for (name, change) in changes {
            var options = TrainingOptions()
            change(&options)
            let error = #expect(throws: OptionError.self) { try options.validate() }
            #expect(error?.property == name && error?.description.hasPrefix("\(name): expected ") == true)
        }
    }

    @Test("Epochs of more steps than there can be are as many as there can be")
    func epochs() {
        #expect(TrainingOptions(length: .epochs(1e9)).totalSteps(batchesPerEpoch: 1e12) == TrainingOptions.mostSteps)
        #expect(TrainingOptions(length: .epochs(1.5)).totalSteps(batchesPerEpoch: 10) == 15)
    }

    // MARK: Logs

    @Test(
        "Numbers of a log are in range", arguments: ["step", "tokens"],
        ["-1", "9223372036854775808", "1e300", "0.5", "null"])
    func metrics(_ key: String, _ text: String) throws {
        let line = StepMetrics(
            step: 1, tokens: 2, loss: 1, bitsPerByte: 1, learningRate: 1, gradientNorm: 1, tokensPerSecond: 1,
            seconds: 1
        ).line.replacing(try Regex("\"\(key)\":[0-9]+"), with: "\"\(key)\":\(text)")
        let error = #expect(throws: InputError.self) { try StepMetrics(line: line.utf8, place: "log, line 1") }
        #expect(error?.message.hasPrefix("log, line 1: \"\(key)\": expected a whole number") ?? false)
    }

    @Test("Times that no training takes are written too", arguments: [1e18, 1e300, .infinity, -.infinity, .nan])
    func times(_ seconds: Double) {
        let metrics = StepMetrics(
            step: 1, tokens: 2, loss: 1, bitsPerByte: 1, learningRate: 1, gradientNorm: 1, tokensPerSecond: 1,
            seconds: seconds)
        for event in [
            TrainingEvent.step(metrics, total: 5), .finished(step: 1, seconds: seconds),
            .interrupted(step: 1, seconds: seconds, folder: nil),
        ] {
            #expect(!event.description.isEmpty)
            let parsed = try? JSONValue(parsing: event.jsonLine.utf8, file: "event")
            #expect(parsed?.objectValue?["seconds"] == (seconds.isFinite ? .number(seconds) : .null))
        }
    }
}
