import Foundation
import Tensors
import Testing

@testable import Trainer

@Suite struct TextSourceTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test("A file is read by index and range")
    func oneFile() throws {
        let path = try folder.write("hello", "a.txt")
        let text = try TextSource(path: path)
        #expect(text.name == path)
        #expect(text.count == 5)
        #expect(try text[0..<5] == Array("hello".utf8))
        #expect(try text[4] == UInt8(ascii: "o"))
        #expect(try text[2..<2] == [])
    }

    @Test("Ranges run across files")
    func rangesRunAcrossFiles() throws {
        let parts = ["one ", "two", " three\n", "é"]
        let paths = try parts.enumerated().map { try folder.write($1, "\($0).txt") }
        let text = try TextSource(paths: paths)
        let whole = Array(parts.joined().utf8)
        #expect(text.name == "\(paths[0]) and 3 more")
        #expect(text.count == whole.count)
        #expect(text.documents.map(\.name) == paths)
        #expect(text.documents.map(\.range) == [0..<4, 4..<7, 7..<14, 14..<16])
        for start in whole.indices {
            #expect(try text[start] == whole[start])
            for end in start...whole.count { #expect(try text[start..<end] == Array(whole[start..<end])) }
        }
    }

    @Test("A copy fills the beginning of a larger buffer")
    func copyFillsTheBeginningOfALargerBuffer() throws {
        let text = try TextSource(paths: [try folder.write("abc", "1"), try folder.write("def", "2")])
        var buffer = [UInt8](repeating: 9, count: 5)
        try buffer.withUnsafeMutableBufferPointer { try text.copy(2..<5, into: $0) }
        #expect(buffer == Array("cde".utf8) + [9, 9])
    }

    @Test("Files longer than a read buffer are read in order")
    func largePiecesAreAssembledInOrder() throws {
        // Longer than the pieces that are read at once, and not a multiple of them.
        let bytes = (0..<2_500_001).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
        let text = try TextSource(paths: [try folder.write(bytes, "1"), try folder.write(bytes, "2")])
        #expect(try text[0..<text.count] == bytes + bytes)
    }

    @Test("A folder is read in the order of its paths, without hidden and empty files")
    func folderIsReadInTheOrderOfPathsWithoutHiddenAndEmptyFiles() throws {
        try folder.write("2", "b.txt")
        try folder.write("1", "a/z/deep.txt")
        try folder.write("0", "a/1.txt")
        try folder.write("x", ".hidden")
        try folder.write("x", ".git/config")
        try folder.write("", "a/empty.txt")
        try folder.write("", "a/empty.gz")
        try folder.write("3", "é.txt")
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/a/loop", withDestinationPath: folder.path)
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/c.txt", withDestinationPath: folder.path + "/b.txt")
        for path in [folder.path, folder.path + "/"] {
            let text = try TextSource(path: path)
            #expect(try String(decoding: text[0..<text.count], as: UTF8.self) == "01223")
            #expect(
                text.documents.map { $0.name.dropFirst(folder.path.count + 1) } == [
                    "a/1.txt", "a/z/deep.txt", "b.txt", "c.txt", "é.txt",
                ])
        }
    }

    @Test("A text may be a string in memory")
    func textInMemory() throws {
        let text = try TextSource("héllo", name: "the prompt")
        #expect(try text[0..<text.count] == Array("héllo".utf8))
        expectError("the prompt: is empty; expected a text") { try TextSource("", name: "the prompt") }
    }

    @Test("A text of 1 GiB is read without copying it into memory")
    func aHugeTextCostsNoMemory() throws {
        // 1 GiB without blocks on the disk, read all over. The bound is a fourth of what a copy would take.
        let path = try folder.write("begin", "huge.txt")
        let size = 1 << 30
        #expect(truncate(path, off_t(size)) == 0)
        let before = peakMemory()
        let text = try TextSource(path: path)
        #expect(text.count == size)
        #expect(try text[0..<6] == Array("begin\0".utf8))
        for i in 0..<300 { #expect(try text[i * (size / 300) + 9..<i * (size / 300) + 13] == [0, 0, 0, 0]) }
        #expect(try text[size - 1] == 0)
        #expect(peakMemory() - before < size / 4)
    }

    /// The largest resident size of this process so far, in bytes.
    private func peakMemory() -> Int {
        var usage = rusage()
        #if os(Linux)
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            return Int(usage.ru_maxrss) * 1024
        #else
            getrusage(RUSAGE_SELF, &usage)
            return Int(usage.ru_maxrss)
        #endif
    }

    // MARK: What cannot be read

    @Test("A missing path is named")
    func missingPath() {
        expectError("\(folder.path)/none.txt: cannot be read: No such file or directory") {
            try TextSource(path: folder.path + "/none.txt")
        }
    }

    @Test("A path through a file is named")
    func aFileInsteadOfAFolderOnTheWay() throws {
        let path = try folder.write("x", "a.txt") + "/b.txt"
        expectError("\(path): cannot be read: Not a directory") { try TextSource(path: path) }
    }

    @Test("An empty file is refused")
    func emptyFile() throws {
        let path = try folder.write("", "a.txt")
        expectError("\(path): is empty; expected a text") { try TextSource(path: path) }
        let full = try folder.write("x", "b.txt")
        expectError("\(path): is empty; expected a text") { try TextSource(paths: [full, path]) }
        let compressed = try folder.write("", "a.gz")
        expectError("\(compressed): is empty; expected a text") { try TextSource(path: compressed) }
    }

    @Test("A folder without text is refused")
    func emptyFolder() throws {
        let message = "\(folder.path): holds no text; expected at least one file that is neither empty nor hidden"
        expectError(message) { try TextSource(path: folder.path) }
        try folder.write("x", ".hidden")
        try folder.write("", "empty.txt")
        expectError(message) { try TextSource(path: folder.path) }
    }

    @Test("An empty list of paths is refused")
    func noPathAtAll() {
        expectError("no text is given; expected a file or a folder") { try TextSource(paths: []) }
    }

    @Test("A link to itself is refused")
    func aLinkToItself() throws {
        let path = folder.path + "/loop"
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: path)
        expectError("\(path): cannot be read: \(String(cString: strerror(ELOOP)))") { try TextSource(path: path) }
    }

    @Test("A named pipe is refused")
    func aNamedPipe() throws {
        let path = folder.path + "/pipe"
        #expect(mkfifo(path, 0o600) == 0)
        expectError("\(path): is not a regular file") { try TextSource(path: path) }
    }

    @Test(
        "A file or folder without permission to read is named",
        .enabled(if: geteuid() != 0, "root may read everything"))
    func unreadableFileAndFolder() throws {
        let path = try folder.write("x", "sub/secret.txt")
        #expect(chmod(path, 0) == 0)
        expectError("\(path): cannot be read: Permission denied") { try TextSource(path: path) }
        let sub = folder.path + "/sub"
        #expect(chmod(sub, 0) == 0)
        defer { chmod(sub, 0o700) }
        let message = #expect(throws: InputError.self) { try TextSource(path: folder.path) }?.message
        #expect(message?.hasPrefix("\(sub): the folder cannot be listed: ") == true)
    }
}
