/// A part of a tokenizer file, with its place for messages: `tokenizer.json: pre_tokenizer.pretokenizers[1].pattern`.
struct Component {
    let json: JSON
    let file: String
    let path: String

    /// An error that names file and key.
    func error(_ message: String) -> TokenizerError {
        TokenizerError(path.isEmpty ? "\(file): \(message)" : "\(file): \(path): \(message)")
    }

    /// The part under a key; nil where it is missing or null.
    func optional(_ key: String) -> Component? {
        json.member(key).map { Component(json: $0, file: file, path: path.isEmpty ? key : "\(path).\(key)") }
    }

    /// The part under a key.
    func required(_ key: String) throws -> Component {
        guard let part = optional(key) else {
            guard case .object = json else { throw expected("an object") }
            throw error("\(key) is missing")
        }
        return part
    }

    /// The elements of an array.
    func elements() throws -> [Component] {
        guard case .array(let elements) = json else { throw expected("an array") }
        return elements.enumerated().map { Component(json: $1, file: file, path: "\(path)[\($0)]") }
    }

    /// The members of an object.
    func members() throws -> [JSON.Member] {
        guard case .object(let members) = json else { throw expected("an object") }
        return members
    }

    func string() throws -> String {
        guard case .string(let value) = json else { throw expected("a string") }
        return value
    }

    func bool() throws -> Bool {
        guard case .bool(let value) = json else { throw expected("true or false") }
        return value
    }

    func number() throws -> Double {
        guard case .number(let value) = json else { throw expected("a number") }
        return value
    }

    /// A whole number from 0 on that fits 32 bits, as the numbers of tokens do.
    func count() throws -> Int {
        guard case .number(let value) = json, let count = Int32(exactly: value), count >= 0 else {
            throw expected("a whole number from 0 to \(Int32.max)")
        }
        return Int(count)
    }

    /// One character.
    func scalar() throws -> Unicode.Scalar {
        let text = try string()
        guard let scalar = text.unicodeScalars.first, text.unicodeScalars.count == 1 else {
            throw error("expected one character, found \(text.debugDescription)")
        }
        return scalar
    }

    func string(_ key: String, default value: String) throws -> String { try optional(key)?.string() ?? value }

    func bool(_ key: String, default value: Bool) throws -> Bool { try optional(key)?.bool() ?? value }

    /// The name in `type`, by which components are told apart.
    func type() throws -> String { try required("type").string() }

    /// An error for a name that is none of the known ones.
    func unknown(_ name: String, known: [String]) -> TokenizerError {
        error("unknown \(name.debugDescription); known are \(known.joined(separator: ", "))")
    }

    private func expected(_ what: String) -> TokenizerError { error("expected \(what), found \(json.typeName)") }
}
