import AttentionZooInputSupport
import Foundation
import Testing

/// Every reader of files from outside on the kinds of files that people give; `Scripts/fuzz` begins with the same.
@Suite struct InputTests {
    private static func reader(_ name: String) throws -> InputReader { try #require(try InputReader.make(name)) }

    @Test("Files that are as they should be are read", arguments: InputReader.names)
    func valid(_ name: String) throws {
        let reader = try Self.reader(name)
        #expect(!reader.valid.isEmpty)
        for (sample, bytes) in reader.valid {
            #expect(try reader.outcome(of: bytes) == .read, "\(sample)")
        }
    }

    @Test("Doubtful files are read or refused in one line", arguments: InputReader.names)
    func doubtful(_ name: String) throws {
        let reader = try Self.reader(name)
        var refused = 0
        for (sample, bytes) in reader.doubtful {
            guard case .refused(let message) = try reader.outcome(of: bytes) else { continue }
            refused += 1
            #expect(!message.isEmpty && !message.contains { $0.isNewline }, "\(sample): \(message)")
        }
        #expect(refused > 0)
    }

    @Test("Files cut anywhere are read or refused in one line", arguments: InputReader.names)
    func cut(_ name: String) throws {
        let reader = try Self.reader(name)
        let bytes = try #require(reader.valid.min { ($0.value.count, $0.key) < ($1.value.count, $1.key) }).value
        // Some forty places, the last ones all.
        let places = Array(stride(from: 0, to: bytes.count, by: max(1, bytes.count / 32))) + bytes.indices.suffix(9)
        for place in places { try reader.check(Array(bytes[..<place])) }
    }

    @Test("What broke a reader once does so no more", arguments: InputReader.names)
    func found(_ name: String) throws {
        let folder = try #require(Bundle.module.url(forResource: "Found", withExtension: nil)).appending(path: name)
        let files = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
        guard !files.isEmpty else { return }
        let reader = try Self.reader(name)
        for file in files { try reader.check([UInt8](Data(contentsOf: file))) }
    }
}
