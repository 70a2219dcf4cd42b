import ArgumentParser
import ModelZoo

/// The options that say which trained model to use.
package struct SourceOptions: ParsableArguments {
    @Option(help: "The folder of a training run.")
    var run: String?

    @Option(help: "Without a run: the architecture: \(Zoo.identifiers.joined(separator: ", ")).")
    var model: String?

    @Option(help: "Its configuration: JSON with the peer's keyword names.")
    var config: String?

    @Option(
        help:
            "Its weights under the peer's state-dict keys: a safetensors file, the index.json of several, or their folder."
    )
    var weights: String?

    /// Creates options without values, as the parser needs.
    package init() {}

    /// The model source that the options name.
    package var source: ModelSource {
        var source = ModelSource(run: run, model: model, config: config, weights: weights)
        source.note = showNote
        source.warn = showWarning
        return source
    }
}

/// The precision in which commands that only read weights hold them.
package struct WeightOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What the weights are rounded to: float (as they are), bfloat16 or int8. (default: float)",
            discussion: "Generation waits for the weights to be read: fewer bytes are more tokens a second.",
            valueName: "float|bfloat16|int8"))
    /// `--weights-as`: the format that weights are rounded to once they are read.
    package var weightsAs: String?

    /// Creates options without values, as the parser needs.
    package init() {}
}
