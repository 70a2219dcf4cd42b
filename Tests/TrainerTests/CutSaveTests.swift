import Foundation
import Synchronization
import Tensors
import Testing

@testable import Trainer

/// Saves that were cut off, which the next opening of the run completes.
extension CheckpointTests {
    /// All names in a run's folder, but for files that are there from the first training on.
    func tree(_ name: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: path(name)).sorted()
    }

    /// Calls `body` with what a crash anywhere in the last save and after it leaves of a run that would have ended,
    /// where each of several checkpoints is to be kept, and whether the save had been committed.
    func crashesInTheLastSave(keep: Int, _ body: (_ crash: String, _ isCommitted: Bool) throws -> Void) throws {
        let name = "keep-\(keep)"
        let run = try begin(name, options(steps: 4, keep: keep))
        try run.train(until: 3)
        let crashes = try crashes(of: name) { try run.train() }
        #expect(crashes.count > 20)
        var committed = 0
        for crash in crashes {
            let isCommitted = try names(crash + "/checkpoints").contains("step-4")
            committed += isCommitted ? 1 : 0
            try body(crash, isCommitted)
        }
        #expect(committed > 8 && committed < crashes.count)
    }

    @Test("Whoever reads the run next finishes its last save", arguments: [1, 2, 3])
    func readersFinishASave(keep: Int) throws {
        let whole = "whole-\(keep)"
        try begin(whole, options(steps: 4, keep: keep)).train()
        let until3 = "until-3-\(keep)"
        do { try begin(until3, options(steps: 4, keep: keep)).train(until: 3) }
        try crashesInTheLastSave(keep: keep) { crash, isCommitted in
            let folder = try RunFolder(path: path(crash))
            var warnings: [String] = []
            folder.finishSave(recording: writeReport)
            #expect(folder.currentWeightsPath { warnings.append($0) } == folder.weightsPath)
            // The log may be a step ahead of a save that was not committed.
            let report = try String(decoding: bytes(crash + "/report.html"), as: UTF8.self)
            #expect(report == "after step 4" || !isCommitted && report == "after step 3")
            #expect(try usedStep(crash) == (isCommitted ? "4" : "3"))
            #expect(try tree(crash) == tree(isCommitted ? whole : until3))
            #expect(warnings.isEmpty)
            if isCommitted {
                #expect(try bytes(crash + "/weights.safetensors") == bytes(whole + "/weights.safetensors"))
            }
        }
    }

    @Test("Where a run cannot be written, the checkpoint's weights are read and the folder stays as it is")
    func readersThatCannotWrite() throws {
        try crashesInTheLastSave(keep: 1) { crash, isCommitted in
            let before = try tree(crash)
            let folder = try RunFolder(path: path(crash))
            // Somebody trains in it.
            let lock = try RunLock(folder: path(crash))
            var warnings: [String] = []
            let used = folder.currentWeightsPath { warnings.append($0) }
            #expect(try SafetensorsFile(path: used).metadata["step"] == (isCommitted ? "4" : "3"))
            if used == folder.weightsPath {
                #expect(warnings.isEmpty)
            } else {
                #expect(
                    warnings == [
                        "\(folder.weightsPath): is not of step 4, as the last save says; using \(used)"
                    ])
            }
            #expect(try tree(crash) == before)
            _ = lock
        }
    }

    @Test("A run that was killed in its last save ends when it is resumed, as if it had not been", arguments: [1, 2])
    func resumingFinishesASave(keep: Int) throws {
        let whole = "whole-\(keep)"
        try begin(whole, options(steps: 4, keep: keep)).train()
        var ended = 0
        try crashesInTheLastSave(keep: keep) { crash, isCommitted in
            do {
                let resumed = try resume(crash)
                #expect(resumed.isFinished == isCommitted)
                ended += isCommitted && resumed.finishedCutSave ? 1 : 0
                var events: [String] = []
                try resumed.train { events.append($0.name) }
                #expect(events.last == "finished" && !events.contains("warning"))
            }
            #expect(try tree(crash) == tree(whole))
            for file in ["weights.safetensors", "checkpoints/step-4/weights.safetensors"] {
                #expect(try bytes(crash + "/" + file) == bytes(whole + "/" + file), "\(file)")
            }
            let report = try String(contentsOfFile: path(crash + "/report.html"), encoding: .utf8)
            #expect(report == "after step 4")
            let again = try resume(crash)
            #expect(again.isFinished && !again.finishedCutSave)
        }
        #expect(ended > 8)
    }

    @Test("Nothing is removed of a run whose last save came to its end")
    func wholeRunsStayAsTheyAre() throws {
        do { try begin("run", options(steps: 4)).train() }
        // Brought back from a copy, to look at it.
        try FileManager.default.copyItem(
            atPath: path("run/checkpoints/step-4"), toPath: path("run/checkpoints/step-2"))
        let before = try tree("run")
        let folder = try RunFolder(path: path("run"))
        #expect(folder.currentWeightsPath() == folder.weightsPath)
        #expect(try RunFolder(path: path("run/checkpoints/step-2")).currentWeightsPath().contains("step-2"))
        #expect(try resume("run").isFinished)
        #expect(try tree("run") == before)
    }

    @Test("Weights without a step are the user's own and stay")
    func weightsOfTheUser() throws {
        do { try begin("run", options(steps: 4)).train() }
        var writer = SafetensorsWriter()
        try writer.add(Bigram(dropout: 0.2, seed: 5))
        try writer.write(to: path("run/weights.safetensors"))
        let before = try bytes("run/weights.safetensors")
        let folder = try RunFolder(path: path("run"))
        #expect(folder.currentWeightsPath() == folder.weightsPath)
        #expect(try bytes("run/weights.safetensors") == before)
    }

    @Test("Weights that are missing, damaged or a folder are taken from the checkpoint", arguments: 0..<4)
    func weightsThatCannotBeRead(kind: Int) throws {
        do { try begin("run", options(steps: 4)).train() }
        let (file, best) = (path("run/weights.safetensors"), try bytes("run/weights.safetensors"))
        try FileManager.default.removeItem(atPath: file)
        switch kind {
        case 0: break
        case 1: try best.prefix(100).write(to: URL(fileURLWithPath: file))
        case 2: try FileManager.default.createDirectory(atPath: file, withIntermediateDirectories: false)
        // Those of an older version, killed before it renewed them.
        default: try FileManager.default.copyItem(atPath: oldWeights(), toPath: file)
        }
        var warnings: [String] = []
        let used = try RunFolder(path: path("run")).currentWeightsPath { warnings.append($0) }
        #expect(try Data(contentsOf: URL(fileURLWithPath: used)) == best)
        #expect(warnings.isEmpty == (used == file))
        #expect((used == file) == (kind != 2))
    }

    /// The weights of an earlier step of the same training.
    private func oldWeights() throws -> String {
        do { try begin("earlier", options(steps: 4)).train(until: 2) }
        return path("earlier/weights.safetensors")
    }

    @Test("A damaged checkpoint is not what the weights are made from")
    func damagedCheckpoints() throws {
        do { try begin("run", options(steps: 4, keep: 2)).train() }
        for damaged in [[4], [3], [3, 4]] {
            let name = "damaged-\(damaged)"
            try FileManager.default.copyItem(atPath: path("run"), toPath: path(name))
            for step in damaged {
                let url = URL(fileURLWithPath: path("\(name)/checkpoints/step-\(step)/weights.safetensors"))
                var data = try Data(contentsOf: url)
                data[data.count - 10] ^= 4
                try data.write(to: url)
            }
            // As if the last save had been cut off.
            try temporary.write("", name + "/checkpoints/.saving")
            let folder = try RunFolder(path: path(name))
            _ = folder.currentWeightsPath()
            #expect(try usedStep(name) == "4")
            #expect(folder.savedSteps == [3, 4])
        }
        // Older weights give way to the newest whole checkpoint's, which is named.
        try FileManager.default.copyItem(atPath: path("run"), toPath: path("older"))
        try FileManager.default.removeItem(atPath: path("older/weights.safetensors"))
        try FileManager.default.copyItem(atPath: oldWeights(), toPath: path("older/weights.safetensors"))
        try FileManager.default.removeItem(atPath: path("older/checkpoints/step-4/weights.safetensors"))
        var warnings: [String] = []
        let used = try RunFolder(path: path("older")).currentWeightsPath { warnings.append($0) }
        #expect(used == path("older/checkpoints/step-3/weights.safetensors"))
        #expect(warnings.count == 1)
    }
}
