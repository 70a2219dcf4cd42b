import Foundation

/// What ends a training that was well begun, as against an `InputError`: a command that cannot be begun.
public struct TrainingFault: Error, Hashable, Sendable, CustomStringConvertible, LocalizedError {
    public enum Kind: Sendable, Hashable {
        /// A loss, a gradient or a weight is infinite or no number. The last checkpoint is from before it.
        case notFinite
        /// A file of the run cannot be written; the checkpoints that there were are whole.
        case notWritten
        /// Somebody else trains in the folder.
        case inUse
    }

    public let kind: Kind
    /// The whole message, one line, which says how to go on.
    public let message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }

    public var errorDescription: String? { message }
}
