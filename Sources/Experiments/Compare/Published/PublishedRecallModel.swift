import ModelZoo

/// A model at the published settings: two layers of mixer without feed-forward, one head, logits of the embeddings.
///
/// The configuration is the architecture's own for the size, with windows (groups, blocks, slots) of a quarter of the
/// sequence and a plain residual. Most architectures cannot leave out the feed-forward, so it has one hidden feature and
/// parameters of 0, which the training leaves as they are: the layer adds exactly nothing. A unit of FLASH is attention
/// and gate in one and stays whole.
///
/// The matrix of the logits is that of the embeddings, as in the paper: the model has two, which begin equal; the
/// optimizer updates one by both gradients and copies it.
struct PublishedRecallModel<Model: LanguageModel> {
    let model: Model
    /// The parameters that the optimizer updates, by their keys.
    let trained: [(key: String, parameter: Parameter)]
    let embeddings: Parameter
    /// The second matrix; nil where the model has one for both.
    let logits: Parameter?

    /// - Parameters:
    ///   - model: a new one of `PublishedRecallCell.configuration`.
    ///   - key: the source of the embeddings.
    init(_ model: Model, key: RandomKey) {
        let parameters = model.trainable
        let matrices = parameters.filter { $0.parameter.shape.first == PublishedRecall.vocabulary }
            .filter { $0.parameter.shape.count == 2 }
        require(
            (1...2).contains(matrices.count),
            "PublishedRecallModel: \(matrices.map(\.key)) are no embeddings and logits")
        self.model = model
        embeddings = matrices[0].parameter
        logits = matrices.count == 2 ? matrices[1].parameter : nil
        trained = parameters.filter { !Self.isFeedForward($0.key) && $0.key != matrices.dropFirst().first?.key }
        for (key, parameter) in parameters where Self.isFeedForward(key) { parameter.assign(.zeros(parameter.shape)) }
        embeddings.assign(.normal(embeddings.shape, standardDeviation: 0.02, key: key))
        logits?.assign(embeddings.value)
    }

    /// Returns true if a key belongs to the feed-forward of a layer, or to the norm before it: layers.i.ff.…,
    /// layers.i.1.….
    static func isFeedForward(_ key: String) -> Bool {
        let parts = key.split(separator: ".")
        guard let layers = parts.firstIndex(of: "layers"), layers + 2 < parts.count else { return false }
        return ["ff", "1", "feed_forward", "norm_ff"].contains(parts[layers + 2])
    }

    var parameterCount: Int { trained.reduce(0) { $0 + $1.parameter.count } }

    /// Makes one step.
    /// - Returns: the loss; nil where it or a gradient is not finite, and nothing was updated then.
    func step(_ batch: TokenBatch, _ optimizer: Optimizer, learningRate: Double, key: RandomKey) -> Double? {
        let (loss, gradients) = gradients(batch, key: key)
        guard loss.isFinite, optimizer.globalNorm(of: gradients).isFinite else { return nil }
        optimizer.update(gradients, learningRate: learningRate)
        tie()
        return loss
    }

    /// The mean loss of the answers and its gradients; that of the embeddings is the sum of both matrices'.
    func gradients(_ batch: TokenBatch, key: RandomKey) -> (loss: Double, gradients: Gradients) {
        var carries: [Model.Carry?] = []
        let step = model.stepGradients(of: [batch], carries: &carries, key: key)
        var gradients = step.gradients
        if let logits, let own = gradients[embeddings], let other = gradients[logits] {
            gradients[embeddings] = own + other
        }
        return (step.loss, gradients)
    }

    /// Copies the embeddings to the logits.
    func tie() { logits?.assign(embeddings.value) }

    /// Answers the questions of sequences of one length.
    func test(_ sequences: [RecallSequence]) -> PublishedRecallOutcome.Test {
        let batch = TokenBatch(sequences)
        let places = batch.targets.indices.filter { batch.targets[$0] != ignoredTarget }
        let targets = places.map { batch.targets[$0] }
        return withoutGradients {
            let predictions = model.predictions(TokenTensor(batch.inputs, shape: batch.shape), mode: .inference)
            let (losses, likeliest) = predictions.taking(places.map { Int32($0) }).tokenLosses(TokenTensor(targets))
            return .init(
                asked: places.count, found: zip(likeliest.values, targets).count { $0 == $1 },
                loss: Double(losses.values.reduce(0, +)) / Double(max(places.count, 1)))
        }
    }
}

extension PublishedRecallCell {
    static let layers = 2

    /// The JSON form of the cell's model, in which `--set` has the last word.
    /// - Throws: `InputError` for an architecture that does not exist.
    func configuration(_ settings: ModelSettings = .init()) throws -> JSONValue {
        let size = ModelSize(
            vocabulary: PublishedRecall.vocabulary, width: width, depth: Self.layers, heads: 1,
            sequenceLength: length, window: max(2, length / 4))
        let configuration = try Zoo.architecture(model).configuration(size).json.replacing([
            "depth": .integer(Self.layers), "num_residual_streams": .integer(1),
            "d_ff": .integer(0), "include_ff": .bool(false),
            // One hidden feature, of a hidden width of dim · mult or two thirds of it.
            "ff_mult": .number(1.9 / Double(width)),
        ])
        return settings.applied(to: configuration)
    }

    /// The cell's model with initial parameters.
    /// - Throws: `InputError` for an architecture that does not exist, or a width that it cannot have.
    func makeModel(_ settings: ModelSettings = .init(), key: RandomKey) throws -> any LanguageModel {
        try Zoo.architecture(model).makeModel(
            try configuration(settings), file: "\(model) of width \(width)", key: key)
    }
}
