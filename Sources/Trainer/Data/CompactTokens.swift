/// Tokens in as few bytes each as the vocabulary allows.
struct CompactTokens: TokenStorage {
    /// Three cases instead of a generic type: through a protocol, a generic type's methods are not specialized.
    enum Array: Sendable {
        case bytes([UInt8])
        case words([UInt16])
        case integers([Int32])
    }

    let tokens: Array
    /// The length of each token's text in UTF-8.
    let widths: [Int32]
    /// The tokens that stand for one byte of ASCII; none where other tokens may have the byte as well.
    let ascii: [Int32?]
    /// The position after the last token of each file.
    let fileEnds: [Int]

    var count: Int {
        switch tokens {
        case .bytes(let tokens): tokens.count
        case .words(let tokens): tokens.count
        case .integers(let tokens): tokens.count
        }
    }

    func copy(_ range: Range<Int>, into destination: UnsafeMutablePointer<Int32>) {
        switch tokens {
        case .bytes(let tokens): copy(tokens, range, into: destination)
        case .words(let tokens): copy(tokens, range, into: destination)
        case .integers(let tokens): copy(tokens, range, into: destination)
        }
    }

    func byteCount(of range: Range<Int>) -> Int {
        switch tokens {
        case .bytes(let tokens): byteCount(tokens, range)
        case .words(let tokens): byteCount(tokens, range)
        case .integers(let tokens): byteCount(tokens, range)
        }
    }

    func token(of byte: UInt8) -> Int32? { Int(byte) < ascii.count ? ascii[Int(byte)] : nil }

    func fileEnd(after position: Int) -> Int {
        var candidates = fileEnds.indices  // the first end beyond the position, by bisection
        while candidates.count > 1 {
            let middle = candidates.lowerBound + candidates.count / 2
            candidates =
                fileEnds[middle - 1] > position
                ? candidates.lowerBound..<middle : middle..<candidates.upperBound
        }
        return fileEnds[candidates.lowerBound]
    }

    private func copy(
        _ tokens: [some FixedWidthInteger], _ range: Range<Int>, into destination: UnsafeMutablePointer<Int32>
    ) {
        tokens.withUnsafeBufferPointer { tokens in
            for i in range { destination[i - range.lowerBound] = Int32(truncatingIfNeeded: tokens[i]) }
        }
    }

    private func byteCount(_ tokens: [some FixedWidthInteger], _ range: Range<Int>) -> Int {
        tokens.withUnsafeBufferPointer { tokens in
            widths.withUnsafeBufferPointer { widths in
                var count = 0
                for i in range { count += Int(widths[Int(tokens[i])]) }
                return count
            }
        }
    }
}
