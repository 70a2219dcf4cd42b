import NN
import Tensors

/// Where a text stands while it is generated: all it takes to go on with it, here or in another process.
public struct GenerationState<Model: LanguageModel>: Sendable {
    /// What the model has read.
    public var decoding: Model.DecodingState
    /// The tokens that it has not read yet: the last one chosen.
    public var unread: [Int32]
    /// How many tokens have been chosen; the draws of sampling depend on it.
    public var position: Int
    /// Bytes that were generated and not given out yet: the beginning of a character, or of a stop text.
    public var pending: [UInt8]

    public init(decoding: Model.DecodingState, unread: [Int32], position: Int, pending: [UInt8] = []) {
        (self.decoding, self.unread, self.position, self.pending) = (decoding, unread, position, pending)
    }
}
