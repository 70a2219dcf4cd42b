import Foundation

/// A sentence with gaps, each filled with a word from a list; all words of a list are equally likely.
struct SentenceShape: Sendable {
    /// The texts before each gap, and behind the last.
    let texts: [[UInt8]]
    /// The words for each gap.
    let lists: [[[UInt8]]]

    /// - Parameters:
    ///   - pattern: the sentence with `_` for each gap.
    ///   - lists: for each gap its words, parted by spaces.
    init(_ pattern: String, _ lists: String...) {
        texts = pattern.utf8.split(separator: UInt8(ascii: "_"), omittingEmptySubsequences: false).map { Array($0) }
        self.lists = lists.map { list in list.utf8.split(separator: UInt8(ascii: " ")).map { Array($0) } }
    }

    /// In bytes.
    var expectedLength: Double {
        let words = lists.reduce(0.0) { sum, list in sum + Double(list.joined().count) / Double(list.count) }
        return words + Double(texts.joined().count)
    }

    /// In bits, of all gaps.
    var entropy: Double { lists.reduce(0.0) { $0 + log2(Double($1.count)) } }

    /// Appends the sentence with, in gap i, the word number `choice(i)`; asked once for each gap, in order.
    /// - Returns: where in `text` the word in the last gap begins.
    @discardableResult @inline(__always)
    func append(to text: inout [UInt8], choice: (Int) -> Int) -> Int {
        var start = text.count
        for gap in lists.indices {
            text.append(contentsOf: texts[gap])
            start = text.count
            text.append(contentsOf: lists[gap][choice(gap)])
        }
        text.append(contentsOf: texts[lists.count])
        return start
    }
}
