import Tensors

/// The keys of a configuration: for each its property, the values that it takes, and how it is written.
public struct ConfigurationSchema<Root: Sendable>: Sendable {
    /// One, or several of which the keys decide.
    let forms: [ConfigurationForm<Root>]

    /// - Parameters:
    ///   - defaults: has the values of keys that are left out; those that are required may be anything.
    ///   - fields: in the order in which they are read, and listed in messages.
    public init(_ defaults: Root, _ fields: [ConfigurationField<Root>]) {
        forms = [ConfigurationForm(defaults: defaults, fields: fields, isMeant: { _ in true }, isForm: { _ in true })]
    }

    /// Creates the schema of an enumeration of configurations. The first form that is meant by the keys that are there is read;
    /// the last takes all that is left.
    public init(oneOf forms: [ConfigurationForm<Root>]) {
        require(!forms.isEmpty, "ConfigurationSchema(oneOf:): expected at least one form")
        self.forms = forms
    }

    /// The form of a JSON object with these keys.
    func form(ofKeys keys: some Sequence<String>) -> ConfigurationForm<Root> {
        let keys = Set(keys)
        return forms.first { $0.isMeant(keys) } ?? forms[forms.count - 1]
    }

    /// The keys of a value and what they are written as.
    package func members(of root: Root) -> [String: JSONValue] {
        var members: [String: JSONValue] = [:]
        guard let form = forms.first(where: { $0.isForm(root) }) else { return members }
        for field in form.fields { members[field.key] = field.write(root) }
        return members
    }
}

/// The purpose of a key that whoever trains a model may decide in place of its configuration.
public enum ConfigurationRole: Sendable, Hashable {
    /// The size of the vocabulary.
    case vocabulary
    /// The token after all that the tokenizer has, the last of the vocabulary.
    case lastToken
    /// The length of the longest row.
    case rowLength
    /// The length of the longer half of the longest row, where source and target are its halves.
    case halfRowLength
    /// The probability of dropout in one of the model's places.
    case dropout
    /// The number of layers.
    case depth
}

/// One of the configurations that an enumeration of them holds.
public struct ConfigurationForm<Root: Sendable>: Sendable {
    let defaults: Root
    let fields: [ConfigurationField<Root>]
    /// Tells from the keys that are there.
    let isMeant: @Sendable (Set<String>) -> Bool
    let isForm: @Sendable (Root) -> Bool
}

extension ConfigurationForm {
    /// Creates the form of one case.
    /// - Parameters:
    ///   - embed: makes the case of the configuration that it holds.
    ///   - extract: returns what the case holds; nil of another case.
    ///   - isMeant: tells from the keys of a JSON object whether it is of this case.
    public init<Part: ModelConfiguration>(
        _ embed: @escaping @Sendable (Part) -> Root, extract: @escaping @Sendable (Root) -> Part?,
        isMeantBy isMeant: @escaping @Sendable (Set<String>) -> Bool
    ) {
        let form = Part.schema.forms[0]
        self.init(
            defaults: embed(form.defaults),
            fields: form.fields.map { field in
                ConfigurationField(
                    field.key, role: field.role,
                    read: { root, reader in
                        guard var part = extract(root) else { return }
                        try field.read(&part, &reader)
                        root = embed(part)
                    }, write: { extract($0).flatMap(field.write) })
            }, isMeant: isMeant, isForm: { extract($0) != nil })
    }
}

/// One key of a configuration. A key that is null counts as left out.
///
/// Each kind takes the property and the values that are accepted. A key that is not `isRequired` is what the schema's defaults
/// have where it is left out, or what the property had been set to by a key before it.
public struct ConfigurationField<Root: Sendable>: Sendable {
    package let key: String
    /// The purpose for which a training sets it, if any does.
    package private(set) var role: ConfigurationRole?
    package let read: @Sendable (inout Root, inout ConfigurationReader) throws -> Void
    /// Nil where the key is not written.
    package let write: @Sendable (Root) -> JSONValue?

    /// A key with a form of its own.
    package init(
        _ key: String, role: ConfigurationRole? = nil,
        read: @escaping @Sendable (inout Root, inout ConfigurationReader) throws -> Void,
        write: @escaping @Sendable (Root) -> JSONValue?
    ) {
        (self.key, self.role, self.read, self.write) = (key, role, read, write)
    }

    /// The same key, which a training sets for this purpose.
    public func role(_ role: ConfigurationRole) -> Self {
        var field = self
        field.role = role
        return field
    }

    /// A key that sets one property.
    private init<Value>(
        _ key: String, _ property: WritableKeyPath<Root, Value> & Sendable,
        read: @escaping @Sendable (inout ConfigurationReader, _ default: Value) throws -> Value,
        write: @escaping @Sendable (Value) -> JSONValue
    ) {
        self.init(
            key, read: { $0[keyPath: property] = try read(&$1, $0[keyPath: property]) },
            write: { write($0[keyPath: property]) })
    }
}

// MARK: Numbers

extension ConfigurationField {
    /// A size: a whole number of at least `least`.
    public static func size(
        _ key: String, _ property: WritableKeyPath<Root, Int> & Sendable, atLeast least: Int = 1,
        atMost most: Int = 1 << 24, isRequired: Bool = false
    ) -> Self {
        Self(
            key, property,
            read: { try $0.size(key, default: isRequired ? nil : $1, atLeast: least, atMost: most) },
            write: { .integer($0) })
    }

    /// A size, or nil.
    public static func size(
        _ key: String, _ property: WritableKeyPath<Root, Int?> & Sendable, atLeast least: Int = 1,
        atMost most: Int = 1 << 24
    ) -> Self {
        Self(
            key, property, read: { reader, _ in try reader.optionalSize(key, atLeast: least, atMost: most) },
            write: { $0.map { .integer($0) } ?? .null })
    }

    /// The number of layers.
    public static func depth(
        _ key: String, _ property: WritableKeyPath<Root, Int> & Sendable, atLeast least: Int = 1,
        isRequired: Bool = false
    ) -> Self {
        size(key, property, atLeast: least, atMost: ConfigurationReader.mostLayers, isRequired: isRequired)
            .role(.depth)
    }

    /// The number of heads of a layer.
    public static func heads(_ key: String, _ property: WritableKeyPath<Root, Int> & Sendable) -> Self {
        Self(key, property, read: { try $0.heads(key, default: $1) }, write: { .integer($0) })
    }

    /// A whole number in a range.
    public static func integer(
        _ key: String, _ property: WritableKeyPath<Root, Int> & Sendable, in range: ClosedRange<Int>
    ) -> Self {
        Self(key, property, read: { try $0.int(key, default: $1, in: range) }, write: { .integer($0) })
    }

    /// A token, or a number that stands for none.
    public static func token(_ key: String, _ property: WritableKeyPath<Root, Int32> & Sendable) -> Self {
        let range = Int(Int32.min)...Int(Int32.max)
        return Self(
            key, property, read: { Int32(try $0.int(key, default: Int($1), in: range)) },
            write: { .integer(Int($0)) })
    }

    /// A number in a range; `Double.leastNormalMagnitude...` means above 0.
    public static func number(
        _ key: String, _ property: WritableKeyPath<Root, Double> & Sendable,
        in range: some RangeExpression<Double> & Sendable
    ) -> Self {
        Self(key, property, read: { try $0.double(key, default: $1, in: range) }, write: { .number($0) })
    }

    /// A number in a range, or nil.
    public static func number(
        _ key: String, _ property: WritableKeyPath<Root, Double?> & Sendable,
        in range: some RangeExpression<Double> & Sendable
    ) -> Self {
        Self(
            key, property, read: { reader, _ in try reader.optionalDouble(key, in: range) },
            write: { $0.map { .number($0) } ?? .null })
    }

    /// A number of single precision, written with the fewest digits that are read as it.
    public static func number(
        _ key: String, _ property: WritableKeyPath<Root, Float> & Sendable, in range: ClosedRange<Double>
    ) -> Self {
        Self(
            key, property, read: { Float(try $0.double(key, default: $1.shortest, in: range)) },
            write: { .number($0.shortest) })
    }

    /// A list of whole numbers, or nil.
    public static func integers(_ key: String, _ property: WritableKeyPath<Root, [Int]?> & Sendable) -> Self {
        Self(
            key, property, read: { reader, _ in try reader.optionalInts(key) },
            write: { $0.map { .array($0.map { .integer($0) }) } ?? .null })
    }
}

extension Float {
    /// The number with the fewest digits that is read as this one.
    fileprivate var shortest: Double { Double("\(self)") ?? Double(self) }
}

// MARK: Truth values and words

extension ConfigurationField {
    /// True or false.
    public static func flag(_ key: String, _ property: WritableKeyPath<Root, Bool> & Sendable) -> Self {
        Self(key, property, read: { try $0.bool(key, default: $1) }, write: { .bool($0) })
    }

    /// True or false in words, such as "rms" and "none".
    public static func flag(
        _ key: String, _ property: WritableKeyPath<Root, Bool> & Sendable, isTrueAs yes: String, isFalseAs no: String
    ) -> Self {
        Self(
            key, property, read: { try $0.string(key, default: $1 ? yes : no, oneOf: [no, yes]) == yes },
            write: { .string($0 ? yes : no) })
    }

    /// A case of an enumeration, by its raw value.
    public static func option<Option: RawRepresentable<String> & CaseIterable & Sendable>(
        _ key: String, _ property: WritableKeyPath<Root, Option> & Sendable
    ) -> Self {
        Self(key, property, read: { try $0.option(key, default: $1) }, write: { .string($0.rawValue) })
    }
}

// MARK: Parts

extension ConfigurationField {
    /// The same key of a configuration that this one is a part of.
    /// - Parameters:
    ///   - part: where the part stands in the whole.
    ///   - isWritten: false where the key means nothing and is left out of the JSON form.
    public func of<Whole: Sendable>(
        _ part: WritableKeyPath<Whole, Root> & Sendable,
        isWritten: @escaping @Sendable (Whole) -> Bool = { _ in true }
    ) -> ConfigurationField<Whole> {
        let (read, write) = (read, write)
        return ConfigurationField<Whole>(
            key, role: role, read: { try read(&$0[keyPath: part], &$1) },
            write: { isWritten($0) ? write($0[keyPath: part]) : nil })
    }
}
