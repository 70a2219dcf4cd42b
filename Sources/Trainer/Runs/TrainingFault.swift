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
    /// The whole message, one line, which says how to resume.
    public let message: String
    /// The problem, without how to continue.
    public let problem: String

    /// A fault of which there is nothing to say but what happened.
    public init(_ kind: Kind, _ message: String) { self.init(kind, message, wayOn: "") }

    /// - Parameter wayOn: how to resume; begins with what separates it from the problem.
    init(_ kind: Kind, _ problem: String, wayOn: String) {
        (self.kind, self.problem, message) = (kind, problem, problem + wayOn)
    }

    public var description: String { message }

    public var errorDescription: String? { message }
}
