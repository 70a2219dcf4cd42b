import Foundation
import NN
import Tensors

extension Encodable {
    /// One line of JSON with sorted keys.
    package func json() throws -> String { try JSONValue.text(encoding: self) }

    /// The same members, one a line, for people.
    package func lines() throws -> String {
        let members = try JSONValue(parsing: json().utf8, file: "a report").objectValue ?? [:]
        return members.sorted { $0.key < $1.key }.map { key, value in
            key.padding(toLength: 20, withPad: " ", startingAt: 0) + value.forPeople
        }.joined(separator: "\n")
    }
}

extension JSONValue {
    fileprivate var forPeople: String {
        switch self {
        case .number(let value): String(format: "%.4g", value)
        case .string(let text): text
        case .null: "not finite"
        default: description
        }
    }
}
