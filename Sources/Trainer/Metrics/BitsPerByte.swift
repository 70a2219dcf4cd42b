import Foundation

/// Returns the bits a model needs for a byte of text: the measure in which models with different tokens compare.
///
/// - Parameters:
///   - loss: mean cross-entropy a token, in nats.
///   - tokens: the number of tokens of a text.
///   - bytes: the number of bytes of the same text in UTF-8. As many as tokens for `ByteTokenizer`.
public func bitsPerByte(loss: Double, tokens: Int, bytes: Int) -> Double {
    loss / M_LN2 * Double(tokens) / Double(bytes)
}
