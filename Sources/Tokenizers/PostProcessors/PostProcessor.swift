/// A step that puts special tokens around those of a text.
enum PostProcessor: Sendable {
    /// Tokens before and after; both processors of BERT and RoBERTa, and templates, come to that for a single text.
    case surround(before: [Int32], after: [Int32])
    case sequence([PostProcessor])

    private static let known = ["BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"]

    init(_ component: Component) throws {
        let type = try component.type()
        switch type {
        case "ByteLevel": self = .sequence([])  // trims offsets, which are not kept here
        case "BertProcessing", "RobertaProcessing":
            self = .surround(
                before: [try Self.pairedToken(component.required("cls"))],
                after: [try Self.pairedToken(component.required("sep"))])
        case "TemplateProcessing": self = try Self.template(component)
        case "Sequence": self = .sequence(try component.required("processors").elements().map(PostProcessor.init))
        default: throw component.unknown(type, known: Self.known)
        }
    }

    /// A token and its number, as the processors of BERT have them.
    private static func pairedToken(_ component: Component) throws -> Int32 {
        let parts = try component.elements()
        guard parts.count == 2 else { throw component.error("expected a token and its number") }
        return Int32(try parts[1].count())
    }

    private static func template(_ component: Component) throws -> PostProcessor {
        var (before, after, hasText): ([Int32], [Int32], Bool) = ([], [], false)
        let single = try component.required("single")
        for part in try single.elements() {
            if let token = part.optional("SpecialToken") {
                let ids = try ids(of: token.required("id"), in: component)
                if hasText { after += ids } else { before += ids }
            } else {
                let sequence = try part.required("Sequence").required("id")
                guard try sequence.string() == "A", !hasText else {
                    throw sequence.error("expected \"A\" once in the template of a single text")
                }
                hasText = true
            }
        }
        guard hasText else { throw single.error("expected \"Sequence\" \"A\"") }
        return .surround(before: before, after: after)
    }

    private static func ids(of name: Component, in template: Component) throws -> [Int32] {
        let name = (component: name, text: try name.string())
        let tokens = try template.required("special_tokens")
        guard let token = tokens.optional(name.text) else {
            throw name.component.error("expected one of special_tokens, found \(name.text.debugDescription)")
        }
        return try token.required("ids").elements().map { Int32(try $0.count()) }
    }

    func apply(to tokens: inout [Int32]) {
        switch self {
        case .surround(let before, let after):
            tokens.insert(contentsOf: before, at: 0)
            tokens += after
        case .sequence(let parts): for part in parts { part.apply(to: &tokens) }
        }
    }
}
