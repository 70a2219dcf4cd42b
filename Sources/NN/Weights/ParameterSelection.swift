/// Some parameters of a model, by their state-dict keys.
///
///     try model.freeze(matching: ["token_emb.*", "layers.0.*"])
public struct ParameterSelection: Sendable, Hashable {
    /// The keys that are selected; `*` stands for any characters, none included.
    public var patterns: [String]

    /// Creates a selection of all keys that match one of the patterns, such as `*.bias` or `layers.0.*`.
    public init(_ patterns: [String]) { self.patterns = patterns }

    /// Tells whether a key is selected.
    public func contains(_ key: String) -> Bool { patterns.contains { Self.matches(key, $0) } }

    /// Tells whether a pattern stands for a key: its parts between asterisks follow each other there.
    private static func matches(_ key: String, _ pattern: String) -> Bool {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard parts.count > 1 else { return key == pattern }
        guard key.hasPrefix(parts[0]) else { return false }
        var rest = key.dropFirst(parts[0].count)
        for part in parts[1..<(parts.count - 1)] where !part.isEmpty {
            guard let found = rest.firstRange(of: part) else { return false }
            rest = rest[found.upperBound...]
        }
        return rest.hasSuffix(parts[parts.count - 1])
    }
}

extension ParameterSelection: ExpressibleByStringLiteral, ExpressibleByArrayLiteral {
    /// Creates a selection of one pattern.
    public init(stringLiteral pattern: String) { self.init([pattern]) }

    /// Creates a selection of several patterns.
    public init(arrayLiteral patterns: String...) { self.init(patterns) }
}
