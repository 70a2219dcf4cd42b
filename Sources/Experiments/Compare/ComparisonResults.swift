import Foundation
import ModelZoo

/// The finished cells of a folder: results.json.
package struct ComparisonResults: Codable, Sendable, Equatable {
    /// The package's version.
    package var version = packageVersion
    /// The processor, the threads used, and the system.
    package var machine: Machine
    /// The options that all cells share.
    package var options: ComparisonOptions
    /// In the order in which they were finished.
    package var text: [TextOutcome] = []
    /// The finished cells of recall.
    package var recall: [RecallOutcome] = []
    /// The finished cells of scale.
    package var scale: [ScaleOutcome] = []
    /// nil for none, as in files of before there were any.
    package var published: [PublishedRecallOutcome]?

    /// Results without a cell.
    package init(_ options: ComparisonOptions, machine: Machine) { (self.options, self.machine) = (options, machine) }

    /// Writes the file in one piece.
    package func write(to path: String) throws {
        try AtomicFile.write(Data((JSONValue.text(encoding: self, indented: true) + "\n").utf8), to: path)
    }

    /// - Throws: `InputError` that names the file, and the key that is wrong.
    package init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else { throw InputError("\(path): cannot be read") }
        do {
            self = try JSONDecoder().decode(Self.self, from: data)
        } catch let error as DecodingError {
            throw InputError("\(path): \(error.place)")
        }
    }
}

extension DecodingError {
    /// The key that is wrong, and what was expected of it.
    fileprivate var place: String {
        func line(_ context: Context, _ key: (any CodingKey)? = nil) -> String {
            let path = (context.codingPath + (key.map { [$0] } ?? [])).map {
                $0.intValue.map(String.init) ?? $0.stringValue
            }
            return (path.isEmpty ? "" : "\"\(path.joined(separator: "."))\": ")
        }
        switch self {
        case .keyNotFound(let key, let context): return line(context, key) + "is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return line(context) + context.debugDescription
        case .dataCorrupted(let context): return line(context) + context.debugDescription
        @unknown default: return "cannot be read"
        }
    }
}
