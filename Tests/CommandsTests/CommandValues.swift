import ModelZoo

@testable import AttentionZooCommands

// Commands with options as values, where a command line would say them in words.

extension EvaluateCommand {
    init(
        source: ModelSource, data: [String] = [], corpusLength: Int? = nil, sequenceLength: Int? = nil,
        batchSize: Int? = nil, carries: Bool? = nil, forgotten: [String] = [], batch: String? = nil,
        output: String? = nil, gradients: Bool = false, implementation: String? = nil, json: Bool = false
    ) {
        var options = try! Evaluate.parse([])
        (options.data, options.corpusLength, options.sequenceLength) = (data, corpusLength, sequenceLength)
        (options.batchSize, options.carry, options.batch, options.output) = (batchSize, carries, batch, output)
        options.forget = forgotten.isEmpty ? nil : forgotten.joined(separator: ",")
        (options.gradients, options.implementation, options.json) = (gradients, implementation, json)
        self.init(source: source, options: options)
    }
}

extension CausalityCommand {
    init(
        source: ModelSource, preset: String? = nil, sequenceLength: Int? = nil, seed: Int? = nil,
        implementation: String? = nil, json: Bool = false
    ) {
        var options = try! Evaluate.parse([])
        (options.preset, options.sequenceLength, options.seed) = (preset, sequenceLength, seed)
        (options.implementation, options.json) = (implementation, json)
        self.init(source: source, options: options)
    }
}

extension GenerateCommand {
    init(
        source: ModelSource, prompt: String, length: Int? = nil, stop: [String] = [], sampling: SamplingOptions? = nil,
        saveState: String? = nil, loadState: String? = nil
    ) {
        var options = try! Generate.parse([])
        (options.length, options.stop, options.saveState, options.loadState) = (length, stop, saveState, loadState)
        if let sampling {
            (options.temperature, options.topK, options.topP) = (sampling.temperature, sampling.topK, sampling.topP)
            (options.filterThreshold, options.seed) = (sampling.filterThreshold, sampling.seed)
        }
        self.init(source: source, prompt: Array(prompt.utf8), options: options)
    }
}

extension VisualizeCommand {
    init(
        source: ModelSource, text: String? = nil, length: Int? = nil, nLimit: Int? = nil, layers: [Int] = [],
        title: String? = nil, sharesScale: Bool = false, out: String? = nil, spectrum: String? = nil,
        states: String? = nil
    ) {
        var options = try! Visualize.parse([])
        (options.text, options.length, options.nLimit, options.layers) = (text, length, nLimit, layers)
        (options.title, options.commonScale, options.out) = (title, sharesScale, out)
        (options.spectrum, options.states) = (spectrum, states)
        self.init(source: source, options: options)
    }
}

extension Report {
    init(runs: [String], out: String? = nil) {
        self = try! Report.parse([])
        (self.runs, self.out) = (runs, out)
    }
}
