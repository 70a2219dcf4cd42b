import Foundation
import Testing

@testable import Tensors

/// Names of files that are not UTF-8.
@Suite struct FileSystemNameTests {
    /// "café" in Latin-1, bytes that begin characters without ending them, and all that are never in UTF-8.
    static let names: [[UInt8]] = [
        [0x63, 0x61, 0x66, 0xE9], [0xE2, 0x82], [0xE2, 0x82, 0x61], [0xF0, 0x9F, 0x98], [0x80],
        [0xFF, 0xFE, 0xC0, 0xC1, 0xF5],
        [0xED, 0xA0, 0x80], [0xF4, 0x8F, 0xBF, 0xBD], [0xF4, 0x8F, 0xBE, 0x80, 0xE9], Array("字é😀\u{10FE7F}".utf8), [],
    ]

    @Test("Any bytes come back from a string as they were", arguments: names)
    func roundTrip(bytes: [UInt8]) {
        let name = String(fileSystemBytes: bytes)
        #expect(name.fileSystemName.map { UInt8(bitPattern: $0) } == bytes + [0])
    }

    @Test("Names of random bytes come back as they were, each as a string of its own")
    func randomNames() {
        var random = SystemRandomNumberGenerator()
        var seen: [String: [UInt8]] = [:]
        for _ in 0..<5000 {
            let bytes = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                [UInt8](arrayLiteral: 0x41, 0x80, 0x8F, 0xBF, 0xC3, 0xE9, 0xED, 0xF0, 0xF4, 0xFF).randomElement(
                    using: &random)!
            }
            let name = String(fileSystemBytes: bytes)
            #expect(name.fileSystemName.map { UInt8(bitPattern: $0) } == bytes + [0])
            #expect(seen.updateValue(bytes, forKey: name) ?? bytes == bytes)
        }
    }

    @Test("Text that is UTF-8 stays as it is", arguments: ["", "a", "é", "字/x", "😀", "\u{F0000}"])
    func text(_ text: String) {
        #expect(String(fileSystemBytes: Array(text.utf8)) == text)
        #expect(text.fileSystemName == Array(text.utf8CString))
    }

    @Test("Files with names that are not UTF-8 are listed, read, written and replaced", arguments: names.dropLast())
    func files(bytes: [UInt8]) throws {
        try withTemporaryFolder { folder in
            let path = folder + "/" + String(fileSystemBytes: bytes)
            let descriptor = open(path.fileSystemName, O_WRONLY | O_CREAT | O_EXCL, 0o600)
            try #require(descriptor >= 0)
            close(descriptor)
            for content in ["old", "new"] {
                try AtomicFile.write(Data(content.utf8), to: path)
                #expect(try MappedFile(path: path).withUnsafeBytes { Array($0) } == Array(content.utf8))
            }
            #expect(try namesInFolder(folder) == [String(fileSystemBytes: bytes)])
            var writer = SafetensorsWriter()
            try writer.add("x", shape: [1], floats: [1])
            try writer.write(to: path)
            #expect(try SafetensorsFile(path: path).names == ["x"])
        }
    }

    @Test("A folder that cannot be listed is named, with the system's reason")
    func unlistable() throws {
        try withTemporaryFolder { folder in
            #expect(
                inputErrorMessage { _ = try namesInFolder(folder + "/none") }
                    == "\(folder)/none: the folder cannot be listed: No such file or directory")
            try AtomicFile.write(Data(), to: folder + "/file")
            #expect(
                inputErrorMessage { _ = try namesInFolder(folder + "/file") }
                    == "\(folder)/file: the folder cannot be listed: Not a directory")
        }
    }
}
