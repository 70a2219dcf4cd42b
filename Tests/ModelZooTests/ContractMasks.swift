import Testing

@testable import ModelZoo

// MARK: Masks

/// A model whose forward pass takes a mask: 1 for tokens that take part, 0 for padding.
protocol MaskedModel: LanguageModel {
    /// tokens, mask: [b, n] → [b, n, vocabulary]
    func logits(_ tokens: TokenTensor, mask: Tensor, mode: ForwardMode) -> Tensor
}

extension FLASHTransformer: MaskedModel {
    func logits(_ tokens: TokenTensor, mask: Tensor, mode: ForwardMode) -> Tensor {
        self(tokens, mask: mask, mode: mode)
    }
}

extension LocalTransformer: MaskedModel {
    func logits(_ tokens: TokenTensor, mask: Tensor, mode: ForwardMode) -> Tensor {
        self(tokens, mask: mask, mode: mode)
    }
}

extension LinformerLM: MaskedModel {
    func logits(_ tokens: TokenTensor, mask: Tensor, mode: ForwardMode) -> Tensor {
        self(tokens, inputMask: mask, mode: mode)
    }
}

extension ContractModel {
    /// Those that take masks.
    static let masked = all.filter { (try? $0.make()) is any MaskedModel }

    /// Those in which padding on the right passes nothing to tokens: the peers' defaults let some of it through (parity.md).
    static let padded = masked.filter { entry in
        switch entry.id {
        case "flash": entry.isCausal || entry.has("divide_by_valid_count")
        case "linformer": !entry.has("full_attention") || entry.has("hide_masked_keys")
        default: true
        }
    }

    /// Those in which holes pass nothing either: shifted, a token reaches the next.
    static let holed = padded.filter {
        $0.id != "flash" || $0.has("shift_tokens", "false") || $0.has("mask_token_shift")
    }

    /// 1 for the first of each row's tokens, [b, n].
    static func mask(lengths: [Int], of n: Int) -> Tensor {
        Tensor(lengths.flatMap { length in (0..<n).map { Float($0 < length ? 1 : 0) } }, shape: [lengths.count, n])
    }
}
