import Foundation
import Tensors

/// The configuration of a model or a layer: a value that is written as one JSON object, whose keys are the peer's keyword names.
///
///     public struct RunningMeanConfiguration: ModelConfiguration {
///         public var tokens: Int
///         public var dimension = 64
///         public var dropout = 0.0
///
///         public static let schema = ConfigurationSchema(
///             RunningMeanConfiguration(tokens: 0),
///             [
///                 .size("num_tokens", \.tokens, isRequired: true).role(.vocabulary),
///                 .size("dim", \.dimension),
///                 .number("dropout", \.dropout, in: 0..<1).role(.dropout),
///             ])
///     }
///
/// The schema gives both directions of `Codable`, whatever the decoder. Reading is strict: an unknown key, a missing one, a
/// wrong type, a value out of range or an impossible combination is an `InputError` that names the key and what was
/// expected.
public protocol ModelConfiguration: Codable, Equatable, Sendable {
    /// The keys in the order in which they are read, and the values of those that are left out.
    static var schema: ConfigurationSchema<Self> { get }

    /// Refuses what cannot be together.
    /// - Throws: `ConfigurationError`, which names the key.
    func check() throws
}

/// An impossible value among the others of a configuration.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The key of the value, as JSON has it.
    public let key: String
    /// The problem, and what was expected.
    public let problem: String

    /// Creates an error about the value of a key.
    public init(_ key: String, _ problem: String) { (self.key, self.problem) = (key, problem) }

    public var description: String { "\(JSONValue.quoted(key)): \(problem)" }
}

extension ModelConfiguration {
    public func check() throws {}

    /// Reads the file at a path.
    /// - Throws: `InputError` for malformed JSON (with line and column), and as any decoding of a configuration.
    public init(path: String) throws {
        var reader = try ConfigurationReader(path: path)
        self = try Self.read(&reader)
    }

    public init(from decoder: any Decoder) throws {
        let place = decoder.codingPath.map(\.stringValue).joined(separator: ".")
        try self.init(JSONValue(from: decoder), file: place.isEmpty ? "\(Self.self)" : place)
    }

    public func encode(to encoder: any Encoder) throws { try json.encode(to: encoder) }

    /// Stops where a configuration made in code has what cannot be together; one that is read has been checked.
    /// - Parameter user: the type that is made of it, for the message.
    package func requirePossible(_ user: String) {
        do {
            try check()
        } catch let error as ConfigurationError {
            require(false, "\(user): \(error.key): \(error.problem)")
        } catch {
            require(false, "\(user): \(error)")
        }
    }

    /// Checks every value as if it were read: its range, and that it goes with the others.
    /// - Throws: `InputError` that names the type and the key.
    public func validate() throws { _ = try Self(json, file: "\(Self.self)") }

    /// Reads the JSON form.
    /// - Parameter file: what messages call it, usually its path.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    package init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        self = try Self.read(&reader)
    }

    /// The JSON form, every option written out.
    package var json: JSONValue { .object(Self.schema.members(of: self)) }

    private static func read(_ reader: inout ConfigurationReader) throws -> Self {
        let form = schema.form(ofKeys: reader.keys)
        var configuration = form.defaults
        for field in form.fields { try field.read(&configuration, &reader) }
        try reader.finish()
        do { try configuration.check() } catch let error as ConfigurationError {
            throw reader.error(error.key, error.problem)
        }
        return configuration
    }
}

// MARK: Parts that a training decides

extension ModelConfiguration {
    /// Returns a JSON object, which may lack required keys, with the values of roles in the keys that play them.
    /// - Parameter values: nil leaves a role's keys as they are.
    package static func setting(_ values: [ConfigurationRole: JSONValue?], in json: JSONValue) -> JSONValue {
        guard var members = json.objectValue else { return json }
        for field in schema.form(ofKeys: members.keys).fields {
            if let role = field.role, case let value?? = values[role] { members[field.key] = value }
        }
        return .object(members)
    }

    /// The keys of a JSON object's form that play a role.
    package static func keys(of role: ConfigurationRole, in json: JSONValue) -> [String] {
        schema.form(ofKeys: json.objectValue.map { Array($0.keys) } ?? []).fields.filter { $0.role == role }.map(\.key)
    }

    /// The keys of a JSON object's form.
    package static func keys(in json: JSONValue) -> [String] {
        schema.form(ofKeys: json.objectValue.map { Array($0.keys) } ?? []).fields.map(\.key)
    }
}
