import Foundation
import Tensors
import Testing

@testable import Trainer

@Suite struct GzipTests {
    let folder: TemporaryFolder

    /// Made by Python's gzip module.
    let first = [UInt8](Data(base64Encoded: "H4sIAAAAAAAC/yvJV0hK1VHIL1LIyy9RKAHxuACEzehLFAAAAA==")!)
    let second = [UInt8](Data(base64Encoded: "H4sIAAAAAAAC/yvJSCxRyCxWKMlIVSgsTS0uyczP4wIAcwFc2BUAAAA=")!)
    let ofNothing = [UInt8](Data(base64Encoded: "H4sIAAAAAAAC/wMAAAAAAAAAAAA=")!)

    init() throws { folder = try TemporaryFolder() }

    private func text(_ bytes: [UInt8], _ name: String = "a.txt.gz") throws -> String {
        let source = try TextSource(path: try folder.write(bytes, name))
        return try String(decoding: source[0..<source.count], as: UTF8.self)
    }

    @Test("A file of one member is decompressed")
    func oneMember() throws {
        #expect(try text(first) == "to be, or not to be\n")
        #expect(try text(first, "A.GZ") == "to be, or not to be\n")
    }

    @Test("Several members and padding with zeros are one text")
    func severalMembersAndPadding() throws {
        #expect(try text(first + second) == "to be, or not to be\nthat is the question\n")
        #expect(try text(first + ofNothing + second) == "to be, or not to be\nthat is the question\n")
        #expect(try text(first + [0, 0, 0]) == "to be, or not to be\n")
    }

    #if os(Linux)
        /// Small files of large texts.
        @Test("What memory would not hold is refused while it is decompressed")
        func tooLarge() async {
            await #expect(processExitsWith: .success) {
                // 64 KB of zeros, 4096 times: 256 MB.
                let member = [UInt8](
                    Data(
                        base64Encoded:
                            "H4sIAAAAAAACA+3BAQEAAACAkP6v7ggKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAauuOl9cAAAEA"
                    )!)
                let folder = try TemporaryFolder()
                let path = try folder.write([UInt8](repeatElement(member, count: 4096).joined()), "a.gz")
                let pages = Int(
                    try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")[0])!
                var limit = rlimit(rlim_cur: rlim_t(pages * Int(getpagesize()) + (160 << 20)), rlim_max: .max)
                require(setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0, "setrlimit")
                let message = { () -> String in
                    do { return "\(try TextSource(path: path).count) bytes" } catch { return "\(error)" }
                }()
                require(
                    message.hasPrefix("\(path): is held in memory once it is decompressed, which takes ")
                        && message.hasSuffix(": decompress it first"), message)
            }
        }
    #endif

    @Test("Compressed files are read beside plain ones")
    func besidePlainFiles() throws {
        let plain = try folder.write("whether ", "b.txt")
        let source = try TextSource(paths: [plain, try folder.write(second, "c.gz"), plain])
        #expect(
            try String(decoding: source[0..<source.count], as: UTF8.self) == "whether that is the question\nwhether ")
    }

    @Test("A file longer than a read buffer is decompressed")
    func largerThanOneChunk() throws {
        // Stored blocks (RFC 1951, 3.2.4) need no compressor.
        let content = (0..<600_000).map { UInt8(truncatingIfNeeded: $0 &* 7 ^ $0 >> 9) }
        var file: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255]
        for start in stride(from: 0, to: content.count, by: 50_000) {
            let length = UInt16(50_000)
            file.append(start + 50_000 == content.count ? 1 : 0)
            file += [length, ~length].flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
            file += content[start..<start + 50_000]
        }
        for word in [crc32(content), UInt32(content.count)] { file += (0..<4).map { UInt8(word >> (8 * $0) & 255) } }
        let source = try TextSource(path: try folder.write(file, "a.gz"))
        #expect(try source[0..<source.count] == content)
    }

    /// Bit by bit, as in the standard.
    private func crc32(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(~0) { crc, byte in
            (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
        }
    }

    // MARK: What cannot be read

    @Test("A plain text named .gz is refused")
    func plainTextOfThatName() throws {
        let path = try folder.write("just text", "a.gz")
        expectError("\(path): is not gzip data; expected that of a file named .gz") { try TextSource(path: path) }
    }

    @Test("A file that is cut off anywhere is refused")
    func cutOffAnywhere() throws {
        for length in 2..<first.count {
            let path = try folder.write(first.prefix(length), "a.gz")
            expectError("\(path): ends in the middle; expected a complete gzip file") { try TextSource(path: path) }
        }
        let path = try folder.write(first + second.dropLast(), "a.gz")
        expectError("\(path): ends in the middle; expected a complete gzip file") { try TextSource(path: path) }
    }

    @Test("Damaged files are refused with the reason")
    func damaged() throws {
        for (index, reason) in [
            (2, "unknown compression method"), (10, "invalid block type"), (first.count - 8, "incorrect data check"),
            (first.count - 4, "incorrect length check"),
        ] {
            var bytes = first
            bytes[index] = index == 10 ? bytes[index] | 6 : ~bytes[index]
            let path = try folder.write(bytes, "a.gz")
            expectError("\(path): damaged gzip data: \(reason)") { try TextSource(path: path) }
        }
        let path = try folder.write(first + Array("garbage".utf8), "a.gz")
        expectError("\(path): damaged gzip data: incorrect header check") { try TextSource(path: path) }
    }

    @Test("An empty compressed text is refused")
    func nothingInIt() throws {
        let path = try folder.write(ofNothing, "a.gz")
        expectError("\(path): is empty; expected a text") { try TextSource(path: path) }
    }
}
