import Foundation
import Tensors
import Testing

@testable import Trainer

/// One trains in a folder at a time.
@Suite struct LockTests {
    let temporary = try! TemporaryFolder()
    let options = TrainingOptions(sequenceLength: 16, batchSize: 2, length: .steps(2), sampleEvery: 0)

    func begin(_ path: String) throws -> TrainingRun<Bigram> {
        try TrainingRun(Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(), options: options, folder: path)
    }

    func resume(_ path: String) throws -> TrainingRun<Bigram> {
        try TrainingRun(resuming: RunFolder(path: path), Bigram(), on: byteSplit(), tokenizer: ByteTokenizer())
    }

    func expectInUse(_ path: String, _ holder: String, _ body: () throws -> Void) {
        let message = "\(path): is being trained by \(holder); expected a run that nobody else trains"
        #expect(throws: TrainingFault(.inUse, message), performing: body)
    }

    @Test("A second training in a folder is refused as long as the first lives")
    func aSecondTrainingIsRefusedAsLongAsTheFirstLives() throws {
        let path = temporary.path + "/run"
        let this = "this process (\(getpid())) already"
        var run: TrainingRun<Bigram>? = try begin(path)
        expectInUse(path, this) { _ = try resume(path) }
        run = nil
        run = try resume(path)
        expectInUse(path, this) { _ = try resume(path) }
        try run?.train()
        expectInUse(path, this) { _ = try resume(path) }
        run = nil
        #expect(try resume(path).isFinished)
    }

    @Test("A child process does not keep the lock")
    func aChildDoesNotKeepTheLock() throws {
        let path = temporary.path + "/run"
        var run: TrainingRun<Bigram>? = try begin(path)
        #expect(run?.step == 0)
        let child = Process()
        child.executableURL = URL(fileURLWithPath: "/bin/sleep")
        child.arguments = ["600"]
        try child.run()
        run = nil
        _ = try resume(path)
        kill(child.processIdentifier, SIGKILL)
        child.waitUntilExit()
    }

    /// A child has copies of all descriptors between fork and exec.
    @Test("Copies of the descriptors do not keep the lock")
    func copiesOfTheDescriptorsDoNotKeepTheLock() throws {
        let path = temporary.path + "/run"
        var run: TrainingRun<Bigram>? = try begin(path)
        #expect(run?.step == 0)
        let copies = try [path, path + "/.lock"].map { name in
            var wanted = stat()
            #expect(stat(name, &wanted) == 0)
            let descriptor = (0..<4096).first { number in
                var found = stat()
                return fstat(Int32(number), &found) == 0 && found.st_ino == wanted.st_ino
                    && found.st_dev == wanted.st_dev
            }
            return dup(Int32(try #require(descriptor)))
        }
        defer { for copy in copies { close(copy) } }
        run = nil
        _ = try resume(path)
    }

    // MARK: Names that are removed, moved or links

    @Test("Removing .lock lets nobody in, and the next save makes it again")
    func removedFile() throws {
        let path = temporary.path + "/run"
        let run = try begin(path)
        try run.train(until: 1)
        let saved = try FileManager.default.contentsOfDirectory(atPath: path + "/checkpoints").sorted()
        unlink(path + "/.lock")
        expectInUse(path, "another process") { _ = try resume(path) }
        #expect(!FileManager.default.fileExists(atPath: path + "/.lock"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: path + "/checkpoints").sorted() == saved)
        try run.train()
        #expect(try String(contentsOfFile: path + "/.lock", encoding: .utf8) == "\(getpid())\n")
        expectInUse(path, "this process (\(getpid())) already") { _ = try resume(path) }
    }

    @Test("A folder that takes the place of the run's is not written to", arguments: [true, false])
    func replacedFolder(isReplaced: Bool) throws {
        let path = temporary.path + "/run"
        let run = try begin(path)
        try run.train(until: 1)
        try FileManager.default.moveItem(atPath: path, toPath: path + "-moved")
        if isReplaced { try FileManager.default.copyItem(atPath: path + "-moved", toPath: path) }
        let fault = try #require(throws: TrainingFault.self) { try run.train() }
        #expect(
            fault.message
                == "\(path): is no longer the folder that was locked, which somebody moved or removed; nothing is written"
        )
        #expect(fault.kind == .notWritten)
        if isReplaced { #expect(try RunFolder(path: path).savedSteps == [1]) }
        #expect(try RunFolder(path: path + "-moved").savedSteps == [1])
        // The moved one is still locked; the copy is not.
        expectInUse(path + "-moved", "this process (\(getpid())) already") { _ = try resume(path + "-moved") }
        if isReplaced { try resume(path).train() }
    }

    @Test("A run is trained behind a link, and by one at a time")
    func linkedFolder() throws {
        let path = temporary.path + "/run"
        let run = try begin(path)
        #expect(symlink("run", temporary.path + "/latest") == 0)
        let message = "this process (\(getpid())) already"
        expectInUse(temporary.path + "/latest", message) { _ = try resume(temporary.path + "/latest") }
        _ = consume run
        try resume(temporary.path + "/latest").train()
        #expect(try RunFolder(path: path).savedSteps == [2])
    }

    @Test("What .lock points to is not overwritten")
    func linkedFile() throws {
        let (path, target) = (temporary.path + "/run", temporary.path + "/target")
        do { _ = try begin(path) }
        for content in ["somebody's", nil] {
            unlink(target)
            if let content { try temporary.write(content, "target") }
            unlink(path + "/.lock")
            #expect(symlink(target, path + "/.lock") == 0)
            expectError("\(path)/.lock: is a symbolic link; expected a file of the folder's own") {
                _ = try resume(path)
            }
            #expect((try? String(contentsOfFile: target, encoding: .utf8)) == content)
        }
        // Another name of the same file.
        unlink(path + "/.lock")
        try temporary.write("somebody's", "target")
        #expect(link(target, path + "/.lock") == 0)
        try resume(path).train()
        #expect(try String(contentsOfFile: target, encoding: .utf8) == "somebody's")
    }

    @Test("What is no file cannot be .lock")
    func notAFile() throws {
        let path = temporary.path + "/run"
        do { _ = try begin(path) }
        unlink(path + "/.lock")
        #expect(mkfifo(path + "/.lock", 0o600) == 0)
        expectError("\(path)/.lock: is not a regular file") { _ = try resume(path) }
        unlink(path + "/.lock")
        #expect(mkdir(path + "/.lock", 0o700) == 0)
        expectError("\(path)/.lock: cannot be written: Is a directory") { _ = try resume(path) }
    }

    @Test("A lock of the file alone, as of older versions or where folders cannot be locked, counts too")
    func lockOfTheFileAlone() throws {
        let path = temporary.path + "/run"
        do { _ = try begin(path) }
        let descriptor = open(path + "/.lock", O_RDWR)
        defer { close(descriptor) }
        #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
        expectInUse(path, "this process (\(getpid())) already") { _ = try resume(path) }
    }

    @Test("Each numbered folder is taken once")
    func numbersAreTakenOnce() throws {
        let stem = temporary.path + "/runs/flash"
        let folders = try (0..<3).map { _ in try RunFolder(numbering: stem) }
        #expect(folders.map(\.path) == ["\(stem)-1", "\(stem)-2", "\(stem)-3"])
        try FileManager.default.removeItem(atPath: "\(stem)-2")
        #expect(try RunFolder(numbering: stem).path == "\(stem)-2")
    }
}
