import Foundation

/// An error in a tokenizer file: one line that names the file and the key, and what was expected there.
public struct TokenizerError: Error, Hashable, Sendable, CustomStringConvertible, LocalizedError {
    /// The whole message, one line, without a closing newline.
    public let message: String

    /// - Parameter message: one line. Control characters of names from outside, which would break it, are written as numbers.
    public init(_ message: String) {
        self.message =
            message.unicodeScalars.contains { $0.properties.generalCategory == .control }
            ? message.unicodeScalars.map(Self.visible).joined() : message
    }

    public var description: String { message }

    public var errorDescription: String? { message }

    private static func visible(_ scalar: Unicode.Scalar) -> String {
        guard scalar.properties.generalCategory == .control else { return String(scalar) }
        return "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
    }
}
