extension JSONValue {
    /// The document over several lines, for people to read and to compare: a member a line, two spaces deeper each level,
    /// keys in alphabetical order. Lists of simple values stay in one line as long as it is not long.
    package var indented: String { indented(depth: 0) }

    private func indented(depth: Int) -> String {
        let (outer, inner) = (String(repeating: "  ", count: depth), String(repeating: "  ", count: depth + 1))
        func lines(_ members: [String], _ open: String, _ close: String) -> String {
            "\(open)\n" + members.map { inner + $0 }.joined(separator: ",\n") + "\n\(outer)\(close)"
        }
        switch self {
        case .object(let members) where !members.isEmpty:
            return lines(
                members.sorted { $0.key < $1.key }
                    .map { "\(Self.quoted($0.key)): \($0.value.indented(depth: depth + 1))" }, "{", "}")
        case .array(let values) where !isShort:
            return lines(values.map { $0.indented(depth: depth + 1) }, "[", "]")
        default: return description
        }
    }

    /// True if a list fits into one line.
    private var isShort: Bool {
        guard case .array(let values) = self else { return true }
        let isSimple = values.allSatisfy { $0.arrayValue == nil && $0.objectValue == nil }
        return isSimple && description.utf8.count <= 80
    }
}

extension JSONValue {
    /// A value's kind, and its text unless that is long, for messages on values that do not belong.
    package var kindAndValue: String {
        switch self {
        case .null, .bool, .integer, .number: description
        case .string(let text): "the string \(Self.quoted(text.count > 60 ? text.prefix(60) + "…" : text))"
        case .array(let values): values.count > 30 || description.utf8.count > 60 ? "a list" : "the list \(self)"
        case .object: "an object"
        }
    }
}
