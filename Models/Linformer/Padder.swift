import NN
import Tensors

/// Runs sequences of unequal lengths together: each is padded to the longest, and the padding takes part in nothing.
/// (linformer-pytorch's fills up to input_size with zeros that take part like any token.)
public struct Padder<Net: Module>: Sendable {
    /// The model that runs them.
    public let net: Net

    /// Full attention needs `hide_masked_keys`, or padding would be attended to with the score 0.
    private init(net: Net, _ configuration: LinformerConfiguration) {
        require(
            !configuration.usesFullAttention || configuration.hidesMaskedKeys,
            "Padder: full_attention attends to masked keys; expected hide_masked_keys")
        self.net = net
    }

    /// 1 for the first tokens of each row, as many as it has, else 0: [b, n].
    private static func mask(_ lengths: [Int], _ n: Int) -> Tensor {
        Tensor(lengths.flatMap { length in (0..<n).map { $0 < length ? 1 : 0 } }, shape: [lengths.count, n])
    }
}

extension Padder where Net == Linformer {
    /// Wraps layers; with full attention they must hide masked keys.
    public init(_ net: Linformer) { self.init(net: net, net.configuration) }

    /// - Parameter sequences: [nᵢ, m] each, nᵢ up to input_size.
    /// - Returns: [nᵢ, m] each.
    public func callAsFunction(_ sequences: [Tensor], mode: ForwardMode = .inference) -> [Tensor] {
        let lengths = sequences.map { $0.shape[0] }
        let n = lengths.max() ?? 0
        let padded = stack(sequences.map { $0.shape[0] == n ? $0 : $0.padded(axis: 0, after: n - $0.shape[0]) })
        let y = net(padded, inputMask: Self.mask(lengths, n), mode: mode)
        return lengths.enumerated().map { y.at(0, $0).part(0, 0..<$1) }
    }
}

extension Padder where Net == LinformerLM {
    /// Wraps a language model; with full attention it must hide masked keys.
    public init(_ net: LinformerLM) { self.init(net: net, net.configuration.stack) }

    /// - Parameter sequences: the tokens of each, up to input_size.
    /// - Returns: logits [nᵢ, vocabulary] of each, or with return_emb [nᵢ, emb_dim].
    public func callAsFunction(_ sequences: [[Int32]], mode: ForwardMode = .inference) -> [Tensor] {
        let lengths = sequences.map(\.count)
        let n = lengths.max() ?? 0
        let tokens = sequences.flatMap { $0 + [Int32](repeating: 0, count: n - $0.count) }
        let y = net(
            TokenTensor(tokens, shape: [sequences.count, n]), inputMask: Self.mask(lengths, n), mode: mode)
        return lengths.enumerated().map { y.at(0, $0).part(0, 0..<$1) }
    }
}
