import ModelZoo
import Synchronization
import Testing

@testable import AttentionZooExperiments

@Suite struct RecallCellTests {
    private func options(steps: Int) -> RecallOptions {
        var options = RecallOptions()
        (options.steps, options.minutes) = (steps, nil)
        return options
    }

    /// Without what is a matter of time.
    private func untimed(_ outcome: RecallOutcome?) throws -> RecallOutcome {
        var outcome = try #require(outcome)
        outcome.seconds = 0
        return outcome
    }

    /// A small task that is over in a second: one pair of a key and a value, asked for at the end.
    private struct OnePair: RecallTask {
        let name = RecallTaskName.mqar
        let vocabulary = 8
        let chance = 0.25
        let trainingLengths = [4, 8]
        let testLengths = [4, 8, 16]

        func trainingSequence(of length: Int, key: RandomKey) -> RecallSequence {
            var random = SplitMix64(key)
            let (key, value) = (Int32(random.next(below: 4)), Int32(4 + random.next(below: 4)))
            let noise = (0..<length - 3).map { _ in Int32(random.next(below: 4)) }
            return RecallSequence(
                tokens: [key, value] + noise + [key],
                questions: [.init(place: length - 1, answer: [value], distance: length - 2)])
        }

        func testSequence(of length: Int, depth: Double?, key: RandomKey) -> RecallSequence {
            trainingSequence(of: length, key: key)
        }

        func guess(in sequence: RecallSequence) -> Double { 0.5 }
    }

    /// A record of the sequences that are asked of a task, and of the askers.
    private final class Record: Sendable {
        let sequences = Mutex<[RecallSequence]>([])
    }

    /// A task that keeps all that is made of it.
    private struct Recorded: RecallTask {
        let task = OnePair()
        let training = Record(), tests = Record()

        var name: RecallTaskName { task.name }
        var vocabulary: Int { task.vocabulary }
        var chance: Double { task.chance }
        var trainingLengths: [Int] { task.trainingLengths }
        var testLengths: [Int] { task.testLengths }

        func trainingSequence(of length: Int, key: RandomKey) -> RecallSequence {
            let sequence = task.trainingSequence(of: length, key: key)
            training.sequences.withLock { $0.append(sequence) }
            return sequence
        }

        func testSequence(of length: Int, depth: Double?, key: RandomKey) -> RecallSequence {
            let sequence = task.testSequence(of: length, depth: depth, key: key)
            tests.sequences.withLock { $0.append(sequence) }
            return sequence
        }

        func guess(in sequence: RecallSequence) -> Double { task.guess(in: sequence) }
    }

    @Test("Models of a task share training and test sequences, which the seed decides")
    func modelsTrainOnTheSame() throws {
        func run(_ id: String, seed: UInt64 = 3) throws -> (training: [RecallSequence], tests: [RecallSequence]) {
            let task = Recorded()
            _ = try RecallCell(task: .mqar, model: id)
                .run(task, options(steps: 3), seed: seed, progress: { _, _ in }, stop: { false })
            return (task.training.sequences.withLock { $0 }, task.tests.sequences.withLock { $0 })
        }
        let (local, fast) = try (run("local"), run("fast-weights"))
        #expect(local.training.count >= 3 * 512 && local.training == fast.training)
        #expect(local.tests.count >= 3 * 256 && local.tests == fast.tests)
        #expect(try run("local", seed: 4).training != local.training)
    }

    private func exam(_ id: String, steps: Int, rate: Double = 1e-2, seed: UInt64 = 1) -> (
        RecallExam, any LanguageModel
    ) {
        var options = options(steps: steps)
        options.learningRate = rate
        let key = RandomKey(seed: seed)
        let size = ModelSize(vocabulary: 8, width: 16, depth: 1, heads: 2, sequenceLength: 8, window: 4)
        let model = try! Zoo.architecture(id).makeModel(size, key: key.child(0))
        return (RecallExam(task: OnePair(), id: id, options: options, key: key), model)
    }

    @Test("A model that sees the value learns it, one that does not see it fails")
    func trainingTeachesWhatCanBeSeen() throws {
        let (exam, model) = exam("transformer", steps: 150)
        var shares: [Double] = []
        let outcome = try #require(try exam.run(model, progress: { share, _ in shares.append(share) }, stop: { false }))
        #expect(outcome.steps == 150 && outcome.fault == nil && outcome.reach == nil)
        #expect(outcome.trainingLength == 8 && outcome.model == "transformer" && outcome.chance == 0.25)
        #expect(outcome.accuracies.map(\.length) == [4, 8, 8, 16])
        #expect(outcome.accuracies.map(\.distance) == [nil, nil, 32, nil])
        #expect(outcome.accuracies.allSatisfy { $0.chance == 0.5 && $0.blindChance == nil })
        #expect(outcome.accuracies[1].asked == 256 && outcome.accuracies[1].share! > 0.95, "\(outcome.accuracies)")
        #expect(shares == shares.sorted() && shares.count > 150 && shares.last! <= 1)
        let (control, local) = self.exam("local", steps: 150)
        let blind = try #require(try control.run(local, progress: { _, _ in }, stop: { false }))
        #expect(blind.reach == 4)
        // At distances of 2, 6, 6 and 14.
        #expect(blind.accuracies.map(\.blindChance) == [nil, 0.25, 0.25, 0.25])
        // Within reach at length 4; six back, nobody can do better than one in four: 256 questions, four deviations.
        #expect(blind.accuracies[0].share! > 0.95, "\(blind.accuracies)")
        #expect(abs(blind.accuracies[1].share! - 0.25) < 0.11, "\(blind.accuracies)")
    }

    @Test("Linformer is asked at every length, as its form by segments has no longest")
    func linformerIsAskedAtEveryLength() throws {
        let (exam, model) = exam("linformer", steps: 2)
        let outcome = try #require(try exam.run(model, progress: { _, _ in }, stop: { false }))
        #expect(outcome.accuracies.map { $0.asked == nil } == [false, false, false, false])
        #expect(outcome.accuracies.last?.length == 16 && outcome.accuracies.last?.share != nil)
    }

    @Test("Divergence is a result with its step")
    func divergenceIsAResult() throws {
        let (exam, model) = exam("transformer", steps: 100, rate: 1e30)
        let outcome = try #require(try exam.run(model, progress: { _, _ in }, stop: { false }))
        #expect(outcome.steps < 100 && outcome.fault == "diverged after step \(outcome.steps)")
        #expect(outcome.accuracies.count == 4)
    }

    @Test("A stopped cell has no outcome", arguments: [1, 20, 32])
    func stoppedCellsHaveNoOutcome(_ last: Int) throws {
        let (exam, model) = exam("transformer", steps: 30)
        var asked = 0
        let outcome = try exam.run(
            model, progress: { _, _ in },
            stop: {
                asked += 1
                return asked == last
            })
        #expect(outcome == nil && asked == last)
    }

    @Test("The seed decides the outcome")
    func theSeedDecides() throws {
        func run(_ seed: UInt64) throws -> RecallOutcome {
            let (exam, model) = exam("fast-weights", steps: 20, seed: seed)
            return try untimed(try exam.run(model, progress: { _, _ in }, stop: { false }))
        }
        let first = try run(7)
        #expect(try run(7) == first)
        #expect(try run(8) != first)
    }

    @Test("Wrong options are named")
    func optionsAreChecked() {
        func message(_ change: (inout RecallOptions) -> Void) -> String {
            var options = RecallOptions()
            change(&options)
            do {
                _ = try RecallCell(task: .copying, model: "local").run(options, seed: 0)
                return ""
            } catch { return "\(error)" }
        }
        #expect(message { $0.steps = 0 } == "--steps: expected a whole number of at least 1, found 0")
        #expect(message { $0.minutes = -1 } == "--minutes: expected a number above 0, found -1.0")
        #expect(message { $0.minutes = nil } == "--minutes: expected a number above 0, found none")
        #expect(message { $0.learningRate = 0 } == "peak: expected a number above 0, found 0.0")
    }

    @Test("The targets of a window are the answers to all facts in it, and nothing else")
    func windowsOfTheCorpusAskForWhatTheyTell() throws {
        let corpus = Corpus(seed: 5, length: 40_000)
        let text = corpus.bytes.map(Int32.init)
        let windows = QuestionWindows(corpus, length: 512, count: 3)
        let batch = windows.batch(key: RandomKey(seed: 1))
        #expect(batch == windows.batch(key: RandomKey(seed: 1)))
        #expect(batch.shape == [3, 512] && batch != windows.batch(key: RandomKey(seed: 2)))
        for row in 0..<3 {
            let inputs = Array(batch.inputs[row * 512..<(row + 1) * 512])
            let targets = batch.targets[row * 512..<(row + 1) * 512]
            let start = (0..<text.count - 512).first { text[$0..<$0 + 512].elementsEqual(inputs) }!
            let expected = corpus.questions.filter {
                $0.fact.lowerBound >= start && $0.answer.lowerBound > start && $0.answer.upperBound <= start + 513
            }
            #expect(!expected.isEmpty)
            var rest = Array(targets)
            for question in expected {
                let places = question.answer.lowerBound - start - 1..<question.answer.upperBound - start - 1
                #expect(Array(rest[places]) == Array(text[question.answer]))
                rest.replaceSubrange(places, with: Array(repeating: ignoredTarget, count: places.count))
            }
            #expect(rest.allSatisfy { $0 == ignoredTarget })
        }
    }

    /// An earlier question would repeat the fact nearer than the distance says.
    @Test("Only the first question about each fact is asked")
    func theCorpusIsAskedForTheFirstTime() {
        let corpus = Corpus(seed: 5, length: 100_000)
        let first = CorpusQuestions.firstQuestions(corpus)
        let all = Dictionary(grouping: corpus.questions, by: \.fact)
        #expect(first.count == all.count && first.count < corpus.questions.count)
        for question in first {
            let fact = question.answer.lowerBound - question.distance
            let same = all.first { $0.key.lowerBound == fact }?.value ?? []
            #expect(same.map(\.answer.lowerBound).min() == question.answer.lowerBound)
        }
    }

    @Test("The corpus is asked by distance, as far as a window reaches")
    func theCorpusAsks() throws {
        let cell = RecallCell(task: .questions, model: "fast-weights")
        let outcome = try untimed(try cell.run(options(steps: 1), seed: 3))
        #expect(outcome.accuracies.map(\.distance) == [100, 300, 1000])
        #expect(outcome.accuracies.allSatisfy { $0.length == 1024 && $0.asked! > 100 && $0.depth == nil })
        #expect(outcome.chance == 1.0 / 16 && outcome.steps == 1 && outcome.trainingLength == 1024)
        #expect(try cell.run(options(steps: 1), seed: 3, stop: { true }) == nil)
    }
}
