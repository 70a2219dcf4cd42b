import NN
import Tensors
import Testing

@testable import Trainer

/// Training on streams with a model that carries something from segment to segment.
@Suite struct StreamTrainingTests {
    let options = TrainingOptions(
        order: .sequential, sequenceLength: 5, batchSize: 3, accumulate: 2, length: .steps(9), learningRate: 0.05,
        validateEvery: 0, sampleEvery: 0, saveEvery: 0)

    func split(_ text: String = someText(40)) throws -> DataSplit {
        try byteSplit(text, sequenceLength: 5, validationFraction: 0)
    }

    func losses(_ run: TrainingRun<Trigram>, until last: Int = .max) throws -> [Double] {
        var losses: [Double] = []
        try run.train(until: last) { if case .step(let metrics, _) = $0 { losses.append(metrics.loss) } }
        return losses
    }

    @Test("Rows continue with their carries, also in windows cut into segments", arguments: [nil, 2, 3] as [Int?])
    func rowsContinueWithWhatTheyCarry(maximumLength: Int?) throws {
        // With a learning rate of next to nothing, the first epoch's losses are those of the whole text at once, but for
        // what stands before each row's part.
        var options = options
        (options.learningRate, options.batchSize, options.accumulate) = (1e-30, 1, 1)
        let split = try split()
        let targets = split.training.count - 1
        options.length = .epochs(1)
        let model = Trigram()
        let run = try TrainingRun(
            Trigram(maximumLength: maximumLength), on: split, tokenizer: ByteTokenizer(), options: options)
        #expect(run.totalSteps == (targets + 4) / 5)
        let found = try losses(run)
        let tokens = try split.training[0..<split.training.count]
        let whole = model.loss(
            TokenTensor(Array(tokens.dropLast()), shape: [1, targets]),
            TokenTensor(Array(tokens.dropFirst()), shape: [1, targets]))
        let mean = zip(found, found.indices).reduce(0.0) {
            $0 + $1.0 * Double(min(5, targets - $1.1 * 5)) / Double(targets)
        }
        #expect(abs(mean - Double(whole.item)) <= 1e-5)  // sums of float32 losses of about 5.5 in another order
        #expect(run.tokens == targets)
        // Without carrying, the first token of each segment would be predicted from token 0.
        options.order = .random
        let random = try losses(
            TrainingRun(
                Trigram(maximumLength: maximumLength), on: split, tokenizer: ByteTokenizer(), options: options))
        #expect(random != found)
    }

    @Test(
        "A run resumed after any step continues exactly, with carries and position",
        arguments: 1..<9, [nil, 2] as [Int?])
    func goesOnExactlyWithCarriesAndPosition(after step: Int, maximumLength: Int?) throws {
        let folder = try TemporaryFolder()
        let whole = Trigram(maximumLength: maximumLength)
        let expected = try losses(TrainingRun(whole, on: split(), tokenizer: ByteTokenizer(), options: options))
        #expect(expected.count == 9)
        let path = folder.path + "/run"
        var found: [Double] = []
        do {
            let run = try TrainingRun(
                Trigram(maximumLength: maximumLength), on: split(), tokenizer: ByteTokenizer(), options: options,
                folder: path)
            found += try losses(run, until: step)
        }
        let other = Trigram(seed: 77, maximumLength: maximumLength)
        let run = try TrainingRun(resuming: RunFolder(path: path), other, on: split(), tokenizer: ByteTokenizer())
        found += try losses(run)
        #expect(found == expected)
        #expect(other.state.map(\.parameter.value.values) == whole.state.map(\.parameter.value.values))
    }

    @Test("A row's carry ends with its document")
    func whatARowCarriesEndsWithItsDocument() throws {
        // Every document begins with a token that only token 0 before it foretells; what the row read before would not.
        let text = (0..<60).map { "\($0 % 10)ab\n" }.joined()
        let tokens = try ByteTokenizer().tokens(of: TextSource(text, name: "a text")).separated(by: .marker(10))
        // Segments that end with their document, so that what they leave is not padding.
        let split = try DataSplit(tokens, validationFraction: 0, sequenceLength: 3)
        var options = options
        options.sequenceLength = 3
        (options.learningRate, options.batchSize, options.accumulate) = (1e-30, 2, 1)
        options.length = .epochs(1)
        let model = Trigram()
        let run = try TrainingRun(model, on: split, tokenizer: ByteTokenizer(), options: options)
        let found = try losses(run)
        #expect(run.tokens == 180)  // of each line of four tokens all but the first
        // Line by line, from nothing.
        let lines = text.split(separator: "\n").map { line in
            let tokens = (line + "\n").utf8.map(Int32.init)
            return Double(
                model.loss(
                    TokenTensor(Array(tokens.dropLast()), shape: [1, 3]),
                    TokenTensor(Array(tokens.dropFirst()), shape: [1, 3])
                ).item)
        }
        let mean = found.reduce(0, +) / Double(found.count)
        #expect(found.count == 30)
        #expect(abs(mean - lines.reduce(0, +) / 60) <= 1e-5)  // as above
    }

    @Test("Carries of a checkpoint that do not fit are named")
    func carriesOfACheckpointThatDoNotFitAreNamed() throws {
        expectError("file: carry \"7/token\": expected a row from 0 to 2 and a name") {
            try SavedCarries.carries(from: ["7/token": Tensor([1])], rows: 3, file: "file") as [Trigram.Carry?]
        }
        expectError("file: the carry of row 1: a carry without token") {
            try SavedCarries.carries(from: ["1/other": Tensor([1])], rows: 3, file: "file") as [Trigram.Carry?]
        }
    }
}
