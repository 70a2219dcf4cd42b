import Foundation
import ModelZoo

/// A new folder in memory where the system has such, removed with the last reference.
final class InputFolder {
    let path: String

    init() throws {
        let memory = "/dev/shm"
        let root = FileManager.default.isWritableFile(atPath: memory) ? memory : NSTemporaryDirectory()
        path = root + "/attention-zoo-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file anew (a map of the one before may still be open), making its folders, and returns its path.
    @discardableResult
    func write(_ bytes: [UInt8], _ name: String) throws -> String {
        let file = path + "/" + name
        try? FileManager.default.removeItem(atPath: file)
        let parent = (file as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        guard FileManager.default.createFile(atPath: file, contents: Data(bytes)) else {
            throw CocoaError(.fileWriteUnknown)
        }
        return file
    }
}

/// The bytes of a file. Foundation's `Data(contentsOf:)` leaks 4 KB for an empty one.
func contents(ofFile path: String) throws -> [UInt8] { try MappedFile(path: path).withUnsafeBytes { Array($0) } }
