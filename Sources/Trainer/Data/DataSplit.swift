import Foundation
import Tensors

/// The text trained on and the text held out for validation.
public struct DataSplit: Sendable {
    /// The tokens to train on.
    public let training: TokenSource
    /// nil when nothing is held back.
    public let validation: TokenSource?
    /// Known facts about the validation text; nil for texts from outside.
    public var knowledge: TextKnowledge?

    /// Holds back the end of a text; if it consists of documents, whole ones as long as enough is left to validate with.
    /// - Parameters:
    ///   - validationFraction: the share of the tokens, at least 0 (no validation) and below 1.
    ///   - sequenceLength: what the training windows have; each part must have one token more.
    /// - Throws: `InputError` that names the text, its length and the length needed; `OptionError` for another share.
    public init(_ tokens: TokenSource, validationFraction: Double = 0.1, sequenceLength: Int) throws {
        try OptionLimits.rate.check("validationFraction", validationFraction)
        try Self.requireLength(of: tokens, sequenceLength: sequenceLength)
        guard validationFraction > 0 else {
            training = tokens
            validation = nil
            return
        }
        let boundary = try Self.boundary(in: tokens, validationFraction, sequenceLength: sequenceLength)
        let share = String(format: "%.4g %%", validationFraction * 100)
        training = tokens.slice(0..<boundary, name: "\(tokens.name) (without the last \(share))")
        let validation = tokens.slice(boundary..<tokens.count, name: "\(tokens.name) (the last \(share))")
        try Self.requireLength(of: training, sequenceLength: sequenceLength)
        try Self.requireLength(of: validation, sequenceLength: sequenceLength)
        self.validation = validation
    }

    /// Returns the beginning of the held-out part: with the next document, unless that leaves less than a window of it.
    private static func boundary(in tokens: TokenSource, _ fraction: Double, sequenceLength: Int) throws -> Int {
        let boundary = tokens.count - Int((Double(tokens.count) * fraction).rounded())
        guard boundary > 0, tokens.separator != .nothing else { return boundary }
        let documentStart = try tokens.documentEnd(after: boundary - 1)
        return tokens.count - documentStart > sequenceLength ? documentStart : boundary
    }

    /// Validates with a text of its own.
    /// - Throws: `InputError` that names the text that is too short, its length and the length needed.
    public init(training: TokenSource, validation: TokenSource, sequenceLength: Int) throws {
        try Self.requireLength(of: training, sequenceLength: sequenceLength)
        try Self.requireLength(of: validation, sequenceLength: sequenceLength)
        self.training = training
        self.validation = validation
    }

    /// A window of n inputs and n targets, each the token after, takes n + 1 tokens.
    static func requireLength(of tokens: TokenSource, sequenceLength: Int) throws {
        guard tokens.count <= sequenceLength else { return }
        throw InputError(
            "\(tokens.name): has \(counted(tokens.count, "token")); a sequence length of \(sequenceLength) needs at least"
                + " \(sequenceLength + 1)")
    }
}

/// A number of things, "1 token" or "2 tokens".
package func counted(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
