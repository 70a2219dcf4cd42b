import Foundation

extension SubwordTokenizer {
    /// The text of tokens; bytes that are not UTF-8 become U+FFFD. Numbers without a token are left out.
    /// - Parameter skipSpecialTokens: whether special tokens are left out.
    public func decode(_ tokens: [Int], skipSpecialTokens: Bool = true) -> String {
        String(decoding: decoded(tokens, skipSpecialTokens, keepsBytes: false), as: UTF8.self)
    }

    /// The bytes of tokens, which need not be UTF-8.
    public func decodeBytes(_ tokens: [Int], skipSpecialTokens: Bool = true) -> [UInt8] {
        decoded(tokens, skipSpecialTokens, keepsBytes: true)
    }

    private func decoded(_ tokens: [Int], _ skipsSpecial: Bool, keepsBytes: Bool) -> [UInt8] {
        let pieces = tokens.compactMap(tokenBytes).filter { !skipsSpecial || !parts.added.isSpecial($0) }
        guard let decoder = parts.decoder else { return Array(pieces.joined(separator: [0x20])) }
        return Array(decoder.apply(to: pieces, keepsBytes: keepsBytes).joined())
    }
}
