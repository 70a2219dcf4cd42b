import Foundation
import Tensors

/// An option that cannot be as it is: which one, the problem, and what was expected.
///
///     try TrainingOptions(warmupSteps: -1).validate()
///     // warmupSteps: expected a whole number of at least 0, found -1
///
/// The description names options as Swift does. `message(naming:)` has other names for them, such as the keys of a file.
public struct OptionError: Error, Hashable, Sendable, CustomStringConvertible, LocalizedError {
    /// The property or parameter, such as "warmupSteps" or, of a part, "optimizer.beta1".
    public let property: String
    /// The whole message, with the names of options left open.
    public let text: OptionText

    /// Creates an error that begins with the property.
    /// - Parameter problem: the rest of the line, such as "expected a number above 0, found -1".
    public init(_ property: String, _ problem: OptionText) {
        self.init(of: property, text: "\(option: property): \(problem)")
    }

    /// Creates an error that begins with the property and its value, where the problem follows from that.
    public init(_ property: String, is value: String, _ problem: OptionText) {
        self.init(of: property, text: "\(option: property, value): \(problem)")
    }

    /// Creates an error whose line begins otherwise.
    public init(of property: String, text: OptionText) { (self.property, self.text) = (property, text) }

    public var description: String { message(naming: .properties) }

    public var errorDescription: String? { description }

    /// The message in one line.
    public func message(naming names: OptionNames) -> String { InputError(text.text(naming: names)).message }

    /// Returns the same error about properties of other names.
    /// - Parameter name: returns the new name of a property.
    func renamed(_ name: (String) -> String) -> OptionError {
        OptionError(of: name(property), text: text.renamed(name))
    }

    /// Does what checks a part of other options; its errors name the properties as the whole's.
    static func inPart<Result>(_ part: String, _ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as OptionError { throw error.renamed { "\(part).\($0)" } }
    }
}

/// A sentence about options whose names are left open: code, files and commands have different ones.
///
///     "expected fewer than the \(count) steps of \(option: "schedule", "cosine")"
public struct OptionText: Hashable, Sendable, ExpressibleByStringInterpolation {
    private var pieces: [Piece] = []

    fileprivate enum Piece: Hashable, Sendable {
        case text(String)
        case option(OptionMention)
        case resuming(String, with: OptionMention?)
    }

    /// Creates a sentence that names no option.
    public init(stringLiteral text: String) { pieces = text.isEmpty ? [] : [.text(text)] }

    /// Creates the sentence of a string literal.
    public init(stringInterpolation: StringInterpolation) { pieces = stringInterpolation.pieces }

    /// The sentence with names.
    public func text(naming names: OptionNames) -> String {
        pieces.map { piece in
            switch piece {
            case .text(let text): text
            case .option(let mention): names.text(of: mention)
            case .resuming(let path, let mention): names.resumption(of: path, with: mention)
            }
        }.joined()
    }

    fileprivate func renamed(_ name: (String) -> String) -> OptionText {
        var text = self
        text.pieces = pieces.map { piece in
            guard case .option(let mention) = piece else { return piece }
            return .option(OptionMention(property: name(mention.property), value: mention.value))
        }
        return text
    }

    /// The text and the options of a string literal.
    public struct StringInterpolation: StringInterpolationProtocol {
        fileprivate private(set) var pieces: [Piece] = []

        public init(literalCapacity: Int, interpolationCount: Int) {}

        public mutating func appendLiteral(_ literal: String) { append(.text(literal)) }

        /// Appends the description of a value.
        public mutating func appendInterpolation(_ value: some CustomStringConvertible) {
            append(.text("\(value)"))
        }

        /// Appends another sentence.
        public mutating func appendInterpolation(_ text: OptionText) { for piece in text.pieces { append(piece) } }

        /// Appends the name of an option, and its value.
        public mutating func appendInterpolation(option property: String, _ value: String? = nil) {
            append(.option(OptionMention(property: property, value: value)))
        }

        /// Appends the way to resume the run in a folder, where another value of an option may be wanted.
        mutating func appendInterpolation(resuming path: String, with change: OptionMention? = nil) {
            append(.resuming(path, with: change))
        }

        /// Appends a piece; texts in a row are one, so that sentences that read alike are equal.
        private mutating func append(_ piece: Piece) {
            switch (pieces.last, piece) {
            case (_, .text("")): break
            case (.text(let before)?, .text(let after)): pieces[pieces.count - 1] = .text(before + after)
            default: pieces.append(piece)
            }
        }
    }
}

/// An option in a sentence, and its value where that is said.
public struct OptionMention: Hashable, Sendable {
    /// The property or parameter.
    public let property: String
    /// The value in words or digits.
    public let value: String?
}

extension OptionMention: CustomStringConvertible {
    /// The property and its value.
    public var description: String { property + (value.map { " " + $0 } ?? "") }
}
