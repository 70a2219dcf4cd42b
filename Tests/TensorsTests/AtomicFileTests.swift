import Foundation
import Tensors
import Testing

@Suite struct AtomicFileTests {
    private struct Interruption: Error {}

    @Test(
        "A path's folder is found",
        arguments: [
            ("x", ""), ("", ""), ("name", ""), ("name/", ""), ("/", "/"), ("/x", "/"), ("//x", "/"), ("a/x", "a"),
            ("a//x/", "a"),
            ("/a/b/x.json", "/a/b"), ("./x", "."), ("é/x", "é"),
        ])
    func theFolderOfAPath(_ path: String, folder: String) { #expect(AtomicFile.folder(of: path) == folder) }

    @Test("A write replaces the file and leaves nothing else")
    func replacesTheFileAndLeavesNothingElse() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/state.json"
            try AtomicFile.write(Data("old".utf8), to: path)
            try AtomicFile.write(to: path) { output in
                try [UInt8](1...3).withUnsafeBytes { try output.write($0) }
                try [UInt8]().withUnsafeBytes { try output.write($0) }
                try [UInt8](4...5).withUnsafeBytes { try output.write($0) }
            }
            #expect(try bytes(ofFile: path) == [1, 2, 3, 4, 5])
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["state.json"])
        }
    }

    @Test("What a killed process left of a file is removed by the next write, and nothing else is")
    func remainsAreRemoved() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/state.json"
            let others = [".other.json.tmp-1-2", ".state.json.tm", "state.json.tmp-1-2", ".state.jsonx.tmp-1-2"]
            for name in others + [".state.json.tmp-1-2", ".state.json.tmp-99999999-7"] {
                try Data("half".utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
            }
            // Neither a folder of such a name nor what a link of such a name points to.
            try FileManager.default.createDirectory(
                atPath: folder + "/.state.json.tmp-3-4", withIntermediateDirectories: false)
            try FileManager.default.createSymbolicLink(
                atPath: folder + "/.state.json.tmp-5-6", withDestinationPath: folder + "/.other.json.tmp-1-2")
            try AtomicFile.write(Data("new".utf8), to: path)
            let expected = others + ["state.json", ".state.json.tmp-3-4", ".state.json.tmp-5-6"]
            #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder)) == Set(expected))
        }
    }

    @Test("A file that another process is writing is no remains")
    func writesAtTheSameTime() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/state.json"
            try AtomicFile.write(to: path) { outer in
                try AtomicFile.write(to: path) { inner in try [UInt8](1...9).withUnsafeBytes { try inner.write($0) } }
                #expect(try bytes(ofFile: path) == Array(1...9))
                try [UInt8](1...3).withUnsafeBytes { try outer.write($0) }
            }
            #expect(try bytes(ofFile: path) == [1, 2, 3])
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["state.json"])
        }
    }

    @Test("Names as long as the file system allows are written", arguments: ["x", "é", "字", "😀"])
    func longNames(letter: String) throws {
        try withTemporaryFolder { folder in
            let name = String(repeating: letter, count: 255 / letter.utf8.count)
            for content in ["old", "new"] { try AtomicFile.write(Data(content.utf8), to: folder + "/" + name) }
            #expect(try bytes(ofFile: folder + "/" + name) == Array("new".utf8))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [name])
            let longer = folder + "/" + name + letter
            #expect(
                inputErrorMessage { try AtomicFile.write(Data(), to: longer) }
                    == "\(longer): cannot be written: File name too long")
        }
    }

    @Test("A failed write leaves the old file")
    func failureOfTheClosureLeavesTheOldFile() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/state.json"
            try AtomicFile.write(Data("old".utf8), to: path)
            #expect(throws: Interruption.self) {
                try AtomicFile.write(to: path) { output in
                    try [UInt8](repeating: 7, count: 100_000).withUnsafeBytes { try output.write($0) }
                    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 2)
                    throw Interruption()
                }
            }
            #expect(try bytes(ofFile: path) == Array("old".utf8))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["state.json"])
        }
    }

    @Test("Errors name path and reason")
    func errorsNamePathAndReason() throws {
        try withTemporaryFolder { folder in
            let missing = folder + "/none/state.json"
            #expect(
                inputErrorMessage { try AtomicFile.write(Data(), to: missing) }
                    == "\(missing): cannot be written: No such file or directory")
            try AtomicFile.write(Data("file".utf8), to: folder + "/file")
            let underFile = folder + "/file/state.json"
            #expect(
                inputErrorMessage { try AtomicFile.write(Data(), to: underFile) }
                    == "\(underFile): cannot be written: Not a directory")
            // The rename is what fails here, after all the writing.
            try FileManager.default.createDirectory(atPath: folder + "/folder", withIntermediateDirectories: true)
            #expect(
                inputErrorMessage { try AtomicFile.write(Data("new".utf8), to: folder + "/folder") }
                    == "\(folder)/folder: cannot be written: Is a directory")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["file", "folder"])
        }
    }

    /// Skipped for the superuser, who may write everywhere.
    @Test("A folder without permission to write is named", .enabled(if: geteuid() != 0))
    func unwritableFolder() throws {
        try withTemporaryFolder { folder in
            try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: folder)
            let path = folder + "/state.json"
            #expect(
                inputErrorMessage { try AtomicFile.write(Data(), to: path) }
                    == "\(path): cannot be written: Permission denied")
        }
    }

    @Test("A full disk is named", .enabled(if: FileManager.default.fileExists(atPath: "/dev/full")))
    func fullDisk() throws {
        let descriptor = open("/dev/full", O_WRONLY)
        defer { close(descriptor) }
        let output = AtomicFile.Output(descriptor: descriptor, path: "runs/weights")
        #expect(
            inputErrorMessage { try [UInt8](repeating: 1, count: 10).withUnsafeBytes { try output.write($0) } }
                == "runs/weights: cannot be written: No space left on device")
    }

    @Test("The new file has the permissions of the old one", arguments: [0o600, 0o640, 0o666, 0o444, 0o755])
    func permissions(mode: Int) throws {
        func permissions(_ path: String) throws -> Int? {
            (try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber)?.intValue
        }
        try withTemporaryFolder { folder in
            let path = folder + "/state.json"
            try AtomicFile.write(Data("old".utf8), to: path)
            let usual = try permissions(path)
            #expect(chmod(path, mode_t(mode)) == 0)
            var during: [Int?] = []
            try AtomicFile.write(to: path) { output in
                for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
                    during.append(try permissions(folder + "/" + name))
                }
                try [UInt8](1...3).withUnsafeBytes { try output.write($0) }
            }
            // While it was written, too.
            #expect(during == [mode, mode])
            #expect(try permissions(path) == mode)
            #expect(try bytes(ofFile: path) == [1, 2, 3])
            // A link has none of its own.
            unlink(path)
            try AtomicFile.write(Data("other".utf8), to: folder + "/other")
            #expect(chmod(folder + "/other", 0o600) == 0)
            #expect(symlink("other", path) == 0)
            try AtomicFile.write(Data("new".utf8), to: path)
            #expect(try permissions(path) == usual)
            #expect(try bytes(ofFile: folder + "/other") == Array("other".utf8))
        }
    }

    @Test("A relative path is written in the current folder")
    func relativePath() throws {
        let name = "attention-zoo-" + UUID().uuidString
        defer { unlink(name) }
        try AtomicFile.write(Data("here".utf8), to: name)
        #expect(try bytes(ofFile: name) == Array("here".utf8))
    }
}

@Suite struct MappedFileTests {
    @Test("A mapped file has its bytes, even after its name is gone")
    func mapsBytes() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/data"
            let content = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            try AtomicFile.write(content, to: path)
            let file = try MappedFile(path: path)
            #expect(file.count == content.count)
            // The map outlives the name.
            unlink(path)
            #expect(file.withUnsafeBytes { $0.elementsEqual(content) })
        }
    }

    @Test("An empty file has no bytes")
    func emptyFile() throws {
        try withTemporaryFolder { folder in
            try AtomicFile.write(Data(), to: folder + "/empty")
            let file = try MappedFile(path: folder + "/empty")
            #expect(file.count == 0)
            #expect(file.withUnsafeBytes { $0.isEmpty })
        }
    }

    @Test("A path that cannot be mapped is named")
    func errors() throws {
        try withTemporaryFolder { folder in
            #expect(
                inputErrorMessage { _ = try MappedFile(path: folder + "/none") }
                    == "\(folder)/none: cannot be read: No such file or directory")
            #expect(
                inputErrorMessage { _ = try MappedFile(path: folder) } == "\(folder): is a folder; expected a file")
            #expect(mkfifo(folder + "/pipe", 0o600) == 0)
            #expect(
                inputErrorMessage { _ = try MappedFile(path: folder + "/pipe") }
                    == "\(folder)/pipe: is not a regular file")
        }
    }
}
