import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

/// The code of the DocC articles, compiled and run. `folder` and `path` are the reader's.
@Suite("Code of the articles") struct ArticleTests {
    private let text: TextSource
    private let model: FLASHTransformer
    private let configuration: FLASHConfiguration

    init() throws {
        text = try TextSource(String(repeating: "To be, or not to be, that is the question. ", count: 50), name: "text")
        var configuration = FLASHConfiguration(tokens: 256, dimension: 32, depth: 2)
        configuration.isCausal = true
        self.configuration = configuration
        model = FLASHTransformer(configuration, key: RandomKey(seed: 1))
    }

    private func newFolder() -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    }

    @Test(
        "Articles show this code",
        arguments: [
            ("ModelZoo/ModelZoo.docc/GettingStarted.md", "ArticleTests.swift"),
            ("ModelZoo/ModelZoo.docc/Training.md", "ArticleTests.swift"),
            ("ModelZoo/ModelZoo.docc/FineTuning.md", "ArticleTests.swift"),
            ("ModelZoo/ModelZoo.docc/Generation.md", "ArticleTests.swift"),
            ("ModelZoo/ModelZoo.docc/Checkpoints.md", "ArticleTests.swift"),
            ("NN/NN.docc/ModelOfYourOwn.md", "RunningMean.swift"),
            ("Tensors/Tensors.docc/OperationOfYourOwn.md", "GatedResidual.swift"),
        ])
    func articlesShowThisCode(_ article: String, _ source: String) throws {
        try expectCode(inArticle: "Sources/\(article)", of: "Tests/ModelZooTests/Articles/\(source)")
    }

    @Test("Getting started: trains, generates, and makes a model by name")
    func gettingStarted() async throws {
        let folder = newFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let text = try TextSource(
            String(repeating: "To be, or not to be, that is the question. ", count: 50), name: "the text")
        var configuration = FLASHConfiguration(tokens: 256, dimension: 32, depth: 2)
        configuration.isCausal = true
        let model = FLASHTransformer(configuration, key: RandomKey(seed: 1))
        let options = TrainingOptions(sequenceLength: 32, batchSize: 4, length: .steps(20), learningRate: 1e-3)
        for try await step in model.fit(text, options: options, folder: folder).metrics {
            print(step.step, step.bitsPerByte)
        }
        for try await piece in model.textStream("To be", length: 40, tokenizer: ByteTokenizer()) {
            print(piece, terminator: "")
        }

        let preset = try FastWeightsArchitecture().preset("tiny")
        let tiny = FastWeightsLM(preset.configuration, key: RandomKey(seed: 0))
        print(tiny.parameterCount, preset.training.sequenceLength)

        let small = try Zoo.architecture("local").makeModel(preset: "small", key: RandomKey(seed: 0))
        print(small.parameterCount)
        #expect(small.vocabularySize == 256)
        #expect(FileManager.default.fileExists(atPath: try RunFolder(path: folder).configurationPath))
    }

    @Test("Training: events are read, and the run is resumed to a greater length")
    func training() async throws {
        let folder = newFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var options = TrainingOptions(sequenceLength: 32, batchSize: 4, length: .steps(6), learningRate: 1e-3)
        options.optimizer = .adamW(weightDecay: 0.1)
        (options.schedule, options.warmupSteps) = (.cosine, 2)
        (options.validateEvery, options.saveEvery) = (3, 3)
        for try await event in model.fit(text, options: options, folder: folder) {
            switch event {
            case .step(let metrics, _):
                print(metrics.step, metrics.loss, metrics.extra["validation_bits_per_byte"] ?? "")
            case .saved(let step, let folder): print("saved step \(step) in \(folder)")
            case .warning(let text): print(text)
            default: break
            }
        }

        options.length = .steps(9)
        let last = try await model.fit(text, options: options, folder: folder, resumes: true).run()
        #expect(last?.step == 9)
    }

    @Test("Fine-tuning: what is frozen stays, and adapters move from model to model")
    func fineTuning() async throws {
        let (folder, adapters) = (newFolder(), newFolder())
        defer { for path in [folder, adapters] { try? FileManager.default.removeItem(atPath: path) } }
        let options = TrainingOptions(sequenceLength: 32, batchSize: 4, length: .steps(3), learningRate: 1e-3)
        let before = model.state.map(\.parameter.value.values)
        let trained = try model.freeze(allBut: ["layers.1.*", "to_logits.*"])
        let origin = RunOrigin(model: "flash", configuration: configuration)
        try await model.fit(text, options: options, folder: folder, origin: origin).run()
        for ((key, parameter), values) in zip(model.state, before) where !trained.contains(key) {
            #expect(parameter.value.values == values, "\(key)")
        }
        let run = try Run(opening: folder)
        print(try run.generate("To be", length: 20))
        let base = try run.model(as: FLASHTransformer.self)
        var wider = configuration
        wider.tokens = 300
        let other = FLASHTransformer(wider, key: RandomKey(seed: 5))
        let report = try other.load(from: run.folder.weightsPath, .matching, excluding: "to_logits.*")
        print(report.taken, report.missing, report.misshaped, report.unused)
        let rest = base.trainable.map(\.key).filter { !$0.hasPrefix("to_logits.") && $0 != "token_emb.weight" }
        #expect(report.misshaped.count == 1 && report.taken.filter(rest.contains) == rest && report.missing == [])
        model.unfreeze()
        var slow = options
        slow.optimizer = .adamW(weightDecay: 0.1)
        slow.optimizer.noDecay = [.norms, .biases, .embeddings]
        slow.groups = [ParameterGroup("to_logits.*", rateFactor: 10)]
        try await model.fit(text, options: slow).run()
        let optimizer = Optimizer(
            model.trainable, .adamW(weightDecay: 0.1), groups: [ParameterGroup("to_logits.*", rateFactor: 10)],
            withoutDecay: model.withoutDecay)
        #expect(optimizer.options.weightDecay == 0.1)
        try await adapted(options, into: adapters)
    }

    private func adapted(_ options: TrainingOptions, into folder: String) async throws {
        let copy = FLASHTransformer(configuration, key: RandomKey(seed: 2))
        for (one, other) in zip(copy.state, model.state) where one.parameter.kind != .computed {
            one.parameter.assign(other.parameter.value)
        }
        let keys = try model.addAdapters(matching: ["*.to_hidden.0", "*.to_out"], rank: 4, key: RandomKey(seed: 3))
        try await model.fit(text, options: options).run()
        try model.saveAdapters(to: folder)
        #expect(keys.count == 4)
        let tokens = TokenTensor([7, 3, 5], shape: [1, 3])
        let plain = copy(tokens, mode: .inference)
        try copy.loadAdapters(from: folder)
        copy.mergeAdapters()
        let (own, other) = (model(tokens, mode: .inference), copy(tokens, mode: .inference))
        #expect(own.isClose(to: other, absolute: 1e-4) && !own.isClose(to: plain, absolute: 1e-4))
    }

    @Test("Generation: two calls with a state give the text of one")
    func generation() async throws {
        let sampling = SamplingOptions(temperature: 0.8, topK: 40, seed: 1)
        for try await piece in model.textStream("To be", length: 30, tokenizer: ByteTokenizer(), sampling: sampling) {
            print(piece, terminator: "")
        }

        var state: GenerationState<FLASHTransformer>?
        let first = try model.generate(
            "To be", state: &state, length: 20, tokenizer: ByteTokenizer(), sampling: sampling)
        let second = try model.generate(state: &state, length: 10, tokenizer: ByteTokenizer(), sampling: sampling)
        var whole: GenerationState<FLASHTransformer>?
        let both = try model.generate(
            "To be", state: &whole, length: 30, tokenizer: ByteTokenizer(), sampling: sampling)
        #expect(first + second == both)
    }

    @Test("Checkpoints: a copy predicts the same")
    func checkpoints() throws {
        let path = newFolder() + ".safetensors"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try model.save(to: path, metadata: ["note": "of an article"])
        let copy = FLASHTransformer(configuration, key: RandomKey(seed: 2))
        let report = try copy.load(from: path)
        let tokens = TokenTensor([7, 3, 5], shape: [1, 3])
        #expect(copy(tokens, mode: .inference).values == model(tokens, mode: .inference).values)
        #expect(report.fileCount == 1)
    }

    @Test("A model of one's own decodes as it predicts, and learns")
    func modelOfYourOwn() async throws {
        let own = RunningMean(RunningMeanConfiguration(tokens: 256, dimension: 8), key: RandomKey(seed: 1))
        let tokens: [Int32] = [7, 3, 5, 250]
        var states = [own.startDecoding()]
        let decoded = own.decode([tokens], states: &states)
        let predicted = own(TokenTensor(tokens, shape: [1, 4]), mode: .inference).at(1, 3)
        // Sums of 8 and of 4 terms, in other orders.
        for (a, b) in zip(decoded.values, predicted.values) { #expect(abs(a - b) < 1e-5) }
        let options = TrainingOptions(sequenceLength: 16, batchSize: 2, length: .steps(30), learningRate: 1e-2)
        var losses: [Double] = []
        for try await metrics in own.fit(text, options: options).metrics { losses.append(metrics.loss) }
        #expect(losses.last! < losses.first!)
    }

    @Test("An operation of one's own has the values and gradients of its composition")
    func operationOfYourOwn() throws {
        let key = RandomKey(seed: 3)
        // Numbers of 3 bits: products and sums of few of them are exact; what tanh rounds is in both.
        let leaves = [[3, 5], [3, 5], [1]].enumerated().map { index, shape in
            let x = Tensor.uniform(shape, low: -1, high: 1, key: key.child(index))
            return Tensor(x.values.map { ($0 * 4).rounded() / 4 }, shape: shape).requiringGradient()
        }
        let own = gatedResidual(leaves[0], leaves[1], gate: leaves[2])
        let plain = leaves[0] + tanh(leaves[2]) * leaves[1]
        #expect(own.shape == plain.shape)
        let seed = Tensor.uniform([3, 5], low: -1, high: 1, key: key.child(3))
        let (a, b) = (gradients(of: own, seed: seed), gradients(of: plain, seed: seed))
        let pairs = [(own, plain)] + (try leaves.map { (try #require(a[$0]), try #require(b[$0])) })
        // Up to 17 roundings of sums of terms below 1: 17 · 15 · 2⁻²⁴.
        for (got, expected) in pairs {
            for (x, y) in zip(got.values, expected.values) { #expect(abs(x - y) < 1.6e-5) }
        }
    }

    @Test("An operation from vector kernels agrees with its composition and with differences")
    func vectorKernels() throws {
        let key = RandomKey(seed: 4)
        let inputs = [[3, 5], [3, 5], [5]].enumerated().map { index, shape in
            let x = Tensor.uniform(shape, low: -1, high: 1, key: key.child(index))
            return Tensor(x.values.map { ($0 * 1024).rounded() / 1024 }, shape: shape)
        }
        #expect(checkGradients(of: { gatedNorm($0[0], gate: $0[1], weight: $0[2]) }, at: inputs) == [])
        // x twice: both gradients meet in one buffer.
        #expect(checkGradients(of: { gatedNorm($0[0], gate: $0[0], weight: $0[1]) }, at: [inputs[0], inputs[2]]) == [])
        // More than one block of rows.
        let big = [[50, 600], [50, 600], [600]].enumerated().map {
            Tensor.normal($1, key: key.child(10 + $0)).requiringGradient()
        }
        let own = gatedNorm(big[0], gate: big[1], weight: big[2])
        let plain = rmsNorm(big[0], weight: big[2], epsilon: 1e-6) * silu(big[1])
        #expect(own.isClose(to: plain, absolute: 1e-6))
        let seed = Tensor.normal([50, 600], key: key.child(20))
        let (a, b) = (gradients(of: own, seed: seed), gradients(of: plain, seed: seed))
        for input in big {
            // Gradients are of order 1; sums of 600 terms, and of 50 rows for the weight.
            #expect(try #require(a[input]).isClose(to: try #require(b[input]), absolute: 2e-5))
        }
        // The weight alone.
        let alone = gradients(of: gatedNorm(big[0].detached(), gate: big[1].detached(), weight: big[2]), seed: seed)
        #expect(alone[big[2]]?.values == a[big[2]]?.values)
        #expect(gatedNorm(.zeros([0, 5]), gate: .zeros([0, 5]), weight: .ones([5])).shape == [0, 5])
    }
}
