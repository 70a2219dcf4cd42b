import Foundation

extension Encodable {
    /// One line of JSON with sorted keys.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// The same members, one a line, for people.
    public func lines() throws -> String {
        let members = try JSONSerialization.jsonObject(with: Data(json().utf8)) as? [String: Any] ?? [:]
        return members.sorted { $0.key < $1.key }.map { key, value in
            let number = (value as? Double).map { $0 == $0.rounded() ? String(Int($0)) : String(format: "%.4g", $0) }
            return key.padding(toLength: 20, withPad: " ", startingAt: 0) + (number ?? "\(value)")
        }.joined(separator: "\n")
    }
}
