/// Joins the parts of words and sets spaces between words.
struct WordPieceDecoder: Sendable {
    private let prefix: [UInt8]
    private let cleansUp: Bool

    init(_ component: Component) throws {
        prefix = Array(try component.string("prefix", default: "##").utf8)
        cleansUp = try component.bool("cleanup", default: true)
    }

    func apply(to tokens: [[UInt8]]) -> [[UInt8]] {
        tokens.enumerated().map { index, token in
            let isContinuation = token.starts(with: prefix)
            let text = index == 0 ? token : isContinuation ? Array(token.dropFirst(prefix.count)) : [0x20] + token
            return cleansUp ? Self.cleanedUp(text) : text
        }
    }

    /// Spaces before punctuation and within contractions, which the splitting has made.
    private static let unwanted: [(String, String)] = [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ]

    private static func cleanedUp(_ text: [UInt8]) -> [UInt8] {
        unwanted.reduce(text) { text, change in
            Pattern.string(Array(change.0.utf8)).replacingMatches(in: text, with: Array(change.1.utf8))
        }
    }
}
