/// A pair of neighboring tokens.
struct TokenPair: Hashable, Comparable, Sendable {
    let left: Int32
    let right: Int32

    static func < (a: TokenPair, b: TokenPair) -> Bool {
        a.left != b.left ? a.left < b.left : a.right < b.right
    }

    fileprivate var bits: UInt64 { UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right)) }
}

/// Numbers pairs of tokens in the order of their insertion: merges with their ranks, counts of pairs, edges of a trie.
struct PairTable: Sendable {
    private(set) var pairs: [TokenPair] = []
    /// Keys beside numbers, so that a search touches one cache line; twice as many as pairs, a power of two.
    private var slots: [(bits: UInt64, index: Int32)] = Array(repeating: (0, -1), count: 64)

    var count: Int { pairs.count }

    @inline(__always)
    func index(of pair: TokenPair) -> Int? {
        let found = slots[slot(of: pair.bits)].index
        return found >= 0 ? Int(found) : nil
    }

    /// The number of a pair, which is `count` before the call where it is new.
    mutating func insert(_ pair: TokenPair) -> Int {
        let slot = slot(of: pair.bits)
        if slots[slot].index >= 0 { return Int(slots[slot].index) }
        slots[slot] = (pair.bits, Int32(pairs.count))
        pairs.append(pair)
        if 2 * pairs.count > slots.count { grow() }
        return pairs.count - 1
    }

    @inline(__always)
    private func slot(of bits: UInt64) -> Int {
        let mask = slots.count - 1
        return slots.withUnsafeBufferPointer { slots in
            var slot = Self.start(of: bits) & mask
            while slots[slot].index >= 0, slots[slot].bits != bits { slot = (slot + 1) & mask }
            return slot
        }
    }

    @inline(__always)
    private static func start(of bits: UInt64) -> Int {
        let (high, low) = bits.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        return Int(truncatingIfNeeded: high ^ low)
    }

    private mutating func grow() {
        slots = Array(repeating: (0, -1), count: 2 * slots.count)
        for (index, pair) in pairs.enumerated() { slots[slot(of: pair.bits)] = (pair.bits, Int32(index)) }
    }
}
