import NN

extension BlockRecurrentConfiguration {
    /// Reads the JSON form. `use_flash_attn` is taken and changes nothing: attention never stores its weights.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        self.init(
            tokens: try reader.size("num_tokens"), dimension: try reader.size("dim"), depth: try reader.depth("depth"))
        headDimension = try reader.size("dim_head", default: headDimension)
        heads = try reader.heads("heads", default: heads)
        normalizesAllLayers = try reader.bool("all_layers_qk_rmsnorm", default: false)
        feedForwardMultiple = try reader.double("ff_mult", default: feedForwardMultiple, in: 0...1024)
        maximumLength = try reader.size("max_seq_len", default: maximumLength)
        blockWidth = try reader.size("block_width", default: blockWidth)
        recurrentLayers = try reader.optionalInts("recurrent_layers")
        readRecurrentLayers = try reader.optionalInts("read_recurrent_layers")
        stateVectors = try reader.optionalSize("num_state_vectors")
        ignoreIndex = Int32(try reader.int("ignore_index", default: -100, in: Int(Int32.min)...Int(Int32.max)))
        compressesMemory = try reader.bool("use_compressed_mem", default: false)
        compressedMemoryFactor = try reader.size("compressed_mem_factor", default: compressedMemoryFactor)
        _ = try reader.bool("use_flash_attn", default: false)
        try readOwn(&reader)
        try reader.finish()
        if let fault { throw reader.error(fault.key, fault.problem) }
    }

    private mutating func readOwn(_ reader: inout ConfigurationReader) throws {
        normalizedScale = try reader.optionalDouble("qk_rmsnorm_scale", in: 1e-6...1e6)
        gate = try reader.option("gate", default: gate)
        stateUpdate = try reader.option("state_update", default: stateUpdate)
        usesFeedback = try reader.bool("feedback", default: false)
        attentionWindow = try reader.optionalSize("attention_window", atLeast: 2)
        stateWindow = try reader.optionalSize("state_window")
        memoriesDropout = try reader.double("xl_memories_dropout", default: 0, in: 0...1)
        stateDropout = try reader.double("state_dropout", default: 0, in: 0...1)
    }

    /// What makes the options impossible, if anything does.
    var fault: (key: String, problem: String)? { widthFault ?? layerFault }

    private var widthFault: (key: String, problem: String)? {
        if headDimension % 2 != 0 { return ("dim_head", "expected an even number, found \(headDimension)") }
        if hiddenDimension < 1 {
            return (
                "ff_mult",
                "expected at least 3/2 of 1 / dim \(dimension), so that there is a hidden feature, found"
                    + " \(feedForwardMultiple)"
            )
        }
        if maximumLength % blockWidth != 0 {
            return ("max_seq_len", "expected a multiple of block_width \(blockWidth), found \(maximumLength)")
        }
        if compressesMemory && blockWidth < 2 {
            return ("block_width", "expected at least 2 with use_compressed_mem, found \(blockWidth)")
        }
        for (key, window, range) in [
            ("attention_window", attentionWindow, 2...max(2, blockWidth)),
            ("state_window", stateWindow, 1...2 * blockWidth),
        ] {
            guard let window, !range.contains(window) || window > 2 * blockWidth else { continue }
            return (
                key,
                "expected \(range.lowerBound) to \(range.upperBound) with block_width \(blockWidth), found \(window)"
            )
        }
        if attentionWindow != nil && compressesMemory {
            return (
                "attention_window", "cannot be combined with use_compressed_mem, whose tokens it does not reach"
            )
        }
        return nil
    }

    private var layerFault: (key: String, problem: String)? {
        let writes = recurrentLayers ?? [max(1, depth / 2)]
        for (key, layers) in [("recurrent_layers", writes), ("read_recurrent_layers", readRecurrentLayers ?? [])] {
            if let layer = layers.first(where: { !(1...depth).contains($0) }) {
                return (key, "\(layer) is no layer; expected 1 to \(depth)")
            }
        }
        if Set(writes).count != writes.count {
            return ("recurrent_layers", "expected each layer once, found \(writes)")
        }
        guard let reads = readRecurrentLayers else { return nil }
        if reads.count == writes.count && zip(reads, writes).allSatisfy({ $0 <= $1 }) { return nil }
        return (
            "read_recurrent_layers",
            "expected for each of recurrent_layers \(writes) a layer not above it, found \(reads)"
        )
    }

    /// The JSON form, every option written out.
    public var json: JSONValue {
        func list(_ layers: [Int]?) -> JSONValue { layers.map { .array($0.map { .integer($0) }) } ?? .null }
        func size(_ value: Int?) -> JSONValue { value.map { .integer($0) } ?? .null }
        return .object([
            "num_tokens": .integer(tokens), "dim": .integer(dimension), "depth": .integer(depth),
            "dim_head": .integer(headDimension), "heads": .integer(heads),
            "all_layers_qk_rmsnorm": .bool(normalizesAllLayers), "ff_mult": .number(feedForwardMultiple),
            "max_seq_len": .integer(maximumLength), "block_width": .integer(blockWidth),
            "recurrent_layers": list(recurrentLayers), "read_recurrent_layers": list(readRecurrentLayers),
            "num_state_vectors": size(stateVectors), "ignore_index": .integer(Int(ignoreIndex)),
            "use_compressed_mem": .bool(compressesMemory), "compressed_mem_factor": .integer(compressedMemoryFactor),
            "qk_rmsnorm_scale": normalizedScale.map { .number($0) } ?? .null, "gate": .string(gate.rawValue),
            "state_update": .string(stateUpdate.rawValue), "feedback": .bool(usesFeedback),
            "attention_window": size(attentionWindow), "state_window": size(stateWindow),
            "xl_memories_dropout": .number(memoriesDropout), "state_dropout": .number(stateDropout),
        ])
    }
}
