import Foundation
import Tensors

/// Reads a configuration: a JSON object whose keys are the peer's keyword names in snake_case.
///
///     var reader = try ConfigurationReader(path: "config.json")
///     let dim = try reader.int("dim", in: 1...)                            // without a default: required
///     let groupSize = try reader.int("group_size", default: 256, in: 1...)
///     let norm: NormType = try reader.option("norm_type", default: .layerNorm)
///     try reader.finish()                                                  // no key may be left over
///
/// A key whose value is `null` counts as left out. Types are strict: `true` is not 1 and "512" is not 512; 2.0 passes
/// for a whole number, 2.5 does not; a whole number is a fine `double`. Every method throws an `InputError` that names
/// the file, the key, what was expected and what was found.
public struct ConfigurationReader: Sendable {
    /// The name of the configuration in messages, usually its path.
    public let file: String
    private let members: [String: JSONValue]
    /// The keys asked for so far, in that order: the ones `finish` accepts.
    private var knownKeys: [String] = []

    /// - Parameter file: what messages call the configuration, usually its path.
    /// - Throws: malformed JSON (with line and column), or something else than an object.
    public init(data: Data, file: String) throws {
        try self.init(try JSONValue(parsing: data, file: file), file: file)
    }

    /// Reads the file at `path`.
    public init(path: String) throws {
        let contents = try MappedFile(path: path)
        try self.init(try contents.withUnsafeBytes { try JSONValue(parsing: $0, file: path) }, file: path)
    }

    /// The keys that are there.
    var keys: Dictionary<String, JSONValue>.Keys { members.keys }

    /// - Parameter value: a document that has been parsed already, or an object found inside another.
    package init(_ value: JSONValue, file: String) throws {
        guard case .object(let members) = value else {
            throw InputError("\(file): expected a JSON object such as {\"dim\": 512}, found \(value.kindAndValue)")
        }
        guard members.count <= Self.mostKeys else {
            throw InputError("\(file): has \(members.count) keys; expected a configuration of at most \(Self.mostKeys)")
        }
        self.file = file
        self.members = members
    }

    // MARK: Numbers

    /// A whole number.
    /// - Parameters:
    ///   - default: the value when the key is left out; without one the key is required.
    ///   - range: the accepted values.
    public mutating func int(
        _ key: String, default: Int? = nil, in range: some RangeExpression<Int> = Int.min...Int.max
    ) throws -> Int {
        try required(try optionalInt(key, in: range) ?? `default`, key, Expected.int(range))
    }

    /// A whole number, or nil when the key is left out.
    public mutating func optionalInt(
        _ key: String, in range: some RangeExpression<Int> = Int.min...Int.max
    ) throws -> Int? {
        try convert(key, Expected.int(range)) { $0.intValue.flatMap { range.contains($0) ? $0 : nil } }
    }

    /// A size of a model: a whole number from `least` to 2²⁴, so that products of a few of them are numbers still.
    /// - Parameter most: the greatest value, where it is another.
    public mutating func size(
        _ key: String, default: Int? = nil, atLeast least: Int = 1, atMost most: Int = 1 << 24
    ) throws -> Int {
        try bounded(key, int(key, default: `default`, in: least...), most)
    }

    /// A size, or nil when the key is left out.
    public mutating func optionalSize(
        _ key: String, atLeast least: Int = 1, atMost most: Int = 1 << 24
    ) throws -> Int? {
        try optionalInt(key, in: least...).map { try bounded(key, $0, most) }
    }

    /// The greatest number of layers, each of which takes memory of its own however narrow it is.
    package static let mostLayers = 1 << 14

    /// The number of layers of a model.
    public mutating func depth(_ key: String, default: Int? = nil, atLeast least: Int = 1) throws -> Int {
        try size(key, default: `default`, atLeast: least, atMost: Self.mostLayers)
    }

    /// The number of heads of a layer: at most 2¹², as some have matrices of their own.
    public mutating func heads(_ key: String, default: Int) throws -> Int {
        try size(key, default: `default`, atMost: 1 << 12)
    }

    private func bounded(_ key: String, _ size: Int, _ most: Int) throws -> Int {
        if size > most { throw error(key, "expected at most \(most), found \(size)") }
        return size
    }

    /// A number, whole or not.
    /// - Parameter range: the accepted values; `Double.leastNormalMagnitude...` means "above 0" and says so.
    ///   (`leastNonzeroMagnitude` would let 0 pass on threads that flush denormal numbers to zero.)
    public mutating func double(
        _ key: String, default: Double? = nil,
        in range: some RangeExpression<Double> = -Double.infinity...Double.infinity
    ) throws -> Double {
        try required(try optionalDouble(key, in: range) ?? `default`, key, Expected.double(range))
    }

    /// A number, or nil when the key is left out.
    public mutating func optionalDouble(
        _ key: String, in range: some RangeExpression<Double> = -Double.infinity...Double.infinity
    ) throws -> Double? {
        try convert(key, Expected.double(range)) { $0.doubleValue.flatMap { range.contains($0) ? $0 : nil } }
    }

    /// A list of whole numbers, each in `range`.
    /// - Parameter count: how many there must be; nil for any number, none included.
    public mutating func ints(
        _ key: String, default: [Int]? = nil, count: Int? = nil,
        in range: some RangeExpression<Int> = Int.min...Int.max
    ) throws -> [Int] {
        let expected = Expected.ints(range, count: count)
        return try required(try optionalInts(key, count: count, in: range) ?? `default`, key, expected)
    }

    /// A list of whole numbers, or nil when the key is left out.
    public mutating func optionalInts(
        _ key: String, count: Int? = nil, in range: some RangeExpression<Int> = Int.min...Int.max
    ) throws -> [Int]? {
        try convert(key, Expected.ints(range, count: count)) { value in
            guard let values = value.arrayValue, count == nil || values.count == count else { return nil }
            let numbers = values.compactMap(\.intValue).filter(range.contains)
            return numbers.count == values.count ? numbers : nil
        }
    }

    // MARK: Truth values and words

    /// `true` or `false`.
    public mutating func bool(_ key: String, default: Bool? = nil) throws -> Bool {
        try required(try optionalBool(key) ?? `default`, key, "true or false")
    }

    /// `true`, `false`, or nil when the key is left out.
    public mutating func optionalBool(_ key: String) throws -> Bool? {
        try convert(key, "true or false", \.boolValue)
    }

    /// A string.
    /// - Parameter options: the accepted strings; nil for any.
    public mutating func string(
        _ key: String, default: String? = nil, oneOf options: [String]? = nil
    ) throws -> String {
        try required(try optionalString(key, oneOf: options) ?? `default`, key, Expected.string(options))
    }

    /// A string, or nil when the key is left out.
    public mutating func optionalString(_ key: String, oneOf options: [String]? = nil) throws -> String? {
        guard let text = try convert(key, Expected.string(options), \.stringValue) else { return nil }
        guard let options, !options.contains(text) else { return text }
        let suggestion = nearest(text, in: options).map { "; did you mean \(JSONValue.quoted($0))?" } ?? ""
        throw error(key, "expected \(Expected.string(options)), found \(JSONValue.quoted(text))\(suggestion)")
    }

    /// One case of an enumeration, by its raw value.
    public mutating func option<Option: RawRepresentable<String> & CaseIterable>(
        _ key: String, default: Option? = nil
    ) throws -> Option {
        let name = try string(key, default: `default`?.rawValue, oneOf: Option.allCases.map(\.rawValue))
        return Option(rawValue: name)!  // `string` accepts only raw values of cases
    }

    // MARK: Anything else

    /// The value as it stands, or nil when the key is left out: for keys with more than one accepted type.
    package mutating func value(_ key: String) -> JSONValue? {
        if !knownKeys.contains(key) { knownKeys.append(key) }
        return members[key] == .null ? nil : members[key]
    }

    /// True if the key is there and null, which other methods do not tell from a key that is left out.
    public mutating func isNull(_ key: String) -> Bool { value(key) == nil && members[key] == .null }

    /// An error about one key, in the words of all the others: `config.json: "dim": problem`.
    public func error(_ key: String, _ problem: String) -> InputError {
        InputError("\(file): \(JSONValue.quoted(key)): \(problem)")
    }

    /// Ends the reading: every key of the file must have been asked for by now, also those that are null.
    /// - Throws: `InputError` with all unknown keys, the nearest known one to each, and the list of known keys.
    public func finish() throws {
        let unknown = members.keys.filter { !knownKeys.contains($0) }.sorted()
        guard !unknown.isEmpty else { return }
        // Of a file that is no configuration at all there may be a million.
        let shown = unknown.prefix(Self.shownKeys)
        let names = shown.map { key in
            JSONValue.quoted(key.shortened)
                + (nearest(key, in: knownKeys).map { " (did you mean \(JSONValue.quoted($0))?)" } ?? "")
        }
        throw InputError(
            "\(file): unknown key\(unknown.count > 1 ? "s" : "") \(names.joined(separator: ", "))"
                + (unknown.count > shown.count ? " and \(unknown.count - shown.count) more;" : ";")
                + " known keys: \(knownKeys.joined(separator: ", "))")
    }

    private static let shownKeys = 20
    private static let mostKeys = 10_000

    private mutating func convert<Value>(
        _ key: String, _ expected: String, _ conversion: (JSONValue) -> Value?
    ) throws -> Value? {
        guard let found = value(key) else { return nil }
        guard let result = conversion(found) else {
            throw error(key, "expected \(expected), found \(found.kindAndValue)")
        }
        return result
    }

    private func required<Value>(_ value: Value?, _ key: String, _ expected: String) throws -> Value {
        if let value { return value }
        // A misspelt key is missing under its right name before `finish` can call it unknown.
        let unread = members.keys.filter { $0 != key && !knownKeys.contains($0) }.sorted()
        let hint = nearest(key, in: unread).map { " (there is a \(JSONValue.quoted($0)))" } ?? ""
        throw error(key, "is missing; expected \(expected)\(hint)")
    }
}

/// Wordings of expected values, for messages.
private enum Expected {
    static func int(_ range: some RangeExpression<Int>) -> String {
        "a whole number" + limits(range, least: .min, greatest: .max)
    }

    static func double(_ range: some RangeExpression<Double>) -> String {
        let limits = limits(range, least: -.infinity, greatest: .infinity)
        return "a number" + limits.replacing("of at least \(Double.leastNormalMagnitude)", with: "above 0")
    }

    static func ints(_ range: some RangeExpression<Int>, count: Int?) -> String {
        let limits = limits(range, least: .min, greatest: .max)
        return "a list of \(count.map { "\($0) " } ?? "")whole numbers" + (limits.isEmpty ? "" : ", each\(limits)")
    }

    static func string(_ options: [String]?) -> String {
        options.map { "one of " + $0.map(JSONValue.quoted).joined(separator: ", ") } ?? "a string"
    }

    private static func limits<Bound>(
        _ range: some RangeExpression<Bound>, least: Bound, greatest: Bound
    ) -> String {
        switch range {
        case let range as ClosedRange<Bound>:
            switch (range.lowerBound > least, range.upperBound < greatest) {
            case (true, true): " from \(range.lowerBound) to \(range.upperBound)"
            case (true, false): " of at least \(range.lowerBound)"
            case (false, true): " of at most \(range.upperBound)"
            case (false, false): ""
            }
        case let range as PartialRangeFrom<Bound>: " of at least \(range.lowerBound)"
        case let range as PartialRangeThrough<Bound>: " of at most \(range.upperBound)"
        case let range as PartialRangeUpTo<Bound>: " below \(range.upperBound)"
        case let range as Range<Bound>: " of at least \(range.lowerBound) and below \(range.upperBound)"
        default: " in \(range)"
        }
    }
}
