import Foundation

/// What is wrong with something that came from outside: a file, a configuration key, an option, a text.
///
/// The message is one line that names the file, key or option and says what was expected. A programmer's own mistakes
/// (shapes, axes) are not errors of this kind: they stop the program.
public struct InputError: Error, Hashable, Sendable, CustomStringConvertible, LocalizedError {
    /// The whole message, one line, without a closing newline.
    public let message: String

    /// - Parameter message: one line that names the offending thing and what was expected in its place.
    public init(_ message: String) {
        self.message = message
    }

    public var description: String { message }

    public var errorDescription: String? { message }
}
