import NN
import Tensors

extension LanguageModel {
    /// Checks weights from elsewhere against their origin: runs one batch of a safetensors file and writes what comes out,
    /// dropout off.
    ///
    /// - Parameters:
    ///   - input: holds `tokens` [b, n] and `targets` [b, n], integers, and nothing else.
    ///   - output: gets `logits` [b, n, vocabulary], `loss` [1], the mean cross-entropy in nats, and one
    ///     `gradients/<state-dict key>` for each trainable parameter if wanted (zeros where the loss does not depend on it).
    ///   - metadata: the output's `__metadata__`.
    /// - Throws: `InputError` that names file and entry when one is missing, superfluous, of a wrong type or shape, or holds
    ///   tokens outside the vocabulary.
    public func evaluateBatch(
        _ input: String, output: String, gradients wantsGradients: Bool = false, metadata: [String: String] = [:]
    ) throws {
        let (tokens, targets) = try readBatch(SafetensorsFile(path: input))
        var writer = SafetensorsWriter(metadata: metadata)
        try writer.add("logits", withoutGradients { self(tokens, mode: .inference) })
        if wantsGradients {
            let loss = self.loss(tokens, targets)
            try writer.add("loss", loss.detached().reshaped([1]))
            let gradients = Tensors.gradients(of: loss)
            for (key, parameter) in trainable {
                try writer.add("gradients/" + key, gradients[parameter] ?? .zeros(parameter.shape))
            }
        } else {
            let loss = withoutGradients { self.loss(tokens, targets) }
            try writer.add("loss", loss.reshaped([1]))
        }
        try writer.write(to: output)
    }

    private func readBatch(_ file: SafetensorsFile) throws -> (tokens: TokenTensor, targets: TokenTensor) {
        let expected = "expected \"tokens\" and \"targets\", integers of one shape [batch, length]"
        if let other = file.names.sorted().first(where: { !["tokens", "targets"].contains($0) }) {
            throw InputError("\(file.path): has an entry \(JSONValue.quoted(other)); \(expected)")
        }
        func ignores(_ target: Int32) -> Bool { target == ignoredTarget || target == ignoreIndex }
        func read(_ name: String, _ shape: [Int]?) throws -> TokenTensor {
            guard let entry = file.entries[name] else {
                throw InputError("\(file.path): \(JSONValue.quoted(name)) is missing; \(expected)")
            }
            guard entry.shape.count == 2, entry.count > 0, shape == nil || shape == entry.shape else {
                let wanted = shape.map { "the shape \($0) of \"tokens\"" } ?? "a shape [batch, length]"
                throw InputError("\(file.path): \(JSONValue.quoted(name)): expected \(wanted), found \(entry.shape)")
            }
            let tokens = try file.tokens(name)
            let counted = name == "targets" ? TokenTensor(tokens.values.filter { !ignores($0) }) : tokens
            if let token = counted.firstOutside(vocabularySize) {
                throw InputError(
                    "\(file.path): \(JSONValue.quoted(name)): \(token) is outside the model's vocabulary;"
                        + " expected 0 to \(vocabularySize - 1)")
            }
            return tokens
        }
        let tokens = try read("tokens", nil)
        if !carriesState, let most = maximumLength, tokens.shape[1] > most {
            throw InputError(
                "\(file.path): \"tokens\": expected at most \(most) in a row, the longest the model's configuration allows,"
                    + " found \(tokens.shape[1])")
        }
        return (tokens, try read("targets", tokens.shape))
    }
}
