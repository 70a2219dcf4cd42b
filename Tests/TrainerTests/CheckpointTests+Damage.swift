import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

extension CheckpointTests {
    // MARK: Damage

    @Test("Resume skips a damaged checkpoint")
    func aDamagedCheckpointIsPassedOver() throws {
        try begin("whole", options(keep: 100)).train()
        let damages: [(String, (URL) throws -> Void, String)] = [
            ("weights.safetensors", { try Data(contentsOf: $0).dropLast(4).write(to: $0) }, "truncated"),
            ("state.safetensors", { try Data(contentsOf: $0).prefix(100).write(to: $0) }, "header"),
            ("weights.safetensors", { try FileManager.default.removeItem(at: $0) }, "No such file"),
            ("state.safetensors", { try FileManager.default.removeItem(at: $0) }, "No such file"),
            ("weights.safetensors", flipBit, "is damaged: its contents have the CRC-32 "),
            ("state.safetensors", flipBit, "is damaged: its contents have the CRC-32 "),
        ]
        for (number, (file, damage, excerpt)) in damages.enumerated() {
            let name = "damaged-\(number)"
            do { try begin(name, options(keep: 3)).train(until: 4) }
            let damaged = path("\(name)/checkpoints/step-4/\(file)")
            // Of its own, or it would be the file of the run's weights too.
            let url = URL(fileURLWithPath: damaged)
            try damage(url)
            let resumed = try resume(name)
            #expect(resumed.step == 3)
            #expect(try usedStep(name) == "3")
            var warnings: [String] = []
            try resumed.train(until: 5) { if case .warning(let text) = $0 { warnings.append(text) } }
            #expect(warnings.count == 1)
            let warning = warnings.first ?? ""
            #expect(warning.hasPrefix(damaged + ": "))
            #expect(warning.contains(excerpt), "\(warning)")
            #expect(warning.hasSuffix("; going on from step 3, the newest that is whole"))
            try resumed.train()
            #expect(try weights(name, step: 4) == weights("whole", step: 4))  // made again
            #expect(try weights(name, step: 6) == weights("whole", step: 6))
        }
    }

    /// In the middle of the last tensor's data.
    private func flipBit(_ url: URL) throws {
        var data = try Data(contentsOf: url)
        data[data.count - 10] ^= 4
        try data.write(to: url)
    }

    @Test("The error names the newest checkpoint if all are damaged")
    func whereAllAreDamagedTheNewestIsNamed() throws {
        do { try begin("run", options(keep: 2)).train(until: 4) }
        for step in [3, 4] {
            try FileManager.default.removeItem(atPath: path("run/checkpoints/step-\(step)/state.safetensors"))
        }
        let newest = path("run/checkpoints/step-4/state.safetensors")
        expectError(
            naming: "\(newest)", "No such file or directory", "\(path("run"))"
        ) { try resume("run") }
        try FileManager.default.removeItem(atPath: path("run/checkpoints"))
        expectError(naming: "\(path("run/checkpoints"))", "no checkpoint", "expected step-") {
            try resume("run")
        }
    }

    @Test("A damaged best checkpoint no longer counts as the best")
    func aDamagedBestCountsNoMore() throws {
        var options = options()
        (options.optimizer, options.learningRate, options.validateEvery) = (.sgd(), 1, 1)
        do { try begin("run", options).train(until: 2) }
        // Worse from here on.
        let worse = try TrainingRun(
            resuming: RunFolder(path: path("run")), Bigram(dropout: 0.2), on: byteSplit(), tokenizer: ByteTokenizer()
        ) { $0.learningRate = 4000 }
        try worse.train(until: 4)
        #expect(worse.best?.step == 2)
        _ = consume worse
        try flipBit(URL(fileURLWithPath: path("run/checkpoints/step-2/weights.safetensors")))
        var warnings: [String] = []
        let resumed = try resume("run")
        #expect(resumed.best == nil)
        #expect(try usedStep("run") == "4")
        try resumed.train(until: 5) { if case .warning(let text) = $0 { warnings.append(text) } }
        #expect(warnings.count == 1)
        #expect(warnings.first?.hasSuffix("; the next validation counts as the best so far") == true)
        #expect(resumed.best?.step == 5)
    }
}
