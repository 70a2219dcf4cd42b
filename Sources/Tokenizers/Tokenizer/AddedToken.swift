/// A token beyond the model's, found in a text before it is split.
public struct AddedToken: Hashable, Sendable {
    /// The number.
    public let id: Int
    /// The text it stands for.
    public let content: String
    /// Whether it is no part of a longer word.
    public let singleWord: Bool
    /// Whether white space before it belongs to it.
    public let stripsLeft: Bool
    /// Whether white space after it belongs to it.
    public let stripsRight: Bool
    /// Whether it is searched for in the normalized text instead of the original.
    public let normalized: Bool
    /// Whether it is a mark for the model, left out of decoded text.
    public let isSpecial: Bool

    /// A special token, as training puts before all others.
    init(special content: String, id: Int) {
        (self.id, self.content, isSpecial) = (id, content, true)
        (singleWord, stripsLeft, stripsRight, normalized) = (false, false, false, false)
    }

    init(_ component: Component) throws {
        id = try component.required("id").count()
        content = try component.required("content").string()
        singleWord = try component.bool("single_word", default: false)
        stripsLeft = try component.bool("lstrip", default: false)
        stripsRight = try component.bool("rstrip", default: false)
        isSpecial = try component.bool("special", default: false)
        normalized = try component.bool("normalized", default: !isSpecial)
    }

    var json: JSON {
        [
            "id": .number(Double(id)), "content": .string(content), "single_word": .bool(singleWord),
            "lstrip": .bool(stripsLeft), "rstrip": .bool(stripsRight), "normalized": .bool(normalized),
            "special": .bool(isSpecial),
        ]
    }
}
