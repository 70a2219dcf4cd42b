/// The tokens of a model by number, and their numbers by token.
struct Vocabulary: Sendable {
    private var table = ByteStringTable()
    /// The numbers of the table's strings, and the other way round; −1 for numbers without a token.
    private var ids: [Int32] = []
    private var entries: [Int32] = []

    /// The largest number and one.
    var endIndex: Int { entries.count }

    /// - Parameter tokens: the tokens of 0, 1, …
    init(_ tokens: some Sequence<[UInt8]>) {
        for (id, token) in tokens.enumerated() { _ = add(token, id: id) }
    }

    init() {}

    /// Reads an object of tokens with their numbers.
    init(_ component: Component) throws {
        for member in try component.members() {
            guard case .number(let value) = member.value, let id = Int32(exactly: value), 0..<Self.greatest ~= id else {
                throw component.error(
                    "\(member.key.debugDescription): expected a number from 0 to \(Self.greatest - 1)")
            }
            guard add(Array(member.key.utf8), id: Int(id)) else {
                throw component.error(
                    "\(member.key.debugDescription): expected different tokens with different numbers, found \(id) again"
                )
            }
        }
    }

    /// More tokens than any vocabulary has, and few enough for a table by number.
    private static let greatest: Int32 = 1 << 24

    /// Adds a token.
    /// - Returns: false if there is the token or the number already.
    mutating func add(_ token: [UInt8], id: Int) -> Bool {
        let entry = table.insert(token)
        guard entry == ids.count else { return false }
        ids.append(Int32(id))
        while entries.count <= id { entries.append(-1) }
        guard entries[id] < 0 else { return false }
        entries[id] = Int32(entry)
        return true
    }

    @inline(__always)
    func id(of token: Bytes) -> Int32? { table.index(of: token).map { ids[$0] } }

    func id(of token: some Collection<UInt8>) -> Int32? { table.index(of: token).map { ids[$0] } }

    func token(of id: Int) -> ArraySlice<UInt8>? {
        guard entries.indices.contains(id), entries[id] >= 0 else { return nil }
        return table[Int(entries[id])]
    }

    /// The members of a JSON object, in the order of their numbers.
    var json: JSON {
        .object(
            entries.indices.compactMap { id in
                token(of: id).map { JSON.Member(key: String(decoding: $0, as: UTF8.self), value: .number(Double(id))) }
            })
    }

    /// The tokens `<0x00>` to `<0xFF>`, which stand for bytes of unknown characters; nil for those that are missing.
    var byteTokens: [Int32?] {
        (0..<256).map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return id(of: Array("<0x\(digits.count == 1 ? "0" : "")\(digits)>".utf8))
        }
    }

    /// The number of the token for what the model does not know.
    func unknownToken(_ component: Component) throws -> Int32 {
        let token = try component.string()
        guard let id = id(of: Array(token.utf8)) else {
            throw component.error("expected a token of the vocabulary, found \(token.debugDescription)")
        }
        return id
    }
}

extension Array where Element == Int32? {
    /// Appends the byte tokens of a character; nothing where one is missing.
    /// - Returns: whether all are there.
    func append(_ bytes: Bytes, to tokens: inout [Int32]) -> Bool {
        guard bytes.allSatisfy({ self[Int($0)] != nil }) else { return false }
        for byte in bytes { tokens.append(self[Int(byte)]!) }
        return true
    }
}
