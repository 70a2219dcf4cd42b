import Tensors
import Testing

@testable import Trainer

/// A random text of documents, and where a loop over all its tokens finds them: what the tests of batches compare with.
struct DocumentExample {
    let source: TokenSource
    let tokens: [Int32]
    let documents: [Range<Int>]

    static let marker: UInt8 = 7

    /// Letters and markers, of a seed: two tokens to 120, from no marker to nothing else; every other text is a part of a
    /// longer one.
    init(seed: Int, separator: DocumentSeparator) {
        var generator = SplitMix64(seed: UInt64(seed))
        let count = 2 + generator.next(below: 119)
        let share = [0, 1, 10, 50, 90, 100][generator.next(below: 6)]
        tokens = (0..<count).map { _ in
            generator.next(below: 100) < share ? Int32(Self.marker) : 97 + Int32(generator.next(below: 26))
        }
        let padding = seed % 2 == 0 ? [] : [Int32](repeating: 98, count: 1 + generator.next(below: 4))
        source = TokenSource(name: "a text", tokens: padding + tokens + padding).separated(by: separator)
            .slice(padding.count..<padding.count + count, name: "a text")
        guard separator != .nothing else {
            documents = [0..<count]
            return
        }
        let ends = tokens.enumerated().filter { $1 == Int32(Self.marker) }.map { $0.offset + 1 }
        documents = zip([0] + ends, ends + [count]).filter { $0 < $1 }.map { $0..<$1 }
    }

    var starts: Set<Int> { Set(documents.map(\.lowerBound)) }

    /// Positions of targets, in order, cut into runs of neighbours within a document, none longer than `length`.
    func runs(of targets: Range<Int>, length: Int) -> [[Int]] {
        var runs: [[Int]] = []
        for target in targets where !starts.contains(target) {
            if let last = runs.last, last.count < length, last.last == target - 1 {
                runs[runs.count - 1].append(target)
            } else {
                runs.append([target])
            }
        }
        return runs
    }

    /// Returns true if a batch is what these targets in each row require.
    func isEqual(_ batch: TokenBatch, _ rows: [[Int]], length: Int, startsDocument: [Bool]) -> Bool {
        let inputs = rows.flatMap { row in
            row.map { tokens[$0 - 1] } + [Int32](repeating: 0, count: length - row.count)
        }
        let targets = rows.flatMap { row in
            row.map { tokens[$0] } + [Int32](repeating: -1, count: length - row.count)
        }
        return batch.inputs == inputs && batch.targets == targets && batch.shape == [rows.count, length]
            && batch.startsDocument == startsDocument && batch.targetCount == rows.reduce(0) { $0 + $1.count }
    }
}

/// A text of which the bytes are its tokens.
func byteTokens(_ text: String, _ separator: DocumentSeparator = .nothing) throws -> TokenSource {
    ByteTokenizer().tokens(of: try TextSource(text, name: "a text")).separated(by: separator)
}

/// Returns a batch as text: rows of "inputs>targets", `_` for padding, `^` before rows that start anew.
func picture(_ batch: TokenBatch) -> [String] {
    func text(_ tokens: ArraySlice<Int32>, padding: Int32) -> String {
        String(decoding: tokens.map { $0 == padding ? UInt8(ascii: "_") : UInt8($0) }, as: UTF8.self)
    }
    let length = batch.shape[1]
    return (0..<batch.shape[0]).map { row in
        let range = row * length..<(row + 1) * length
        return (batch.startsDocument[row] ? "^" : "")
            + "\(text(batch.inputs[range], padding: 0))>\(text(batch.targets[range], padding: -1))"
    }
}

extension SequentialWindows {
    /// All batches, in order.
    func all() throws -> [TokenBatch] {
        var (iterator, batches) = (makeIterator(), [TokenBatch]())
        while let batch = try iterator.next() { batches.append(batch) }
        return batches
    }
}
