/// Byte strings with a value each, by which all that begin at a position of a text are found.
struct ByteTrie: Sendable {
    /// The edges: node and byte; the edge's number and one is the node it leads to.
    private var edges = PairTable()
    /// The values of nodes; −1 for none.
    private var values: [Int32] = [-1]
    private var isFirst = [Bool](repeating: false, count: 256)

    var isEmpty: Bool { values.count == 1 }

    mutating func insert(_ key: [UInt8], _ value: Int32) {
        guard let first = key.first else { return }
        isFirst[Int(first)] = true
        var node: Int32 = 0
        for byte in key {
            node = Int32(edges.insert(TokenPair(left: node, right: Int32(byte)))) + 1
            if Int(node) == values.count { values.append(-1) }
        }
        values[Int(node)] = value
    }

    /// Calls `body` with the value and the end of each string that begins at a position, the shortest first.
    @inline(__always)
    func forEachPrefix(of text: Bytes, from start: Int, _ body: (_ value: Int32, _ end: Int) -> Void) {
        guard isFirst[Int(text[start])] else { return }
        var (node, position): (Int32, Int) = (0, start)
        while position < text.count,
            let edge = edges.index(of: TokenPair(left: node, right: Int32(text[position])))
        {
            (node, position) = (Int32(edge) + 1, position + 1)
            if values[Int(node)] >= 0 { body(values[Int(node)], position) }
        }
    }

    /// The longest string at the first position, from `start` on, at which one begins.
    func firstMatch(in text: Bytes, from start: Int) -> (value: Int32, range: Range<Int>)? {
        guard !isEmpty else { return nil }
        var position = start
        while position < text.count {
            if isFirst[Int(text[position])] {
                var match: (Int32, Range<Int>)?
                forEachPrefix(of: text, from: position) { value, end in match = (value, position..<end) }
                if let match { return match }
            }
            position += 1
        }
        return nil
    }
}
