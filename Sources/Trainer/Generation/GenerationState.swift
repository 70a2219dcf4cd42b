import NN
import Tensors

/// The state of a text being generated: all it takes to continue it, here or in another process.
public struct GenerationState<Model: LanguageModel>: Sendable {
    /// The model's decoding state after the tokens it has read.
    public var decoding: Model.DecodingState
    /// The tokens that it has not read yet: the last one chosen.
    public var unread: [Int32]
    /// The number of tokens chosen, on which the draws of sampling depend.
    public var position: Int
    /// Bytes that were generated and not given out yet: the beginning of a character, or of a stop text.
    public var pending: [UInt8]

    /// Creates the state of a text that has been read and continued so far.
    public init(decoding: Model.DecodingState, unread: [Int32], position: Int, pending: [UInt8] = []) {
        (self.decoding, self.unread, self.position, self.pending) = (decoding, unread, position, pending)
    }
}
