import ArgumentParser
import ModelZoo

// The options of Train by what they are about. Without a value they are left to the preset.

struct TextOptions: ParsableArguments {
    @Option(
        parsing: .upToNextOption,
        help: "The text: files or folders; .gz is decompressed. (default: a text that is made here)")
    var data: [String] = []

    @Option(help: "Bytes of the text that is made here. (default: 4194304)")
    var corpusLength: Int?

    @Option(help: "What the text that is made here is drawn from. (default: 0)")
    var corpusSeed: UInt64?

    @Option(
        help:
            "What is a document: none (the whole text is one), files, lines, or what ends with byte:N. (default: none)"
    )
    var documents: String?

    @Option(help: "random windows, or sequential: each row of a batch goes on in the next. (default: random)")
    var order: String?

    @Option(
        help:
            """
            next-token, masked (hidden tokens from those on both sides), or reverse (each window backwards, after the \
            whole of it). (default: next-token, unless the preset is for another)
            """
    )
    var objective: String?

    @Option(help: "A text of its own to validate with.")
    var validation: String?

    @Option(help: "Without one: the share of the text, at its end, to hold back. (default: 0.1)")
    var validationFraction: Double?

    @Option(help: "bytes or characters. (default: bytes)")
    var tokenizer: String?

    func apply(to command: inout TrainCommand) {
        (command.data, command.documents, command.order) = (data, documents, order)
        (command.corpusLength, command.corpusSeed, command.objective) = (corpusLength, corpusSeed, objective)
        command.validation = validation
        (command.validationFraction, command.tokenizer) = (validationFraction, tokenizer)
    }
}

struct StepOptions: ParsableArguments {
    @Option(help: "Tokens in a window.")
    var sequenceLength: Int?

    @Option(help: "Windows in a batch.")
    var batchSize: Int?

    @Option(help: "Batches in a step.")
    var accumulate: Int?

    @Option(help: "Steps to make, from the beginning of the run.")
    var steps: Int?

    @Option(help: "How often to predict each token of the text, on average.")
    var epochs: Double?

    @Option(help: "Minutes to train.")
    var minutes: Double?

    @Option(help: "The share of activations to drop, where the model has dropout.")
    var dropout: Double?

    func apply(to command: inout TrainCommand) {
        (command.sequenceLength, command.batchSize, command.accumulate) = (sequenceLength, batchSize, accumulate)
        (command.steps, command.epochs, command.minutes) = (steps, epochs, minutes)
        command.dropout = dropout
    }
}

struct OptimizerArguments: ParsableArguments {
    @Option(help: "adam, adamw, sgd or adafactor.")
    var optimizer: String?

    @Option(help: "The greatest learning rate.")
    var learningRate: Double?

    @Option(help: "constant, cosine or noam.")
    var schedule: String?

    @Option(help: "Steps in which the learning rate rises from 0.")
    var warmup: Int?

    @Option(help: "Where the cosine schedule ends, as a share of the learning rate.")
    var learningRateFloor: Double?

    @Option(help: "Weight decay; of adamw apart from the gradient.")
    var weightDecay: Double?

    @Option(help: "Adam's decay rate of the first moment.")
    var beta1: Double?

    @Option(help: "Adam's decay rate of the second moment.")
    var beta2: Double?

    @Option(help: "The momentum of sgd.")
    var momentum: Double?

    @Flag(help: "Steps of adam and adamw in proportion to each parameter's size, as adafactor's always are.")
    var parameterScaled = false

    @Option(help: "The greatest global norm of the gradients; 0 for no limit.")
    var clip: Double?

    func apply(to command: inout TrainCommand) {
        (command.optimizer, command.learningRate, command.schedule) = (optimizer, learningRate, schedule)
        (command.warmup, command.learningRateFloor) = (warmup, learningRateFloor)
        (command.weightDecay, command.beta1, command.beta2) = (weightDecay, beta1, beta2)
        (command.momentum, command.clip, command.parameterScaled) = (momentum, clip, parameterScaled)
    }
}

struct ProgressOptions: ParsableArguments {
    @Option(help: "Steps between two validations; 0 for none but the last.")
    var validateEvery: Int?

    @Option(help: "The share of the validation text to use. (default: all, but at most 262144 tokens)")
    var validationShare: Double?

    @Option(help: "Steps between two samples; 0 for none.")
    var sampleEvery: Int?

    @Option(help: "Tokens in a sample.")
    var sampleLength: Int?

    @Option(help: "Steps between two saves, beside those of the best validations; 0 for none but these and the last.")
    var saveEvery: Int?

    @Option(help: "Checkpoints to keep, at least; the latest and the best always are. (default: 1)")
    var keep: Int?

    @Flag(help: "Print a line of JSON for every event: started, step, sample, saved, warning, finished, interrupted.")
    var json = false

    @Flag(help: "Print nothing but errors.")
    var quiet = false

    func apply(to command: inout TrainCommand) {
        (command.validateEvery, command.validationShare) = (validateEvery, validationShare)
        (command.sampleEvery, command.sampleLength) = (sampleEvery, sampleLength)
        (command.saveEvery, command.keep) = (saveEvery, keep)
    }
}
