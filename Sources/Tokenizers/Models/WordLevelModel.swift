/// Whole words as tokens.
struct WordLevelModel: Sendable {
    let vocabulary: Vocabulary
    private let unknown: Int32

    init(_ component: Component) throws {
        vocabulary = try Vocabulary(component.required("vocab"))
        unknown = try vocabulary.unknownToken(component.required("unk_token"))
    }

    func append(_ word: Bytes, to tokens: inout [Int32]) { tokens.append(vocabulary.id(of: word) ?? unknown) }

    var json: JSON {
        ["type": "WordLevel", "vocab": vocabulary.json, "unk_token": .string(vocabulary.text(of: unknown))]
    }
}

extension Vocabulary {
    /// The text of a token that is there.
    func text(of id: Int32) -> String { String(decoding: token(of: Int(id)) ?? [], as: UTF8.self) }
}
