import Foundation

/// Bytes of a text, valid as long as their owner.
typealias Bytes = UnsafeBufferPointer<UInt8>

extension Bytes {
    /// The bytes of a range, numbered from 0.
    @inline(__always)
    func part(_ range: Range<Int>) -> Bytes { Bytes(rebasing: self[range]) }
}

/// Numbers different byte strings in the order of their insertion: a vocabulary, a cache of words, a count of words.
struct ByteStringTable: Sendable {
    /// All strings one after another.
    private var storage: [UInt8] = []
    private var ends: [Int] = [0]
    private var hashes: [UInt32] = []
    /// Numbers of strings by hash, with linear probing; −1 for free ones. Twice as many as strings, a power of two.
    private var slots: [Int32] = Array(repeating: -1, count: 64)

    var count: Int { hashes.count }
    var byteCount: Int { storage.count }

    subscript(index: Int) -> ArraySlice<UInt8> { storage[ends[index]..<ends[index + 1]] }

    /// Calls `body` with the bytes of a string.
    func withBytes<Result>(of index: Int, _ body: (Bytes) throws -> Result) rethrows -> Result {
        try storage.withUnsafeBufferPointer { try body($0.part(ends[index]..<ends[index + 1])) }
    }

    func index(of key: Bytes) -> Int? {
        let hash = Self.hash(key)
        let found = slots[slot(of: key, hash)]
        return found >= 0 ? Int(found) : nil
    }

    func index(of key: some Collection<UInt8>) -> Int? {
        key.withContiguousStorageIfAvailable { index(of: $0) } ?? Array(key).withUnsafeBufferPointer { index(of: $0) }
    }

    /// The number of a string, which is `count` before the call where it is new.
    mutating func insert(_ key: Bytes) -> Int {
        let hash = Self.hash(key)
        let slot = slot(of: key, hash)
        if slots[slot] >= 0 { return Int(slots[slot]) }
        let index = hashes.count
        storage.append(contentsOf: key)
        ends.append(storage.count)
        hashes.append(UInt32(truncatingIfNeeded: hash))
        slots[slot] = Int32(index)
        if 2 * hashes.count > slots.count { grow() }
        return index
    }

    mutating func insert(_ key: some Collection<UInt8>) -> Int { Array(key).withUnsafeBufferPointer { insert($0) } }

    @inline(__always)
    private func slot(of key: Bytes, _ hash: UInt64) -> Int {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        return slots.withUnsafeBufferPointer { slots in
            while case let index = Int(slots[slot]), index >= 0 {
                if hashes[index] == UInt32(truncatingIfNeeded: hash), isEqual(index, key) { break }
                slot = (slot + 1) & mask
            }
            return slot
        }
    }

    @inline(__always)
    private func isEqual(_ index: Int, _ key: Bytes) -> Bool {
        let start = ends[index]
        guard ends[index + 1] - start == key.count else { return false }
        guard let base = key.baseAddress, key.count > 0 else { return true }
        return storage.withUnsafeBufferPointer { memcmp($0.baseAddress! + start, base, key.count) == 0 }
    }

    private mutating func grow() {
        let mask = 2 * slots.count - 1
        var grown = [Int32](repeating: -1, count: mask + 1)
        for (index, hash) in hashes.enumerated() {
            var slot = Int(hash) & mask
            while grown[slot] >= 0 { slot = (slot + 1) & mask }
            grown[slot] = Int32(index)
        }
        slots = grown
    }

    /// Mixes eight bytes at a time by multiplication; the low 32 bits are used.
    @inline(__always)
    static func hash(_ key: Bytes) -> UInt64 {
        var hash = UInt64(truncatingIfNeeded: key.count) &* 0x9E37_79B9_7F4A_7C15
        var rest = UnsafeRawBufferPointer(key)[...]
        while rest.count >= 8 {
            let word = UnsafeRawBufferPointer(rebasing: rest).loadUnaligned(as: UInt64.self)
            hash = mixed(hash ^ word)
            rest = rest.dropFirst(8)
        }
        var word: UInt64 = 0
        for byte in rest { word = word << 8 | UInt64(byte) }
        return mixed(hash ^ word)
    }

    @inline(__always)
    private static func mixed(_ value: UInt64) -> UInt64 {
        let (high, low) = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return high ^ low
    }
}
