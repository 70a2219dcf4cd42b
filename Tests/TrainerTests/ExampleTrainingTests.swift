import NN
import Tensors
import Testing

@testable import Trainer

/// Training on batches that a function makes.
@Suite struct ExampleTrainingTests {
    private let key = RandomKey(seed: 4)

    private func training(_ length: TrainingLength, rate: Double = 1e-2, warmup: Int = 0) throws -> ExampleTraining {
        ExampleTraining(
            length, try LearningRateSchedule(.constant, peak: rate, warmupSteps: warmup), clip: 1, key: key)
    }

    /// Each token's target is the token plus one.
    private func batch(_ index: Int) -> TokenBatch {
        let tokens = key.child(index).integers(24).map { Int32($0 % 5) }
        return TokenBatch(
            inputs: tokens, targets: tokens.map { ($0 + 1) % 5 }, shape: [2, 12], startsDocument: [true, true],
            textCount: 24)
    }

    @Test("The model learns from the batches, which are asked for once each and in order")
    func itLearnsWhatTheFunctionShows() throws {
        let model = Bigram(vocabulary: 5)
        var numbers: [Int] = []
        var losses: [Double] = []
        let end = try training(.steps(120)).train(
            model,
            batch: {
                numbers.append($0)
                return batch($0)
            }, report: { losses.append($0.loss) })
        #expect(end.steps == 120 && !end.isStopped && !end.isDiverged && end.loss == losses.last)
        #expect(numbers == Array(0..<120) && losses.count == 120)
        #expect(losses[0] > 1 && losses.last! < 0.1, "\(losses)")
    }

    @Test("A step equals the trainer's gradients, clipping, and update by hand")
    func aStepIsTheTrainers() throws {
        let (one, other) = (Bigram(vocabulary: 5), Bigram(vocabulary: 5))
        _ = try training(.steps(3), rate: 0.1, warmup: 2).train(one, batch: batch)
        let optimizer = Optimizer(other.trainable, .adam())
        for (step, rate) in [0.05, 0.1, 0.1].enumerated() {
            var carries: [NoCarry?] = []
            let result = other.stepGradients(of: [batch(step)], carries: &carries, key: key.child(step))
            let norm = optimizer.globalNorm(of: result.gradients)
            optimizer.update(
                result.gradients, learningRate: rate, scale: Optimizer.clippingScale(norm: norm, limit: 1))
        }
        for (a, b) in zip(one.trainable, other.trainable) {
            #expect(a.parameter.value.values == b.parameter.value.values)
        }
    }

    @Test("Training ends when the caller stops it or its time is over")
    func itEnds() throws {
        let model = Bigram(vocabulary: 5)
        var steps = 0
        let stopped = try training(.steps(50)).train(
            model, batch: batch, report: { steps = $0.steps }, stop: { steps == 7 })
        #expect(stopped.isStopped && stopped.steps == 7)
        // Time is over after the first step, whatever it took.
        let timed = try training(.minutes(1e-12)).train(model, batch: batch)
        #expect(timed.steps == 1 && timed.seconds > 0 && !timed.isStopped)
    }

    @Test("Training ends at a loss that is not finite, which changes nothing")
    func divergenceEnds() throws {
        let model = Bigram(vocabulary: 5)
        var before: [[Float]] = []
        let end = try training(.steps(9)).train(
            model, batch: batch,
            report: { progress in
                guard progress.steps == 4 else { return }
                model.trainable[0].parameter.assign(model.trainable[0].parameter.value * .nan)
                before = model.trainable.map(\.parameter.value.values)
            })
        #expect(end.isDiverged && end.steps == 4 && end.loss.isFinite)
        let after = model.trainable.map(\.parameter.value.values)
        #expect(zip(before, after).dropFirst().allSatisfy { $0 == $1 })
    }
}
