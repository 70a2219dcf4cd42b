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

    @Test func aSecondTrainingIsRefusedAsLongAsTheFirstLives() throws {
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

    @Test func aChildDoesNotKeepTheLock() throws {
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

    /// Between fork and exec a child has copies of all descriptors; here is one.
    @Test func aCopyOfTheDescriptorDoesNotKeepTheLock() throws {
        let path = temporary.path + "/run"
        var run: TrainingRun<Bigram>? = try begin(path)
        #expect(run?.step == 0)
        var wanted = stat()
        #expect(stat(path + "/.lock", &wanted) == 0)
        let descriptor = (0..<4096).first { number in
            var found = stat()
            return fstat(Int32(number), &found) == 0 && found.st_ino == wanted.st_ino && found.st_dev == wanted.st_dev
        }
        let copy = dup(Int32(try #require(descriptor)))
        defer { close(copy) }
        run = nil
        _ = try resume(path)
    }

    @Test func numbersAreTakenOnce() throws {
        let stem = temporary.path + "/runs/flash"
        let folders = try (0..<3).map { _ in try RunFolder(numbering: stem) }
        #expect(folders.map(\.path) == ["\(stem)-1", "\(stem)-2", "\(stem)-3"])
        try FileManager.default.removeItem(atPath: "\(stem)-2")
        #expect(try RunFolder(numbering: stem).path == "\(stem)-2")
    }
}
