import Foundation

extension SubwordTokenizer {
    /// The bytes of a file `tokenizer.json`: the same for the same tokenizer, and read by the Python package.
    public var data: Data { Data(JSONWriter.bytes(of: parts.json)) }

    /// Writes a file `tokenizer.json` in one piece.
    /// - Throws: `TokenizerError` with the path and the system's reason.
    public func write(to url: URL) throws {
        do { try data.write(to: url, options: .atomic) } catch {
            throw TokenizerError("\(url.relativePath): cannot be written: \(error.localizedDescription)")
        }
    }
}
