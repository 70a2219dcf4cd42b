import NN

// The combinations of options that are refused.

extension BlockRecurrentConfiguration {
    /// The first option that is impossible with the others, and why.
    private var fault: ConfigurationError? { widthFault ?? windowFault ?? layerFault ?? stateFault }

    public func check() throws {
        if let fault { throw fault }
    }

    private var widthFault: ConfigurationError? {
        if headDimension % 2 != 0 {
            return ConfigurationError("dim_head", "expected an even number, found \(headDimension)")
        }
        if hiddenDimension < 1 {
            return ConfigurationError(
                "ff_mult",
                "expected at least 3/2 of 1 / dim \(dimension), so that there is a hidden feature, found"
                    + " \(feedForwardMultiple)"
            )
        }
        if maximumLength % blockWidth != 0 {
            return ConfigurationError(
                "max_seq_len", "expected a multiple of block_width \(blockWidth), found \(maximumLength)")
        }
        if compressesMemory && blockWidth < 2 {
            return ConfigurationError("block_width", "expected at least 2 with use_compressed_mem, found \(blockWidth)")
        }
        return nil
    }

    private var windowFault: ConfigurationError? {
        for (key, window, range) in [
            ("attention_window", attentionWindow, 2...blockWidth + 1),
            ("state_window", stateWindow, 1...2 * blockWidth),
        ] {
            guard let window, !range.contains(window) || window > 2 * blockWidth else { continue }
            return ConfigurationError(
                key,
                "expected \(range.lowerBound) to \(range.upperBound) with block_width \(blockWidth), found \(window)"
            )
        }
        if attentionWindow != nil && compressesMemory {
            return ConfigurationError(
                "attention_window", "cannot be combined with use_compressed_mem, whose tokens it does not reach"
            )
        }
        return nil
    }

    private var layerFault: ConfigurationError? {
        let writes = recurrentLayers ?? [max(1, depth / 2)]
        for (key, layers) in [("recurrent_layers", writes), ("read_recurrent_layers", readRecurrentLayers ?? [])] {
            if let layer = layers.first(where: { !(1...depth).contains($0) }) {
                return ConfigurationError(key, "\(layer) is no layer; expected 1 to \(depth)")
            }
        }
        if Set(writes).count != writes.count {
            return ConfigurationError("recurrent_layers", "expected each layer once, found \(writes)")
        }
        guard let reads = readRecurrentLayers else { return nil }
        if reads.count == writes.count && zip(reads, writes).allSatisfy({ $0 <= $1 }) { return nil }
        return ConfigurationError(
            "read_recurrent_layers",
            "expected for each of recurrent_layers \(writes) a layer not above it, found \(reads)"
        )
    }

    private var stateFault: ConfigurationError? {
        if let keyValueHeads, heads % keyValueHeads != 0 {
            return ConfigurationError("kv_heads", "expected a divisor of heads \(heads), found \(keyValueHeads)")
        }
        if groups > 1 && compressesMemory {
            return ConfigurationError(
                "kv_heads", "cannot be combined with use_compressed_mem, which compresses one head")
        }
        if forgetBias != nil && gate != .lstm {
            return ConfigurationError(
                "forget_bias", "cannot be combined with gate \(gate.rawValue), which forgets nothing by itself")
        }
        if writesDirectly && stateUpdate != .skip {
            return ConfigurationError(
                "direct_write", "cannot be combined with state_update \(stateUpdate.rawValue); expected skip"
            )
        }
        return nil
    }
}
