import Tensors

// Inputs that do not fit stop with the shapes that were expected.

extension MHAttention {
    func check(_ x: Tensor, isGiven: Bool, _ context: Tensor, _ mask: Tensor?) {
        require(x.rank == 3 && x.shape[2] == channels, "MHAttention: x \(x.shape), expected [b, n, \(channels)]")
        require(
            isGiven == isDecoder,
            "MHAttention: \(isDecoder ? "a decoder needs embeddings" : "embeddings are for a decoder")")
        let width = toKeys.parts[0].shape[1]
        require(
            context.rank == 3 && context.shape[0] == x.shape[0] && context.shape[2] == width,
            "MHAttention: embeddings \(context.shape), expected [\(x.shape[0]), n, \(width)]")
        let longest = configuration.longest(isDecoder: isDecoder)
        require(
            configuration.isUnlimited || context.shape[1] <= longest,
            "MHAttention: \(context.shape[1]) tokens to attend to; expected at most the \(longest) of E and F")
        require(
            mask == nil || mask!.shape == Array(context.shape.prefix(2)),
            "MHAttention: mask \(mask?.shape ?? []), expected \(Array(context.shape.prefix(2)))")
    }
}

extension Linformer {
    func checkInput(_ x: Tensor, _ embeddings: Tensor?) {
        require(
            x.rank == 3 && x.shape[2] == configuration.channels,
            "Linformer: x \(x.shape), expected [b, n, \(configuration.channels)]")
        require(
            configuration.isUnlimited || x.shape[1] <= configuration.inputSize,
            "Linformer: \(x.shape[1]) tokens, but input_size is \(configuration.inputSize)")
        require(
            (embeddings != nil) == configuration.isDecoder,
            configuration.isDecoder
                ? "Linformer: a decoder needs embeddings" : "Linformer: embeddings need decoder_mode")
    }
}
