/// Writes spaces as a visible character and splits before each, as SentencePiece does.
struct Metaspace: Sendable {
    enum Prepending: String, CaseIterable, Sendable {
        case always, first, never
    }

    let replacement: [UInt8]
    let prepending: Prepending
    let splits: Bool

    init(_ component: Component) throws {
        replacement = Array(String(try component.optional("replacement")?.scalar() ?? "▁").utf8)
        splits = try component.bool("split", default: true)
        prepending = try Self.prepending(component)
    }

    /// Older files have `add_prefix_space` instead.
    private static func prepending(_ component: Component) throws -> Prepending {
        guard let scheme = component.optional("prepend_scheme") else {
            return try component.bool("add_prefix_space", default: true) ? .always : .never
        }
        let name = try scheme.string()
        guard let prepending = Prepending(rawValue: name) else {
            throw scheme.unknown(name, known: Prepending.allCases.map(\.rawValue))
        }
        return prepending
    }

    func apply(to text: inout SplitText) {
        text.rewrite { piece, startsText, result in
            let isPrepended = prepending == .always || prepending == .first && startsText
            if isPrepended, piece.first != 0x20, !piece.starts(with: replacement) {
                result.append(contentsOf: replacement)
            }
            for byte in piece {
                if byte == 0x20 { result.append(contentsOf: replacement) } else { result.append(byte) }
            }
        }
        guard splits else { return }
        let pattern = Pattern.string(replacement)
        text.split { SplitBehavior.mergedWithNext.pieces(of: $0.count, at: pattern.matches(in: $0)) }
    }
}
