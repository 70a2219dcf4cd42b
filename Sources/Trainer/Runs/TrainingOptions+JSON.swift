import NN
import Tensors

// The options in a run's config.json: snake_case, every one written out.

extension TrainingOptions {
    var json: JSONValue {
        func optional(_ value: Double?) -> JSONValue { value.map(JSONValue.number) ?? .null }
        var members: [String: JSONValue] = [
            "objective": .string(objective.rawValue), "order": .string(order.rawValue),
            "sequence_length": .integer(sequenceLength),
            "batch_size": .integer(batchSize),
            "accumulate": .integer(accumulate), "optimizer": optimizer.json, "learning_rate": .number(learningRate),
            "schedule": .string(schedule.rawValue), "warmup": .integer(warmupSteps),
            "learning_rate_floor": .number(learningRateFloor), "clip": optional(clip),
            "validate_every": .integer(validateEvery), "validation_share": optional(validationShare),
            "sample_every": .integer(sampleEvery), "sample_length": .integer(sampleLength),
            "save_every": .integer(saveEvery), "keep_checkpoints": .integer(keepCheckpoints),
            "seed": .integer(Int(truncatingIfNeeded: seed)),
        ]
        switch length {
        case .steps(let steps): members["steps"] = .integer(steps)
        case .epochs(let epochs): members["epochs"] = .number(epochs)
        case .minutes(let minutes): members["minutes"] = .number(minutes)
        }
        return .object(members)
    }

    init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        func number(_ key: String) throws -> Int {
            try reader.int(key, in: Self.wholeNumbers.first { $0.key == key }!.range)  // of the literals below
        }
        let length: TrainingLength
        let (steps, epochs, minutes) = (
            try reader.optionalInt("steps", in: 1...Self.mostSteps), try reader.optionalDouble("epochs"),
            try reader.optionalDouble("minutes")
        )
        switch (steps, epochs, minutes) {
        case (let steps?, nil, nil): length = .steps(steps)
        case (nil, let epochs?, nil): length = .epochs(epochs)
        case (nil, nil, let minutes?): length = .minutes(minutes)
        default: throw reader.error("steps", "expected exactly one of steps, epochs, minutes")
        }
        self.init(
            objective: try reader.option("objective"), order: try reader.option("order"),
            sequenceLength: try number("sequence_length"),
            batchSize: try number("batch_size"),
            accumulate: try number("accumulate"), length: length,
            optimizer: try OptimizerOptions(reader.value("optimizer") ?? .object([:]), file: "\(file), optimizer"),
            learningRate: try reader.double("learning_rate"), schedule: try reader.option("schedule"),
            warmupSteps: try number("warmup"), learningRateFloor: try reader.double("learning_rate_floor"),
            clip: try reader.optionalDouble("clip"), validateEvery: try number("validate_every"),
            validationShare: try reader.optionalDouble("validation_share"),
            sampleEvery: try number("sample_every"), sampleLength: try number("sample_length"),
            saveEvery: try number("save_every"), keepCheckpoints: try number("keep_checkpoints"),
            seed: UInt64(truncatingIfNeeded: try reader.int("seed")))
        try reader.finish()
        // What is left are numbers that do not go together, by the names of the options.
        do { try validate() } catch let error as InputError { throw InputError("\(file): \(error.message)") }
    }
}

extension OptimizerOptions {
    /// The settings by name. Those of newer optimizers are there only where they have an effect.
    var json: JSONValue {
        var members: [String: JSONValue] = [
            "name": .string(kind.rawValue), "weight_decay": .number(weightDecay), "beta1": .number(beta1),
            "beta2": .number(beta2), "epsilon": .number(epsilon), "momentum": .number(momentum),
        ]
        if scalesByParameter { members["parameter_scaled"] = .bool(true) }
        if kind == .adafactor {
            members["decay_exponent"] = .number(decayExponent)
            members["update_limit"] = .number(updateLimit)
        }
        if kind == .adafactor || scalesByParameter { members["least_size"] = .number(leastSize) }
        return .object(members)
    }

    init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        self.init(
            try reader.option("name"), weightDecay: try reader.double("weight_decay"),
            beta1: try reader.double("beta1"), beta2: try reader.double("beta2"),
            epsilon: try reader.double("epsilon"), momentum: try reader.double("momentum"))
        scalesByParameter = try reader.bool("parameter_scaled", default: false)
        leastSize = try reader.double("least_size", default: leastSize)
        decayExponent = try reader.double("decay_exponent", default: decayExponent)
        updateLimit = try reader.double("update_limit", default: updateLimit)
        try reader.finish()
    }
}
