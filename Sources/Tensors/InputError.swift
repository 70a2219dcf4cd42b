import Foundation

/// An error in something that came from outside: a file, a configuration key, an option, a text.
///
/// The message is one line that names the file, key or option and says what was expected. A programmer's own mistakes
/// (shapes, axes) are not errors of this kind: they stop the program.
public struct InputError: Error, Hashable, Sendable, CustomStringConvertible, LocalizedError {
    /// The whole message, one line, without a closing newline.
    public let message: String

    /// - Parameter message: one line that names the offending thing and what was expected in its place. Control characters
    ///   of names from outside, which would break the line or the terminal, are written as their numbers.
    public init(_ message: String) {
        self.message = message.unicodeScalars.contains(where: \.isControl) ? message.withoutControls : message
    }

    public var description: String { message }

    public var errorDescription: String? { message }
}

extension String {
    fileprivate var withoutControls: String {
        unicodeScalars.map { $0.isControl ? "\\u{\(String($0.value, radix: 16, uppercase: true))}" : String($0) }
            .joined()
    }
}

extension Unicode.Scalar {
    /// True if it is of the category Cc: C0, delete, C1.
    fileprivate var isControl: Bool { value < 0x20 || 0x7F..<0xA0 ~= value }
}
