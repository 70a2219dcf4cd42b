/// A text in pieces, as pre-tokenizers leave it.
struct SplitText {
    /// The text, perhaps with changes.
    private(set) var bytes: [UInt8]
    /// The pieces, in order, none empty; what no piece holds has been removed.
    private(set) var pieces: [Range<Int>]
    /// True if the first piece begins where the whole text does.
    private(set) var startsText: Bool

    init(_ bytes: [UInt8], startsText: Bool) {
        (self.bytes, self.startsText) = (bytes, startsText)
        pieces = bytes.isEmpty ? [] : [0..<bytes.count]
    }

    /// Splits each piece.
    /// - Parameter ranges: the pieces of a text, in order.
    mutating func split(_ ranges: (Bytes) -> [Range<Int>]) {
        let old = pieces
        pieces.removeAll(keepingCapacity: true)
        bytes.withUnsafeBufferPointer { bytes in
            for piece in old {
                for range in ranges(bytes.part(piece)) {
                    pieces.append(range.lowerBound + piece.lowerBound..<range.upperBound + piece.lowerBound)
                }
            }
        }
        if old.first?.lowerBound != pieces.first?.lowerBound { startsText = false }
    }

    /// Writes each piece anew.
    /// - Parameter write: appends a piece; is called with its bytes and whether it begins where the whole text does.
    mutating func rewrite(_ write: (_ piece: Bytes, _ startsText: Bool, _ result: inout [UInt8]) -> Void) {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + bytes.count / 4)
        bytes.withUnsafeBufferPointer { bytes in
            for index in pieces.indices {
                let start = result.count
                write(bytes.part(pieces[index]), index == 0 && startsText, &result)
                pieces[index] = start..<result.count
            }
        }
        bytes = result
    }
}
