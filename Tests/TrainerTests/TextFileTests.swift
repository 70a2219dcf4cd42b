import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// Texts in files that somebody changes while they are in use.
@Suite struct TextFileTests {
    let folder: TemporaryFolder
    private let length = 100_000

    init() throws { folder = try TemporaryFolder() }

    /// Bytes with no marker among them.
    private func bytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var generator = SplitMix64(seed: seed)
        return (0..<count).map { _ in UInt8(97 + generator.next(below: 26)) }
    }

    /// A file that was written long ago: what is written within the same tick of the system's clock has the same time.
    private func oldFile(_ bytes: [UInt8], _ name: String = "text.txt") throws -> String {
        let path = try folder.write(bytes, name)
        try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSince1970: 1e9)], ofItemAtPath: path)
        return path
    }

    private func append(_ bytes: [UInt8], _ path: String) throws {
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.seekToEnd()
        try file.write(contentsOf: bytes)
        try file.close()
    }

    private func overwrite(_ bytes: [UInt8], at offset: Int, _ path: String) throws {
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.seek(toOffset: UInt64(offset))
        try file.write(contentsOf: bytes)
        try file.close()
    }

    private func message(_ path: String, _ what: String) -> String {
        "\(path): \(what) while it was in use; expected a text that stays as it is (what is appended is ignored)"
    }

    /// Every way to read a text.
    private static let readings: [(name: String, read: @Sendable (TokenSource) throws -> Void)] = [
        ("tokens", { _ = try $0[$0.count - 10..<$0.count] }),
        ("the fingerprint", { _ = try $0.fingerprint() }),
        ("the end of a document", { _ = try $0.separated(by: .marker(1)).documentEnd(after: 0) }),
        ("the number of targets", { _ = try $0.separated(by: .marker(1)).targetCount() }),
        (
            "windows",
            {
                let sampler = try WindowSampler($0, sequenceLength: $0.count - 1, batchSize: 1, seed: 1)
                _ = try sampler.batch(at: 0)
            }
        ),
        (
            "streams",
            {
                var streams = try SequentialStreams($0, sequenceLength: $0.count - 1, batchSize: 1)
                _ = try streams.next()
            }
        ),
        ("an evaluation", { _ = try Bigram().evaluate($0, sequenceLength: 5000) }),
    ]

    @Test("A text that was shortened is an error that names it, however it is read", arguments: readings.indices)
    func shortened(index: Int) throws {
        let (name, read) = Self.readings[index]
        for rest in [0, 1, length / 2, length - 1] {
            let path = try oldFile(bytes(length))
            let source = ByteTokenizer().tokens(of: try TextSource(path: path))
            try read(source)
            #expect(truncate(path, off_t(rest)) == 0)
            let error = #expect(throws: InputError.self, "\(name), \(rest) bytes left") { try read(source) }
            #expect(error?.message == message(path, "was shortened from \(length) to \(rest) bytes"), "\(name)")
        }
    }

    @Test("A text that was written to in place is an error that names it", arguments: [0, 50_000, 99_999])
    func changed(offset: Int) throws {
        let path = try oldFile(bytes(length))
        let source = try TextSource(path: path)
        #expect(try source[0] == bytes(1)[0])
        try overwrite([1], at: offset, path)
        // Wherever the change is: what was read before may not fit what is read after.
        for range in [0..<10, 49_995..<50_005, length - 10..<length] {
            expectError(message(path, "was changed")) { try source[range] }
        }
    }

    @Test("What is appended to a text is not read, and does no harm", arguments: [1, 10, 100_000])
    func appended(count: Int) throws {
        let path = try oldFile(bytes(length))
        let source = ByteTokenizer().tokens(of: try TextSource(path: path))
        let before = try source.fingerprint()
        for _ in 0..<3 {
            try append(bytes(count, seed: 2), path)
            #expect(try source.fingerprint() == before && source.count == length)
            #expect(try source[0..<length] == bytes(length).map(Int32.init))
        }
    }

    @Test("A text that was written anew and is longer now is an error")
    func writtenAnew() throws {
        let path = try oldFile(bytes(length))
        let source = try TextSource(path: path)
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.truncate(atOffset: 0)
        try file.write(contentsOf: bytes(2 * length, seed: 3))
        try file.close()
        expectError(message(path, "was changed")) { try source[0..<10] }
    }

    @Test("A text that is moved, removed, or replaced by a rename is read on")
    func movedAndReplaced() throws {
        let path = try oldFile(bytes(length))
        let source = try TextSource(path: path)
        try FileManager.default.moveItem(atPath: path, toPath: path + ".moved")
        #expect(try source[0..<length] == bytes(length))
        try folder.write(bytes(10, seed: 4), "other")
        #expect(rename(folder.path + "/other", path + ".moved") == 0)
        #expect(try source[length - 9..<length] == Array(bytes(length)[(length - 9)...]))
        #expect(unlink(path + ".moved") == 0)
        #expect(try source[0..<length] == bytes(length))
    }

    #if os(Linux)
        /// More files than the kernel maps for a process (65,530) take as many of its mappings and descriptors as few do.
        @Test("A folder of very many files takes few descriptors and no mappings")
        func veryManyFiles() async {
            await #expect(processExitsWith: .success) {
                let folder = try TemporaryFolder()
                let count = 66_000
                for index in 0..<count {
                    let descriptor = open(folder.path + "/\(index)", O_CREAT | O_WRONLY, 0o600)
                    require(write(descriptor, "a\n", 2) == 2 && close(descriptor) == 0, "file \(index)")
                }
                func lines(_ path: String) throws -> Int {
                    try String(contentsOfFile: path, encoding: .utf8).utf8.count { $0 == 10 }
                }
                let before = try lines("/proc/self/maps")
                let source = try TextSource(path: folder.path)
                let descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
                let mappings = try lines("/proc/self/maps") - before
                require(source.count == 2 * count, "\(source.count) bytes")
                require(descriptors < 256 && mappings < 256, "\(descriptors) descriptors, \(mappings) mappings")
                try FileManager.default.removeItem(atPath: folder.path)
            }
        }
    #endif

    @Test("A folder of more files than are kept open is read, and one that changed is named")
    func manyFiles() throws {
        for number in 0..<300 { _ = try oldFile(bytes(20, seed: UInt64(number)), "many/\(1000 + number)") }
        let source = try TextSource(path: folder.path + "/many")
        #expect(source.documents.count == 300)
        for _ in 0..<2 {
            #expect(try source[0..<6000] == (0..<300).flatMap { bytes(20, seed: UInt64($0)) })
        }
        let last = source.documents.last!.name
        #expect(truncate(last, 3) == 0)
        expectError(message(last, "was shortened from 20 to 3 bytes")) { try source[0..<6000] }
        #expect(try source[0..<5980].count == 5980)
        // One that is opened anew may be another file by then.
        try folder.write(bytes(20), "other")
        #expect(rename(folder.path + "/other", last) == 0)
        expectError(message(last, "was replaced by another file")) { try source[5999] }
    }

    @Test("A training whose text is shortened ends with an error that names it; its last save stays and goes on")
    func training() throws {
        let path = try oldFile(bytes(length))
        let run = folder.path + "/run"
        func split() throws -> DataSplit {
            try DataSplit(ByteTokenizer().tokens(of: TextSource(path: path)), sequenceLength: 16)
        }
        let options = TrainingOptions(
            sequenceLength: 16, batchSize: 2, length: .steps(20), validateEvery: 0, sampleEvery: 0, saveEvery: 4)
        do {  // the run's lock ends with it
            let training = try TrainingRun(
                Bigram(), on: split(), tokenizer: ByteTokenizer(), options: options, folder: run)
            expectError(message(path, "was shortened from \(length) to 100 bytes")) {
                try training.train { event in
                    if case .step(let metrics, _) = event, metrics.step == 6 { #expect(truncate(path, 100) == 0) }
                }
            }
            #expect(training.step == 6)
        }
        _ = try oldFile(bytes(length))
        let resumed = try TrainingRun(
            resuming: RunFolder(path: run), Bigram(), on: split(), tokenizer: ByteTokenizer())
        #expect(resumed.step == 4)
        try resumed.train()
        #expect(resumed.isFinished)
    }

    // MARK: Characters

    @Test("Characters that lie across the pieces of a file are read whole", arguments: 0..<4)
    func charactersAcrossPieces(shift: Int) throws {
        let content = String(repeating: "x", count: shift) + String(repeating: "é€😀", count: 80_000)
        let text = try TextSource(path: try folder.write(content, "text.txt"))
        let tokenizer = try CharacterTokenizer(learningFrom: [text])
        let tokens = try tokenizer.tokens(of: text)
        #expect(try tokenizer.decode(tokens[0..<tokens.count]) == content)
    }

    @Test("A byte that is no UTF-8 is named by its line and column, in any piece of the file")
    func placesAreNamed() throws {
        let line = String(repeating: "é", count: 999) + "\n"
        let lines = Array(String(repeating: line, count: 400).utf8)
        for (broken, column, byte) in [([UInt8]("ab".utf8) + [0xE9, 0x20], 3, 233), ([0xE2, 0x82], 1, 226)] {
            let path = try folder.write(lines + broken, "text.txt")
            let offset = lines.count + column - 1
            expectError(
                naming: "\(path), line 401, column \(column) (byte \(offset))", "byte \(byte)", "UTF-8", "byte tokens"
            ) { try CharacterTokenizer(learningFrom: [TextSource(path: path)]) }
        }
    }

    // MARK: What is told

    @Test("Long readings tell how far they have come; short ones and small texts nothing")
    func progress() throws {
        let path = try folder.write("", "large.txt")
        #expect(truncate(path, 1 << 25) == 0)
        let source = ByteTokenizer().tokens(of: try TextSource(path: path)).separated(by: .marker(0))
        let told = Told()
        try ReadingProgress.observe(told.add) {
            _ = try source.fingerprint()
            let shares = told.shares
            #expect(shares.count > 50 && shares == shares.sorted() && shares.last == 1)
            #expect(told.works == ["reading \(path)"])
            _ = try source.documentEnd(after: 0)
            #expect(told.shares.last == 1)
            let count = told.shares.count
            _ = try source[0..<1 << 20]
            #expect(told.shares.count == count)
        }
        let count = told.shares.count
        _ = try source.fingerprint()
        #expect(told.shares.count == count)
    }

    @Test(
        "Gzip under another name and UTF-16 are noticed",
        arguments: [
            ([0x1F, 0x8B, 8, 0, 0], "begins like a gzip file"), ([0xFF, 0xFE, 97, 0], "looks like UTF-16"),
            ([0xFE, 0xFF, 0, 97], "looks like UTF-16"),
            ("a text of letters".utf8.flatMap { [$0, 0] }, "looks like UTF-16"),
            ("a text of letters".utf8.flatMap { [0, $0] }, "looks like UTF-16"), (Array("a text".utf8), nil),
            ([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], nil), ([], nil), ([0x1F], nil),
            (Array("é€😀".utf8) + [0xFF, 0xFE], nil),
        ] as [([UInt8], String?)])
    func oddities(bytes: [UInt8], expected: String?) throws {
        let told = Told()
        try ReadingProgress.observe(told.add) {
            let path = try folder.write([65] + Array("n ordinary text".utf8), "a.txt")
            let odd = try folder.write(bytes + (bytes.isEmpty ? [65] : []), "b.txt")
            let text = try TextSource(paths: [path, odd])
            #expect(text.warnings == told.warnings)
            #expect(text.warnings.count == (expected == nil ? 0 : 1))
            if let expected { #expect(text.warnings[0].hasPrefix("\(odd): \(expected)")) }
            // It is read all the same.
            #expect(try text[text.documents[1].range] == (bytes.isEmpty ? [65] : bytes))
        }
    }
}

/// The calls of an observer.
private final class Told: @unchecked Sendable {
    private(set) var shares: [Double] = []
    private(set) var works: Set<String> = []
    private(set) var warnings: [String] = []

    @Sendable func add(_ event: ReadingProgress) {
        switch event {
        case .share(let share, let work):
            shares.append(share)
            works.insert(work)
        case .warning(let warning): warnings.append(warning)
        }
    }
}
