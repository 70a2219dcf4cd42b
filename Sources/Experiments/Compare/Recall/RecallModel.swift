import ModelZoo

extension ModelSize {
    /// Returns the size that models share on the tasks of recall: small enough to be trained in minutes, with windows
    /// short enough that a local model does not see a whole sequence of the training.
    /// - Parameter length: tokens in a sequence of the training.
    static func recall(vocabulary: Int, length: Int) -> ModelSize {
        ModelSize(vocabulary: vocabulary, width: 64, depth: 2, heads: 2, sequenceLength: length, window: 32)
    }
}

extension Architecture {
    /// The model of a size, with as many parameters as the baseline has at that width.
    func recallModel(_ size: ModelSize, key: RandomKey) throws -> any LanguageModel {
        let baseline = try Zoo.architecture("transformer").makeModel(size, key: key).parameterCount
        return try makeModel(fitting(size, parameters: baseline).size, key: key)
    }
}

extension LanguageModel {
    /// The number of tokens before itself that a token can see at all, through all layers; nil without such a limit.
    var reach: Int? { (self as? LocalTransformer).map(\.configuration.reach) }
}

extension LocalConfiguration {
    /// A layer sees whole windows, so that layers add up in windows: the last token of a window sees all of its own and of
    /// look_backward others for each layer. With exact windows layers add up in tokens.
    var reach: Int {
        let (window, back) = (attention.attention.windowSize, depth * attention.attention.lookBackward)
        return attention.attention.isExact ? back * window : back * window + window - 1
    }
}
