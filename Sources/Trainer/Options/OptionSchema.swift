import NN
import Tensors

/// Options that are checked, and written as a JSON object, by one schema.
///
/// Adding an option is adding a property and its field.
protocol CheckedOptions: Codable, Hashable, Sendable {
    /// The values of keys that are left out, where they may be.
    static var defaults: Self { get }
    /// The options in the order in which they are checked and read.
    static var schema: [OptionField<Self>] { get }

    /// Refuses what cannot be together.
    /// - Throws: `OptionError`.
    func checkTogether() throws
}

extension CheckedOptions {
    func checkTogether() throws {}

    /// - Throws: `OptionError` that names the first property that is out of range.
    func check() throws {
        for field in Self.schema { try field.check(self) }
        try checkTogether()
    }

    /// The JSON form, every option written out that has an effect.
    var json: JSONValue {
        .object(Self.schema.reduce(into: [:]) { $0.merge($1.members(self)) { $1 } })
    }

    /// Reads the JSON form.
    /// - Parameter file: the name in messages, usually the file's path and the keys that lead to the object.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        self = Self.defaults
        for field in Self.schema { try field.read(&self, &reader) }
        try reader.finish()
        do { try check() } catch let error as OptionError {
            throw InputError("\(file): \(error.message(naming: Self.keys))")
        }
    }

    /// The names of the options in JSON.
    static var keys: OptionNames {
        .keys(Dictionary(schema.map { ($0.property, $0.key) }) { $1 })
    }

    /// Reads the options wherever they are in a document.
    init(decoding decoder: any Decoder) throws {
        let place = decoder.codingPath.map(\.stringValue).joined(separator: ".")
        try self.init(JSONValue(from: decoder), file: place.isEmpty ? "\(Self.self)" : place)
    }
}

/// One option: its property, its key in JSON, and the values that it takes.
struct OptionField<Root: Sendable>: Sendable {
    let key: String
    let property: String
    /// The range of a whole number.
    var range: ClosedRange<Int>?
    let read: @Sendable (inout Root, inout ConfigurationReader) throws -> Void
    /// Returns the keys that are written.
    let members: @Sendable (Root) -> [String: JSONValue]
    /// Throws an `OptionError`.
    let check: @Sendable (Root) throws -> Void

    /// An option with a form of its own.
    init(
        _ key: String, property: String? = nil,
        read: @escaping @Sendable (inout Root, inout ConfigurationReader) throws -> Void,
        members: @escaping @Sendable (Root) -> [String: JSONValue],
        check: @escaping @Sendable (Root) throws -> Void = { _ in }
    ) {
        (self.key, self.property) = (key, property ?? key.camelCase)
        (self.read, self.members, self.check) = (read, members, check)
    }

    /// An option that is one value.
    private init<Value>(
        _ key: String, _ path: WritableKeyPath<Root, Value> & Sendable, property: String?,
        read: @escaping @Sendable (inout ConfigurationReader, _ default: Value) throws -> Value,
        write: @escaping @Sendable (Value) -> JSONValue,
        check: @escaping @Sendable (_ property: String, Value) throws -> Void = { _, _ in }
    ) {
        let name = property ?? key.camelCase
        self.init(
            key, property: name,
            read: { $0[keyPath: path] = try read(&$1, $0[keyPath: path]) },
            members: { [key: write($0[keyPath: path])] },
            check: { try check(name, $0[keyPath: path]) })
    }

    /// The same option, written only where it has an effect; where it is left out it has its default.
    func written(where hasEffect: @escaping @Sendable (Root) -> Bool) -> Self {
        let members = members
        return OptionField(
            key, property: property, read: read, members: { hasEffect($0) ? members($0) : [:] }, check: check)
    }
}

// MARK: Kinds

extension OptionField {
    /// A whole number in a range.
    static func whole(
        _ key: String, _ path: WritableKeyPath<Root, Int> & Sendable, in range: ClosedRange<Int>,
        property: String? = nil, isRequired: Bool = true
    ) -> Self {
        var field = Self(
            key, path, property: property,
            read: { try $0.int(key, default: isRequired ? nil : $1, in: range) }, write: { .integer($0) },
            check: { try range.check($0, $1) })
        field.range = range
        return field
    }

    /// A whole number in a range, or nil.
    static func whole(
        _ key: String, _ path: WritableKeyPath<Root, Int?> & Sendable, in range: ClosedRange<Int>
    ) -> Self {
        Self(
            key, path, property: nil, read: { reader, _ in try reader.optionalInt(key, in: range) },
            write: { $0.map { .integer($0) } ?? .null },
            check: { property, value in try value.map { try range.check(property, $0) } })
    }

    /// A number.
    static func number(
        _ key: String, _ path: WritableKeyPath<Root, Double> & Sendable, _ limits: OptionLimits,
        isRequired: Bool = true
    ) -> Self {
        Self(
            key, path, property: nil, read: { try $0.double(key, default: isRequired ? nil : $1) },
            write: { .number($0) }, check: { try limits.check($0, $1) })
    }

    /// A number, or nil.
    static func number(
        _ key: String, _ path: WritableKeyPath<Root, Double?> & Sendable, _ limits: OptionLimits
    ) -> Self {
        Self(
            key, path, property: nil, read: { reader, _ in try reader.optionalDouble(key) },
            write: { $0.map { .number($0) } ?? .null },
            check: { property, value in try value.map { try limits.check(property, $0) } })
    }

    /// True or false.
    static func flag(
        _ key: String, _ path: WritableKeyPath<Root, Bool> & Sendable, property: String? = nil
    ) -> Self {
        Self(
            key, path, property: property, read: { try $0.bool(key, default: $1) }, write: { .bool($0) })
    }

    /// A case of an enumeration, by its raw value.
    static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
        _ key: String, _ path: WritableKeyPath<Root, Choice> & Sendable, property: String? = nil
    ) -> Self {
        Self(
            key, path, property: property, read: { reader, _ in try reader.option(key) },
            write: { .string($0.rawValue) })
    }

    /// A seed: 64 bits, written as a signed number.
    static func seed(
        _ key: String, _ path: WritableKeyPath<Root, UInt64> & Sendable, isRequired: Bool = true
    ) -> Self {
        Self(
            key, path, property: nil,
            read: {
                UInt64(truncatingIfNeeded: try $0.int(key, default: isRequired ? nil : Int(truncatingIfNeeded: $1)))
            },
            write: { .integer(Int(truncatingIfNeeded: $0)) })
    }

    /// Options that are an object of their own.
    static func part<Part: CheckedOptions>(
        _ key: String, _ path: WritableKeyPath<Root, Part> & Sendable
    ) -> Self {
        Self(
            key, path, property: nil,
            read: { reader, _ in try Part(reader.value(key) ?? .object([:]), file: "\(reader.file), \(key)") },
            write: { $0.json },
            check: { property, part in try OptionError.inPart(property) { try part.check() } })
    }

    /// Some of the cases of an enumeration, by their raw values in the order of the enumeration; none where left out.
    static func words<Word: RawRepresentable<String> & CaseIterable & Hashable & Sendable>(
        _ key: String, _ path: WritableKeyPath<Root, Set<Word>> & Sendable
    ) -> Self {
        Self(
            key, path, property: nil,
            read: { reader, _ in
                guard let value = reader.value(key) else { return [] }
                let words = value.arrayValue?.map { $0.stringValue.flatMap(Word.init(rawValue:)) } ?? [nil]
                guard !words.contains(nil) else {
                    let known = Word.allCases.map(\.rawValue).joined(separator: ", ")
                    throw reader.error(key, "expected a list of some of \(known), found \(value)")
                }
                return Set(words.compactMap { $0 })
            },
            write: { words in .array(Word.allCases.filter(words.contains).map { .string($0.rawValue) }) })
    }

    /// Options that are a list of objects of their own; none where left out.
    static func parts<Part: CheckedOptions>(
        _ key: String, _ path: WritableKeyPath<Root, [Part]> & Sendable
    ) -> Self {
        Self(
            key, path, property: nil,
            read: { reader, _ in
                guard let value = reader.value(key) else { return [] }
                guard let values = value.arrayValue else {
                    throw reader.error(key, "expected a list, found \(value.kindAndValue)")
                }
                return try values.map { try Part($0, file: "\(reader.file), \(key)") }
            },
            write: { .array($0.map(\.json)) },
            check: { property, parts in for part in parts { try OptionError.inPart(property) { try part.check() } } })
    }
}
