import Foundation
import NN
import Synchronization
import Tensors
import Testing

@testable import Trainer

extension CheckpointTests {
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
                    #expect(fault.message.contains("TrainingRun(resuming: \(path(name)))"))
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
}
