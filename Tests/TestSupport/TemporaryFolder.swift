import Foundation

/// A new empty folder that is removed with the last reference.
public final class TemporaryFolder {
    public let path = NSTemporaryDirectory() + "attention-zoo-" + UUID().uuidString

    public init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Returns the text of a file.
    public func read(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)), as: UTF8.self)
    }

    /// Writes a file, making its folders, and returns its path.
    @discardableResult
    public func write(_ bytes: some Sequence<UInt8>, _ name: String) throws -> String {
        let file = URL(fileURLWithPath: path + "/" + name)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
        return file.path
    }

    /// Writes a text file, making its folders, and returns its path.
    @discardableResult
    public func write(_ text: String, _ name: String) throws -> String { try write(text.utf8, name) }
}
