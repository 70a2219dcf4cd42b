import Foundation
import Tensors
import Testing
import Trainer

/// A new empty folder that is removed with the last reference.
final class TemporaryFolder {
    let path = NSTemporaryDirectory() + "attention-zoo-" + UUID().uuidString

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file, making its folders, and returns its path.
    @discardableResult
    func write(_ bytes: some Sequence<UInt8>, _ name: String) throws -> String {
        let file = URL(fileURLWithPath: path).appendingPathComponent(name)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
        return file.path
    }

    @discardableResult
    func write(_ text: String, _ name: String) throws -> String {
        try write(text.utf8, name)
    }
}

/// Expects `body` to throw an `InputError` with exactly this message.
func expectError<Result>(
    _ message: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Result
) {
    #expect(throws: InputError(message), sourceLocation: sourceLocation) { _ = try body() }
}

/// A text of its own for tests of what stands on texts: 0, 1, 2 … as tokens.
func countingTokens(_ count: Int, name: String = "numbers") -> TokenSource {
    TokenSource(name: name, tokens: (0..<Int32(count)).map { $0 })
}
