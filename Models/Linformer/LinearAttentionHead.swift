import NN
import Tensors

/// One head. Keys: E.*, F.* (see `SequenceProjection`).
public struct LinearAttentionHead: Module {
    /// E and F.
    public let keyProjection: SequenceProjection, valueProjection: SequenceProjection
    private let attention: ProjectedAttention

    /// - Parameters:
    ///   - configuration: width, dropout, causality and full attention are what a head takes of it.
    ///   - isDecoder: whether it attends to a decoder's embeddings.
    public init(
        _ configuration: LinformerConfiguration, _ keyProjection: SequenceProjection,
        _ valueProjection: SequenceProjection, isDecoder: Bool = false
    ) {
        (self.keyProjection, self.valueProjection) = (keyProjection, valueProjection)
        attention = ProjectedAttention(configuration, isDecoder: isDecoder, [(keyProjection, valueProjection)])
    }

    /// - Parameters:
    ///   - q: [b, n, d]; k, v: [b, n', d].
    ///   - inputMask: 1 for the keys and values that take part, else 0: [b, n'].
    /// - Returns: [b, n, d].
    public func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, inputMask: Tensor? = nil, mode: ForwardMode = .inference
    ) -> Tensor {
        attention(q.unsqueezed(2), k.unsqueezed(2), v.unsqueezed(2), mask: inputMask, mode: mode).squeezed(2)
    }

    public func collect(into state: inout StateCollector) {
        keyProjection.collect("E", into: &state)
        valueProjection.collect("F", into: &state)
    }
}
