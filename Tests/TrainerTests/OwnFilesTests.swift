import Foundation
import Tensors
import Testing

@testable import Trainer

/// A training writes and removes the files of its own folder, and finds out before its first step what stands in their way.
@Suite struct OwnFilesTests {
    let temporary = try! TemporaryFolder()
    var run: String { temporary.path + "/run" }
    var elsewhere: String { temporary.path + "/elsewhere" }

    func options(steps: Int = 4, keep: Int = 1) -> TrainingOptions {
        TrainingOptions(
            sequenceLength: 16, batchSize: 2, length: .steps(steps), validateEvery: 2, validationShare: 0.2,
            sampleEvery: 1, sampleLength: 4, saveEvery: 1, keepCheckpoints: keep, seed: 7)
    }

    func begin(_ options: TrainingOptions) throws -> TrainingRun<Bigram> {
        try TrainingRun(
            Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(), options: options, folder: run,
            recording: writeReport)
    }

    func resume(keep: Int? = nil, steps: Int? = nil) throws -> TrainingRun<Bigram> {
        try TrainingRun(
            resuming: RunFolder(path: run), Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(),
            changing: {
                if let keep { $0.keepCheckpoints = keep }
                if let steps { $0.length = .steps(steps) }
            }, recording: writeReport)
    }

    /// A folder outside the run with a file, a hidden file and a folder in it.
    func makeElsewhere() throws {
        try FileManager.default.createDirectory(atPath: elsewhere + "/inner", withIntermediateDirectories: true)
        for name in Self.precious { try temporary.write("precious", "elsewhere/" + name) }
    }

    static let precious = ["weights.safetensors", ".hidden.tmp-1", "inner/file"]

    func expectElsewhereWhole() throws {
        for name in Self.precious {
            #expect(try String(contentsOfFile: elsewhere + "/" + name, encoding: .utf8) == "precious", "\(name)")
        }
        #expect(try FileManager.default.subpathsOfDirectory(atPath: elsewhere).count == 4)
    }

    // MARK: Links

    @Test(
        "Removal takes links away and leaves what they point to",
        arguments: [
            "checkpoints/step-1", "checkpoints/step-3", "checkpoints/step-9", "checkpoints/.step-2.tmp-1-2",
            ".config.json.tmp-1-2",
            ".report.html.tmp-7", "checkpoints/step-2/.state.safetensors.tmp-3",
        ])
    func linksAreRemoved(name: String) throws {
        try makeElsewhere()
        for target in [elsewhere, elsewhere + "/weights.safetensors", "nothing"] {
            try? FileManager.default.removeItem(atPath: run)
            do { try begin(options(steps: 2, keep: 2)).train() }
            try? FileManager.default.removeItem(atPath: run + "/" + name)
            #expect(symlink(target, run + "/" + name) == 0)
            try resume(keep: 1, steps: 4).train()
            try expectElsewhereWhole()
            #expect(try FileManager.default.subpathsOfDirectory(atPath: run).allSatisfy { !$0.contains(".tmp-") })
            let left = try FileManager.default.contentsOfDirectory(atPath: run + "/checkpoints").sorted()
            #expect(left == ["step-4"], "\(target)")
        }
    }

    @Test("Files that are links are replaced themselves")
    func linksAreReplaced() throws {
        try makeElsewhere()
        do { try begin(options(steps: 2)).train() }
        for name in ["weights.safetensors", "report.html"] {
            unlink(run + "/" + name)
            #expect(symlink(elsewhere + "/weights.safetensors", run + "/" + name) == 0)
        }
        try resume(steps: 4).train()
        try expectElsewhereWhole()
        #expect(try SafetensorsFile(path: run + "/weights.safetensors").metadata["step"] == "4")
    }

    @Test("Logs that are links are refused before the first step", arguments: ["metrics.jsonl", "samples.jsonl"])
    func linkedLogs(name: String) throws {
        do { try begin(options(steps: 2)).train() }
        try FileManager.default.moveItem(atPath: run + "/" + name, toPath: temporary.path + "/log")
        #expect(symlink(temporary.path + "/log", run + "/" + name) == 0)
        let before = try Data(contentsOf: URL(fileURLWithPath: temporary.path + "/log"))
        expectError("\(run)/\(name): is a symbolic link; expected a file of the run's own") { try resume(steps: 4) }
        #expect(try Data(contentsOf: URL(fileURLWithPath: temporary.path + "/log")) == before)
    }

    @Test("A checkpoint of the same step behind a link is not written into")
    func linkOfTheSavedStep() throws {
        do { try begin(options(steps: 2)).train() }
        try FileManager.default.moveItem(atPath: run + "/checkpoints/step-2", toPath: elsewhere)
        #expect(symlink(elsewhere, run + "/checkpoints/step-2") == 0)
        let state = try Data(contentsOf: URL(fileURLWithPath: elsewhere + "/state.safetensors"))
        let resumed = try resume(steps: 4)
        #expect(resumed.step == 2)  // it can be read there
        try resumed.save()
        #expect(try Data(contentsOf: URL(fileURLWithPath: elsewhere + "/state.safetensors")) == state)
        #expect(FileSystem.kind(of: run + "/checkpoints/step-2") == .folder)
        try resumed.train()
        #expect(try FileManager.default.contentsOfDirectory(atPath: elsewhere).count == 2)
    }

    @Test("Checkpoints behind a link are not the run's: they are read, but neither added to nor removed")
    func linkedCheckpoints() throws {
        do { try begin(options(steps: 2, keep: 3)).train() }
        try FileManager.default.moveItem(atPath: run + "/checkpoints", toPath: elsewhere)
        #expect(symlink(elsewhere, run + "/checkpoints") == 0)
        let message = "\(run)/checkpoints: is a symbolic link; expected a folder of the run's own"
        expectError(message) { try resume(keep: 1, steps: 4) }
        #expect(try RunFolder(path: run).savedSteps == [0, 1, 2])
        try temporary.write("", "elsewhere/.saving")
        #expect(try RunFolder(path: run).currentWeightsPath() == run + "/weights.safetensors")
        #expect(try FileManager.default.contentsOfDirectory(atPath: elsewhere).count == 4)
        // Where the link comes while a training runs, too.
        unlink(run + "/checkpoints")
        try FileManager.default.moveItem(atPath: elsewhere, toPath: run + "/checkpoints")
        let resumed = try resume(keep: 1, steps: 4)
        try FileManager.default.moveItem(atPath: run + "/checkpoints", toPath: elsewhere)
        #expect(symlink(elsewhere, run + "/checkpoints") == 0)
        let fault = try #require(throws: TrainingFault.self) { try resumed.train() }
        #expect(fault.message.hasPrefix(message + "; step 2 is saved: "))
        #expect(try FileManager.default.contentsOfDirectory(atPath: elsewhere).count == 3)
    }

    // MARK: What stands in the way

    @Test(
        "A folder in the place of a file is found before the first step",
        arguments: [
            "weights.safetensors", "report.html", "metrics.jsonl", "samples.jsonl",
        ])
    func foldersForFiles(name: String) throws {
        let message = "\(run)/\(name): is a folder; expected a file, which the training writes"
        try FileManager.default.createDirectory(atPath: run + "/" + name, withIntermediateDirectories: true)
        expectError(message) { try begin(options()) }
        // After a beginning that was interrupted, too.
        try temporary.write("", "run/.lock")
        expectError(message) { try begin(options()) }
        #expect(!RunFolder.isRun(run))
        try FileManager.default.removeItem(atPath: run)
        do { try begin(options(steps: 2)).train() }
        try? FileManager.default.removeItem(atPath: run + "/" + name)
        try FileManager.default.createDirectory(atPath: run + "/" + name, withIntermediateDirectories: true)
        expectError(message) { try resume(steps: 4) }
        #expect(try RunFolder(path: run).configuration().training.length == .steps(2))
    }

    @Test("A file in the place of the checkpoints is found before the first step")
    func fileForTheFolder() throws {
        try temporary.write("x", "run/checkpoints")
        let message = "\(run)/checkpoints: is a file; expected a folder of the run's own"
        expectError(message) { try begin(options()) }
        try FileManager.default.removeItem(atPath: run)
        do { try begin(options(steps: 2)).train() }
        try FileManager.default.removeItem(atPath: run + "/checkpoints")
        try temporary.write("x", "run/checkpoints")
        expectError(message) { try resume(steps: 4) }
    }

    // MARK: Permissions

    func permissions(_ name: String) throws -> Int {
        try #require(
            FileManager.default.attributesOfItem(atPath: run + "/" + name)[.posixPermissions] as? NSNumber
        ).intValue
    }

    @Test("What a user allowed others survives the next save", arguments: [0o600, 0o640, 0o666])
    func permissionsSurvive(mode: Int) throws {
        do { try begin(options(steps: 2)).train() }
        let files = ["config.json", "metrics.jsonl", "report.html", "samples.jsonl", "weights.safetensors", ".lock"]
        let saved = ["weights.safetensors", "state.safetensors"]
        for name in files + saved.map({ "checkpoints/step-2/" + $0 }) {
            #expect(chmod(run + "/" + name, mode_t(mode)) == 0)
        }
        let folderMode = mode | 0o111 & (mode >> 2) | 0o100
        #expect(chmod(run + "/checkpoints/step-2", mode_t(folderMode)) == 0)
        // A line that is left out has the log written anew.
        let metrics = try Data(contentsOf: URL(fileURLWithPath: run + "/metrics.jsonl"))
        let handle = try #require(FileHandle(forWritingAtPath: run + "/metrics.jsonl"))
        try handle.write(contentsOf: Data("broken\n".utf8) + metrics)
        try handle.close()
        try resume(steps: 4).train()
        for name in files + saved.map({ "checkpoints/step-4/" + $0 }) {
            #expect(try permissions(name) == mode, "\(name)")
        }
        #expect(try permissions("checkpoints/step-4") == folderMode)
    }

    @Test("A folder that cannot be emptied by its owner is made one that can")
    func foldersStayRemovable() throws {
        do { try begin(options(steps: 2)).train() }
        #expect(chmod(run + "/checkpoints/step-2", 0o555) == 0)
        try resume(steps: 4).train()
        #expect(try permissions("checkpoints/step-4") == 0o755)
    }
}
