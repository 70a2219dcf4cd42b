import Foundation

/// An error that ends a training well begun, as against an `InputError`: a command that cannot be begun.
public struct TrainingFault: Error, Hashable, Sendable, CustomStringConvertible, LocalizedError {
    /// The kinds of faults.
    public enum Kind: Sendable, Hashable {
        /// A loss, a gradient or a weight is infinite or no number. The last checkpoint is from before it.
        case notFinite
        /// A file of the run cannot be written; the checkpoints that there were are whole.
        case notWritten
        /// Somebody else trains in the folder.
        case inUse
    }

    /// The fault's kind.
    public let kind: Kind
    /// The problem, without how to continue.
    public let problem: String
    /// The advice on how to continue; begins with what separates it from the problem.
    private let advice: OptionText

    /// A fault of which there is nothing to say but what happened.
    public init(_ kind: Kind, _ message: String) { self.init(kind, message, advice: "") }

    init(_ kind: Kind, _ problem: String, advice: OptionText) {
        (self.kind, self.problem, self.advice) = (kind, problem, advice)
    }

    /// The whole message, one line, which says how to resume, with the names of options in code.
    public var message: String { message(naming: .properties) }

    /// The whole message with other names of options.
    public func message(naming names: OptionNames) -> String { problem + advice.text(naming: names) }

    /// The same fault, whose message has other names of options.
    package func naming(_ names: OptionNames) -> TrainingFault {
        TrainingFault(kind, problem, advice: OptionText(stringLiteral: advice.text(naming: names)))
    }

    public var description: String { message }

    public var errorDescription: String? { message }
}
