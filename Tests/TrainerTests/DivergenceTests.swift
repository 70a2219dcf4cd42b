import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// Numbers that are not finite end a training in one way, whoever meets them first.
@Suite("Divergence") struct DivergenceTests {
    let temporary = try! TemporaryFolder()

    /// The first event that can find broken weights: the step itself or one after it.
    enum Finder: CaseIterable { case step, validation, sample, save }

    /// Steps that are so wide that the first breaks the weights; `finder` alone looks at them before the second.
    private func options(steps: Int = 9, meeting finder: Finder? = nil, rate: Double = 1e39) -> TrainingOptions {
        TrainingOptions(
            sequenceLength: 16, batchSize: 2, length: .steps(steps), optimizer: .sgd(), learningRate: rate,
            validateEvery: finder == .validation ? 1 : 0, sampleEvery: finder == .sample ? 1 : 0,
            saveEvery: finder == .save ? 1 : 0, keepCheckpoints: 9, seed: 7)
    }

    /// Trains to the fault.
    private func fault(
        _ options: TrainingOptions, folder: String?, changing change: (Bigram, StepMetrics) -> Void = { _, _ in }
    ) throws -> TrainingFault {
        let run = try TrainingRun(
            Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(), options: options,
            folder: folder.map { temporary.path + "/" + $0 })
        var events: [String] = []
        let fault = try #require(throws: TrainingFault.self) {
            try run.train {
                events.append($0.name)
                if case .step(let metrics, _) = $0 { change(run.model, metrics) }
            }
        }
        #expect(fault.kind == .notFinite && !events.contains("finished"))
        #expect(!fault.message.contains("\n"))
        return fault
    }

    @Test("Weights that are not finite give the same message whoever meets them")
    func oneMessage() throws {
        let messages = try Finder.allCases.map { finder in
            let fault = try fault(options(meeting: finder), folder: "\(finder)")
            return fault.message.replacing("\(temporary.path)/\(finder)", with: "RUN")
        }
        #expect(Set(messages).count == 1, "\(messages)")
        #expect(messages[0].hasPrefix("after step 1: the parameter table.weight holds "))
        #expect(
            messages[0].hasSuffix(
                "; step 0 is saved: go on from it with TrainingRun(resuming: RUN) and learningRate 5e+38, or with a lower clip"
                    + "; if the same comes again, look at the model's configuration"))
    }

    @Test("A last step that broke the weights has not finished the training", arguments: ["run", nil])
    func theLastStep(_ folder: String?) throws {
        let fault = try fault(options(steps: 1), folder: folder)
        #expect(fault.message.hasPrefix("after step 1: the parameter table.weight holds "))
        #expect(folder != nil || fault.message.hasSuffix("; try a lower learning rate, or clipping"))
    }

    @Test("Logits of a sample that are not finite are a divergence")
    func aSample() throws {
        var options = options(rate: 0.5)
        (options.sampleEvery, options.saveEvery) = (4, 2)
        let fault = try fault(options, folder: "run") { model, metrics in
            // Finite weights, whose products are not.
            for parameter in [model.table.weight, model.output.weight] where metrics.step == 4 {
                for i in 0..<parameter.count { parameter.value.mutablePointer[i] = 1e30 }
            }
        }
        #expect(
            fault.message
                == "after step 4: a sample's logits are not finite, while weights are finite, the largest of them 1e+30 in"
                + " table.weight; step 2 is saved: go on from it with TrainingRun(resuming: \(temporary.path)/run) and learningRate"
                + " 0.25, or with a lower clip")
    }

    @Test("Numbers that are bad from the first step on are not blamed on the learning rate", arguments: ["run", nil])
    func fromTheFirstStepOn(_ folder: String?) throws {
        let model = Bigram()
        for parameter in [model.table.weight, model.output.weight] {
            for i in 0..<parameter.count { parameter.value.mutablePointer[i] = 1e30 }
        }
        let run = try TrainingRun(
            model, on: byteSplit(), tokenizer: ByteTokenizer(), options: options(rate: 0.5),
            folder: folder.map { temporary.path + "/" + $0 })
        let fault = try #require(throws: TrainingFault.self) { try run.train() }
        #expect(fault.kind == .notFinite)
        #expect(
            fault.message.hasSuffix(
                "; nothing has been learned yet, so a lower learning rate would not help: look at the model's configuration"
                    + " and its initial weights"), "\(fault.message)")
        #expect(fault.message.hasPrefix("step 1: the loss is "))
    }
}
