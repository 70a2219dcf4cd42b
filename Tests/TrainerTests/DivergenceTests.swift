import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// Numbers that are not finite end a training in one way, whoever meets them first.
@Suite("Divergence") struct DivergenceTests {
    let temporary = try! TemporaryFolder()

    /// What comes after the step that broke the weights, or follows it.
    enum Finder: CaseIterable { case step, validation, sample, save }

    private func options(steps: Int = 9, meeting finder: Finder?) -> TrainingOptions {
        TrainingOptions(
            sequenceLength: 16, batchSize: 2, length: .steps(steps), optimizer: .sgd(), learningRate: 0.5,
            validateEvery: finder == .validation ? 5 : 0, sampleEvery: finder == .sample ? 5 : 0,
            saveEvery: finder == .save ? 5 : 2, keepCheckpoints: 9, seed: 7)
    }

    /// Trains, the weights broken by `change` after step `last`, to the fault.
    private func fault(
        _ options: TrainingOptions, folder: String?, breakingAfter last: Int = 4, _ change: (Bigram) -> Void
    ) throws -> TrainingFault {
        let run = try TrainingRun(
            Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(), options: options,
            folder: folder.map { temporary.path + "/" + $0 })
        var events: [String] = []
        let fault = try #require(throws: TrainingFault.self) {
            try run.train {
                events.append($0.name)
                if case .step(let metrics, _) = $0, metrics.step == last { change(run.model) }
            }
        }
        #expect(fault.kind == .notFinite && !events.contains("finished"))
        #expect(!fault.message.contains("\n"))
        return fault
    }

    @Test("Weights that are not finite give the same message whoever meets them", arguments: Finder.allCases)
    func oneMessage(_ finder: Finder) throws {
        // Of the fourth step's event, before its save: the checkpoint is of an earlier step. Steps 5 and later are met by
        // the loss of step 5 unless something comes before it.
        let fault = try fault(options(meeting: finder), folder: "run") { model in
            model.output.bias!.value.mutablePointer[32] = .nan
        }
        let saved = finder == .save ? 0 : 2
        #expect(
            fault.message
                == "after step 4: the parameter output.bias holds nan; step \(saved) is saved: go on from it with --resume"
                + " \(temporary.path)/run --learning-rate 0.25, or with a lower --clip")
    }

    @Test("A last step that broke the weights has not finished the training", arguments: ["run", nil])
    func theLastStep(_ folder: String?) throws {
        let fault = try fault(options(steps: 4, meeting: nil), folder: folder) { model in
            model.table.weight.value.mutablePointer[3] = .infinity
        }
        #expect(fault.message.hasPrefix("after step 4: the parameter table.weight holds inf; "))
    }

    @Test("Logits of a sample that are not finite are a divergence")
    func aSample() throws {
        var options = options(meeting: nil)
        (options.sampleEvery, options.saveEvery) = (4, 2)
        let fault = try fault(options, folder: "run", breakingAfter: 4) { model in
            // Finite weights, whose products are not.
            for parameter in [model.table.weight, model.output.weight] {
                for i in 0..<parameter.count { parameter.value.mutablePointer[i] = 1e30 }
            }
        }
        #expect(
            fault.message
                == "after step 4: a sample's logits are not finite, while weights are finite, the largest of them 1e+30 in"
                + " table.weight; step 2 is saved: go on from it with --resume \(temporary.path)/run --learning-rate 0.25,"
                + " or with a lower --clip")
    }

    @Test("Numbers that are bad from the first step on are not blamed on the learning rate", arguments: ["run", nil])
    func fromTheFirstStepOn(_ folder: String?) throws {
        let model = Bigram()
        for parameter in [model.table.weight, model.output.weight] {
            for i in 0..<parameter.count { parameter.value.mutablePointer[i] = 1e30 }
        }
        let run = try TrainingRun(
            model, on: byteSplit(), tokenizer: ByteTokenizer(), options: options(meeting: nil),
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
