import Foundation

/// How often each word of a text occurs: what byte pair encoding is learned from.
struct WordCounts: Sendable {
    private(set) var words = ByteStringTable()
    private(set) var counts: [Int] = []
    let pattern: KnownPattern

    init(_ pattern: KnownPattern) { self.pattern = pattern }

    /// Counts the words of a text that is complete, or cut where a word begins.
    mutating func add(_ text: Bytes) {
        var start = 0
        pattern.forEachEnd(in: text) { end in
            add(text.part(start..<end), count: 1)
            start = end
        }
    }

    /// Adds the counts of another text.
    mutating func add(_ other: WordCounts) {
        for index in other.counts.indices {
            other.words.withBytes(of: index) { add($0, count: other.counts[index]) }
        }
    }

    private mutating func add(_ word: Bytes, count: Int) {
        let index = words.insert(word)
        if index == counts.count { counts.append(count) } else { counts[index] += count }
    }
}

extension KnownPattern {
    /// The last position where a text may be cut without cutting a word, whatever follows: before a space between two letters of
    /// ASCII. Nil where there is none.
    static func lastCut(in text: Bytes) -> Int? {
        var position = text.count - 2
        while position > 0 {
            if text[position] == 0x20, isLetter(text[position - 1]), isLetter(text[position + 1]) { return position }
            position -= 1
        }
        return nil
    }

    private static func isLetter(_ byte: UInt8) -> Bool { 0x61...0x7A ~= byte | 0x20 }
}
