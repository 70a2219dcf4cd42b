import ArgumentParser
import ModelZoo

/// The options that say which trained model to use.
public struct SourceOptions: ParsableArguments {
    @Option(help: "The folder of a training run.")
    var run: String?

    @Option(help: "Without a run: the architecture: \(ModelZoo.identifiers.joined(separator: ", ")).")
    var model: String?

    @Option(help: "Its configuration: JSON with the peer's keyword names.")
    var config: String?

    @Option(help: "Its weights: a safetensors file with the peer's state-dict keys.")
    var weights: String?

    public init() {}

    public var source: ModelSource { ModelSource(run: run, model: model, config: config, weights: weights) }
}
