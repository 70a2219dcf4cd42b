import Foundation
import NN
import Synchronization
import Tensors
import Testing

@testable import Trainer

@Suite("Checkpoints after saves that succeed, are interrupted, or fail") struct CheckpointTests {
    let temporary = try! TemporaryFolder()

    /// Every step is validated and saved.
    func options(steps: Int = 6, keep: Int = 1) -> TrainingOptions {
        TrainingOptions(
            sequenceLength: 16, batchSize: 2, accumulate: 2, length: .steps(steps), learningRate: 1e-2,
            validateEvery: 1, validationShare: 0.2, sampleEvery: 0, saveEvery: 1, keepCheckpoints: keep, seed: 7)
    }

    func path(_ name: String) -> String { temporary.path + "/" + name }

    func begin(_ name: String, _ options: TrainingOptions) throws -> TrainingRun<Bigram> {
        try TrainingRun(
            Bigram(dropout: 0.2), on: byteSplit(), tokenizer: ByteTokenizer(), options: options, folder: path(name),
            recording: writeReport)
    }

    func resume(_ name: String) throws -> TrainingRun<Bigram> {
        try TrainingRun(
            resuming: RunFolder(path: path(name)), Bigram(dropout: 0.2, seed: 99), on: byteSplit(),
            tokenizer: ByteTokenizer(), recording: writeReport)
    }

    func bytes(_ file: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path(file))) }

    func weights(_ name: String, step: Int) throws -> Data {
        try bytes("\(name)/checkpoints/step-\(step)/weights.safetensors")
    }

    /// The step whose weights are those to use.
    func usedStep(_ name: String) throws -> String? {
        try SafetensorsFile(path: path("\(name)/weights.safetensors")).metadata["step"]
    }

    func names(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path(folder)).sorted()
    }

    // MARK: What is kept

    @Test("The best checkpoint is kept beside the newest ones, and the run's weights are the best")
    func theLatestTheBestAndTheNewestAreKept() throws {
        for keep in [1, 3, 100] {
            var options = options(steps: 12, keep: keep)
            // Far too fast: it does not improve with every step.
            (options.optimizer, options.learningRate) = (.sgd(), 60)
            let name = "keep-\(keep)"
            let run = try begin(name, options)
            try run.train()
            let validations = try MetricsLog.read(path: path(name + "/metrics.jsonl")).map {
                BestValidation(step: $0.step, bitsPerByte: $0.extra["validation_bits_per_byte"]!)
            }
            let best = try #require(validations.min { $0.bitsPerByte < $1.bitsPerByte })
            #expect(best.step < 10)  // or keeping it would be no feat
            #expect(run.best == best)
            #expect(try usedStep(name) == "\(best.step)")
            #expect(try weights(name, step: best.step) == bytes(name + "/weights.safetensors"))
            let kept = try #require([1: [best.step, 12], 3: [best.step, 11, 12], 100: Array(0...12)][keep])
            #expect(run.folder?.savedSteps == kept)
            let files = [
                ".lock", "checkpoints", "config.json", "metrics.jsonl", "report.html", "samples.jsonl",
                "weights.safetensors",
            ]
            #expect(try names(name) == files)
            #expect(try names(name + "/checkpoints").count == kept.count)
        }
    }

    @Test("A new best validation is saved at once, whatever the interval")
    func aBestValidationIsSavedBeforeItsTime() throws {
        var options = options(steps: 5)
        (options.saveEvery, options.validateEvery) = (100, 2)
        var saved: [Int] = []
        try begin("run", options).train { if case .saved(let step, _) = $0 { saved.append(step) } }
        #expect(saved == [2, 4, 5])
    }

    @Test("Without validation the run's weights are the latest")
    func withoutAValidationTheLatestWeightsAreUsed() throws {
        let run = try TrainingRun(
            Bigram(), on: byteSplit(validationFraction: 0), tokenizer: ByteTokenizer(), options: options(steps: 3),
            folder: path("run"))
        #expect(try usedStep("run") == "0")
        try run.train()
        #expect(try usedStep("run") == "3")
        #expect(run.folder?.savedSteps == [3])
    }

    @Test("A saved state restores counters, stream position, and carries to the bit")
    func aStateHasRoomForStreamsAndCarries() throws {
        let (model, folder) = (Bigram(), try RunFolder(creating: path("run")))
        let optimizer = Optimizer(model.trainable)
        let position = JSONValue.object(["epoch": .integer(2), "rows": .array([.integer(5), .string("é\n")])])
        let carry = Tensor([1, -0.0, .pi, .leastNonzeroMagnitude], shape: [2, 2])
        let state = TrainingState(
            step: 7, tokens: 70, seconds: 0.1, validation: 1 / 3,
            best: BestValidation(step: 7, bitsPerByte: 1 / 3), position: position, carries: ["memory.0": carry])
        try folder.save(model, optimizer, state, origin: RunOrigin(), keep: 1)
        let read = try folder.load(Bigram(seed: 5), Optimizer(Bigram().trainable))
        #expect((read.step, read.tokens, read.seconds) == (7, 70, 0.1))
        #expect((read.validation, read.best) == (1 / 3, state.best))
        #expect(read.position == position)
        #expect(read.carries.keys.sorted() == ["memory.0"])
        let found = try #require(read.carries["memory.0"])
        #expect(found.shape == [2, 2])
        #expect(found.values.map(\.bitPattern) == carry.values.map(\.bitPattern))
    }

    // MARK: Interruptions

    /// Copies a folder before each operation on the disk that `body` makes, and after the last: what crashes would leave.
    /// Files not yet synchronized lose half.
    func crashes(of name: String, during body: () throws -> Void) throws -> [String] {
        let (source, target) = (path(name), path("crash-of-\(name)-"))
        let count = Mutex(0)
        @Sendable func copy() throws {
            let number = count.withLock {
                $0 += 1
                return $0
            }
            try FileManager.default.copyItem(atPath: source, toPath: target + "\(number)")
            for case let file as String in FileManager.default.enumerator(atPath: target + "\(number)")!
            where file.split(separator: "/").last!.contains("safetensors.tmp-") {
                let url = URL(fileURLWithPath: target + "\(number)/" + file)
                try Data(contentsOf: url).prefix(200).write(to: url)
            }
        }
        try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: true)
        try DiskOperations.$observer.withValue({ _, _ in try copy() }, operation: body)
        try copy()
        return (1...count.withLock { $0 }).map { "crash-of-\(name)-\($0)" }
    }

    @Test("A crash at any disk operation of a save leaves the old checkpoint or the new one")
    func aCrashAnywhereInASaveLeavesTheOldCheckpointOrTheNew() throws {
        try begin("whole", options(keep: 100)).train()
        for keep in [1, 2] {
            let name = "keep-\(keep)"
            let run = try begin(name, options(keep: keep))
            try run.train(until: 3)
            let crashes = try crashes(of: name) { try run.train(until: 4) }
            #expect(crashes.count > 15)
            var steps: [Int] = []
            for crash in crashes {
                // Someone may use the weights as they are.
                #expect(["3", "4"].contains(try usedStep(crash)))
                var warnings: [TrainingEvent] = []
                let resumed = try resume(crash)
                steps.append(resumed.step)
                #expect(try weights(crash, step: resumed.step) == weights("whole", step: resumed.step))
                // Each step is the best so far.
                #expect(try usedStep(crash) == "\(resumed.step)")
                try resumed.train { if case .warning = $0 { warnings.append($0) } }
                #expect(warnings.isEmpty)
                #expect(try weights(crash, step: 6) == weights("whole", step: 6))
                #expect(try bytes(crash + "/weights.safetensors") == weights("whole", step: 6))
                #expect(try names(crash + "/checkpoints") == (keep == 1 ? ["step-6"] : ["step-5", "step-6"]))
                #expect(try names(crash).allSatisfy { !$0.contains(".tmp-") })
            }
            #expect(steps == steps.sorted())
            #expect(Set(steps) == [3, 4])
        }
    }

    @Test("After a crash at any disk operation of its creation a run can be resumed or begun again")
    func aCrashAnywhereInTheBeginningLeavesARunOrABeginning() throws {
        try begin("whole", options(steps: 2)).train()
        let crashes = try crashes(of: "run") { _ = try begin("run", options(steps: 2)) }
        #expect(crashes.count > 10)
        var begun = 0
        for crash in crashes {
            if RunFolder.isRun(path(crash)) {
                try resume(crash).train()
            } else {
                begun += 1
                try begin(crash, options(steps: 2)).train()
            }
            #expect(try weights(crash, step: 2) == weights("whole", step: 2))
        }
        #expect(begun > 0 && begun < crashes.count)
    }

    @Test("A failing disk operation in a save is reported as one error and loses nothing")
    func aFailureOfAnyOperationOfASaveIsOneErrorAndLosesNothing() throws {
        try begin("whole", options(keep: 100)).train()
        do { try begin("until-3", options()).train(until: 3) }
        var failures = 0
        while true {
            let (name, last) = ("fails-\(failures)", failures)
            var (failed, warning): (String?, String?)
            do {
                try FileManager.default.copyItem(atPath: path("until-3"), toPath: path(name))
                let run = try resume(name)
                let count = Mutex((0, ""))
                let error = DiskOperations.$observer.withValue(
                    { operation, path in
                        let fails = count.withLock {
                            $0.0 += 1
                            if $0.0 == last + 1 { $0.1 = "\(operation) \(path)" }
                            return $0.0 == last + 1
                        }
                        if fails { throw InputError("\(path): cannot be written: No space left on device") }
                    },
                    operation: { () -> (any Error)? in
                        do {
                            try run.train(until: 4) { if case .warning(let text) = $0 { warning = text } }
                        } catch {
                            return error
                        }
                        return nil
                    })
                if count.withLock({ $0.0 }) > last { failed = count.withLock { $0.1 } }
                guard failed != nil else { break }
                if let warning {
                    // The report comes after the save, and nothing hangs on it.
                    #expect(error == nil && warning.hasPrefix("the report is not written: "))
                } else {
                    let fault = try #require(error as? TrainingFault)
                    #expect(fault.kind == .notWritten)
                    #expect(fault.message.contains(": cannot be written: No space left on device; step "))
                    #expect(fault.message.contains("--resume \(path(name))"))
                    #expect(
                        !fault.message.contains(".tmp-") || failed!.hasPrefix("remove"), "\(failed!): \(fault.message)")
                }
            }
            let resumed = try resume(name)
            #expect([3, 4].contains(resumed.step))
            #expect(try names(name + "/checkpoints").allSatisfy { !$0.hasPrefix(".") })
            try resumed.train()
            #expect(try weights(name, step: 6) == weights("whole", step: 6))
            failures += 1
        }
        #expect(failures > 15)
    }

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
        expectError("\(path("run/checkpoints")): holds no checkpoint; expected step-N, made by a save") {
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

    // MARK: A checkpoint of choice

    @Test("A run can be resumed from an earlier checkpoint, discarding later ones")
    func anEarlierCheckpointCanBeGoneOnFrom() throws {
        try begin("whole", options(keep: 100)).train()
        do { try begin("run", options(keep: 100)).train(until: 5) }
        // Its weights can be used by themselves, too.
        let chosen = try RunFolder(path: path("run/checkpoints/step-2/"))
        #expect(chosen.weightsPath == path("run/checkpoints/step-2/weights.safetensors"))
        #expect(chosen.metricsPath == path("run/metrics.jsonl"))
        let resumed = try resume("run/checkpoints/step-2")
        #expect(resumed.step == 2)
        #expect(resumed.folder?.path == path("run"))
        #expect(resumed.folder?.savedSteps == [0, 1, 2])
        #expect(try usedStep("run") == "2")
        try resumed.train()
        #expect(try weights("run", step: 6) == weights("whole", step: 6))
        #expect(try MetricsLog.read(path: path("run/metrics.jsonl")).map(\.step) == Array(1...6))
    }

    @Test("Later checkpoints stay if the new length leaves no step to make")
    func whereNoStepIsToBeMadeLaterCheckpointsStay() throws {
        do { try begin("run", options(keep: 100)).train() }
        let chosen = path("run/checkpoints/step-2")
        expectError(
            naming: "\(chosen)", "expected", "--steps", "--epochs", "--minutes", "kept"
        ) {
            try TrainingRun(
                resuming: RunFolder(path: chosen), Bigram(), on: byteSplit(), tokenizer: ByteTokenizer()
            ) { $0.length = .steps(2) }
        }
        #expect(try RunFolder(path: path("run")).savedSteps == Array(0...6))
        #expect(try MetricsLog.read(path: path("run/metrics.jsonl")).count == 6)
    }

    @Test("A new length that is already reached is not saved in the configuration")
    func aLengthThatIsReachedAlreadyIsNotKept() throws {
        do { try begin("run", options()).train(until: 4) }
        func resume(_ steps: Int) throws -> TrainingRun<Bigram> {
            try TrainingRun(
                resuming: RunFolder(path: path("run")), Bigram(), on: byteSplit(), tokenizer: ByteTokenizer()
            ) { $0.length = .steps(steps) }
        }
        #expect(try resume(3).isFinished)
        #expect(try RunFolder(path: path("run")).configuration().training.length == .steps(6))
        #expect(try !resume(5).isFinished)
        #expect(try RunFolder(path: path("run")).configuration().training.length == .steps(5))
    }

    @Test("An empty folder name is refused")
    func anEmptyNameIsNotTheRootFolder() {
        let message = "the name of a run's folder is empty; expected --out or --resume FOLDER"
        expectError(message) { try RunFolder(creating: "") }
        expectError(message) { try RunFolder(path: "") }
    }

    @Test("A missing checkpoint or run folder is named")
    func aCheckpointThatIsNotThereIsNamed() throws {
        do { try begin("run", options()).train(until: 2) }
        expectError("\(path("run/checkpoints/step-7/state.safetensors")): cannot be read: No such file or directory") {
            try resume("run/checkpoints/step-7")
        }
        expectError("\(path("none/checkpoints/step-7")): is no run folder: expected it to hold config.json") {
            try resume("none/checkpoints/step-7")
        }
    }
}
