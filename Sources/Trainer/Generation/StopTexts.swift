import NN
import Tensors

/// Texts that end a continuation where they come up in it, wherever tokens begin and end.
///
///     let stop = try StopTexts(["\nQ:", "."], in: tokenizer)
///     try model.generate("Q: What is a zoo?\nA:", tokenizer: tokenizer, stop: stop)
///
/// The text that is given out ends before the stop text; tokens end with the one that completes it, as they do with an end
/// token. Of several that end at the same byte, the longest is meant.
public struct StopTexts: Sendable {
    /// In bytes, none empty.
    public let texts: [[UInt8]]
    /// Says which bytes a token stands for.
    public let tokenizer: any Tokenizer
    private let patterns: [Pattern]

    /// The most bytes of a text.
    public static let longest = 1 << 16

    /// - Throws: `InputError` for a text that is empty or longer than `longest`.
    public init(bytes texts: [[UInt8]], in tokenizer: any Tokenizer) throws {
        guard !texts.contains(where: \.isEmpty) else {
            throw InputError("a stop text is empty; expected at least one byte")
        }
        if let most = texts.map(\.count).max(), most > Self.longest {
            throw InputError("a stop text has \(most) bytes; expected at most \(Self.longest)")
        }
        (self.texts, self.tokenizer, patterns) = (texts, tokenizer, texts.map(Pattern.init))
    }

    /// - Throws: `InputError` for a text that is empty or longer than `longest`.
    public init(_ texts: [String], in tokenizer: any Tokenizer) throws {
        try self.init(bytes: texts.map { Array($0.utf8) }, in: tokenizer)
    }

    /// A search from the beginning of a continuation.
    func makeSearch() -> StopSearch { StopSearch(patterns) }

    /// A stop text, and how to continue the search after a byte that does not fit.
    fileprivate struct Pattern: Sendable {
        let bytes: [UInt8]
        /// By the length of a beginning of the text: how long the longest shorter beginning is that it ends with. (Knuth,
        /// Morris, Pratt: "Fast Pattern Matching in Strings", 1977.)
        private let fallback: [Int]

        init(_ bytes: [UInt8]) {
            var fallback = [0, 0]
            var length = 0
            for byte in bytes.dropFirst() {
                while length > 0, byte != bytes[length] { length = fallback[length] }
                if byte == bytes[length] { length += 1 }
                fallback.append(length)
            }
            (self.bytes, self.fallback) = (bytes, fallback)
        }

        /// Returns the length of the prefix matched after one more byte.
        /// - Parameter matched: how much of it had come before, less than all.
        func advance(_ matched: Int, _ byte: UInt8) -> Int {
            var matched = matched
            while matched > 0, bytes[matched] != byte { matched = fallback[matched] }
            return bytes[matched] == byte ? matched + 1 : 0
        }
    }
}

/// Looks for stop texts in one continuation as it comes.
struct StopSearch: Sendable {
    private let patterns: [StopTexts.Pattern]
    /// The length of each pattern's prefix that the bytes so far end with.
    private var matched: [Int]
    /// Bytes that may be the beginning of a stop text.
    private(set) var held: [UInt8] = []
    /// True once a stop text has come up and ended the continuation.
    private(set) var isFound = false

    fileprivate init(_ patterns: [StopTexts.Pattern]) {
        (self.patterns, matched) = (patterns, patterns.map { _ in 0 })
    }

    /// A search for nothing.
    init() { self.init([]) }

    /// Takes the next bytes.
    /// - Returns: what no stop text begins with, those held back before included; nothing behind a stop text.
    mutating func append(_ bytes: [UInt8]) -> [UInt8] {
        if patterns.isEmpty { return bytes }
        var free: [UInt8] = []
        for byte in bytes where !isFound {
            held.append(byte)
            for index in patterns.indices { matched[index] = patterns[index].advance(matched[index], byte) }
            let complete = patterns.indices.filter { matched[$0] == patterns[$0].bytes.count }
            isFound = !complete.isEmpty
            // What the longest match so far begins with may still belong to a stop text.
            let kept = (isFound ? complete.map { matched[$0] } : matched).max() ?? 0
            free += held.dropLast(kept)
            held.removeFirst(held.count - kept)
        }
        if isFound { held = [] }
        return free
    }
}
