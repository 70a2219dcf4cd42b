import NN
import Tensors

// Multi-head attention over sliding windows.
//
// b batch, n tokens, m model width, h heads, d columns of a head

/// The options of `LocalMHA`. In JSON they have local-attention's names and defaults.
public struct LocalMHAOptions: Sendable {
    /// dim: the width of the model, m.
    public var dimension: Int
    /// dim_head: d.
    public var headDimension = 64
    /// heads: h.
    public var heads = 8
    /// prenorm: a layer norm before the projections.
    public var normalizesFirst = false
    /// qk_rmsnorm: queries and keys of length 1 times a learned scale by column; the scores' scale is then `qkScale`.
    public var normalizesQueriesAndKeys = false
    /// qk_scale
    public var qkScale = 8.0
    /// gate_values_per_head: each head's output times a sigmoid of the input.
    public var gatesHeads = false
    /// Windows, positions and dropout. `autopads`, `scale` and `dimension` are set by the layer, and exact_windowsize is
    /// true unless said otherwise.
    public var attention: LocalAttentionOptions

    public init(dimension: Int, windowSize: Int) {
        self.dimension = dimension
        attention = LocalAttentionOptions(windowSize: windowSize)
        attention.isExact = true
    }

    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        self.init(
            dimension: try reader.size("dim"), windowSize: try reader.size("window_size"))
        attention.dropout = try reader.double("dropout", default: 0, in: 0..<1)
        attention.usesRotary = try reader.bool("use_rotary_pos_emb", default: true)
        normalizesFirst = try reader.bool("prenorm", default: false)
        try readShared(&reader)
        try reader.finish()
    }

    /// The keys that the transformer passes through.
    mutating func readShared(_ reader: inout ConfigurationReader) throws {
        attention.isCausal = try reader.bool("causal", default: attention.isCausal)
        headDimension = try reader.size("dim_head", default: headDimension)
        heads = try reader.heads("heads", default: heads)
        normalizesQueriesAndKeys = try reader.bool("qk_rmsnorm", default: false)
        qkScale = try reader.double("qk_scale", default: qkScale, in: -1e6...1e6)
        gatesHeads = try reader.bool("gate_values_per_head", default: false)
        attention.isExact = try reader.optionalBool("exact_windowsize") ?? true
        if let old = try reader.optionalInts("rel_pos_emb_config", in: 1...), old.first != headDimension {
            throw reader.error("rel_pos_emb_config", "\(old.first ?? 0) columns; expected dim_head, \(headDimension)")
        }
        try attention.readShared(&reader)
        if attention.usesRotary && headDimension % 2 == 1 {
            throw reader.error("dim_head", "\(headDimension) is odd; rotary positions need an even number of columns")
        }
    }

    var sharedJSON: [String: JSONValue] {
        attention.sharedJSON.merging([
            "causal": .bool(attention.isCausal), "dim_head": .integer(headDimension), "heads": .integer(heads),
            "qk_rmsnorm": .bool(normalizesQueriesAndKeys), "qk_scale": .number(qkScale),
            "gate_values_per_head": .bool(gatesHeads), "exact_windowsize": .bool(attention.isExact),
        ]) { $1 }
    }
}

/// Projections to queries, keys and values, attention over windows, and the projection back.
///
/// Keys: norm.{weight, bias} with prenorm; to_qkv.weight; q_scale, k_scale [d] with qk_rmsnorm; attn_fn.rel_pos.inv_freq with
/// rotary positions; to_v_gate.0.{weight, bias} with gates; to_out.weight.
public struct LocalMHA: Module {
    public let options: LocalMHAOptions
    public let norm: LayerNorm?
    public let toQKV: Linear
    public let queryScale: Parameter?
    public let keyScale: Parameter?
    public let attention: LocalAttention
    public let toGates: Linear?
    public let toOut: Linear

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ options: LocalMHAOptions, key: RandomKey) {
        let inner = options.headDimension * options.heads
        var attention = options.attention
        attention.autopads = true
        attention.dimension = options.headDimension
        attention.scale = options.normalizesQueriesAndKeys ? options.qkScale : nil
        self.options = options
        self.attention = LocalAttention(attention)
        norm = options.normalizesFirst ? LayerNorm(options.dimension) : nil
        toQKV = Linear(options.dimension, 3 * inner, bias: false, key: key.child(0))
        toOut = Linear(inner, options.dimension, bias: false, key: key.child(1))
        toGates = options.gatesHeads ? Linear(options.dimension, options.heads, key: key.child(2)) : nil
        queryScale = options.normalizesQueriesAndKeys ? Parameter(.ones([options.headDimension])) : nil
        keyScale = options.normalizesQueriesAndKeys ? Parameter(.ones([options.headDimension])) : nil
    }

    /// - Parameters:
    ///   - x: [b, n, m], any n.
    ///   - mask: 1 for tokens that take part, 0 for padding, [b, n].
    ///   - bias: of the scores, for `heads` heads.
    ///   - residual: [b, n, m], added to the output.
    /// - Returns: [b, n, m].
    public func callAsFunction(
        _ x: Tensor, mask: Tensor? = nil, bias: WindowBias? = nil, residual: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> Tensor {
        require(
            x.rank == 3 && x.shape[2] == options.dimension,
            "LocalMHA: x \(x.shape), expected [b, n, \(options.dimension)]")
        let (b, n, inner) = (x.shape[0], x.shape[1], options.headDimension * options.heads)
        let (qkv, gates) = project(x)  // [b, n, 3 h d], [b, n, h]
        var output: Tensor
        if readsProjection {
            var rules = attention.rules(options.headDimension, window: options.attention.windowSize)
            (rules.mask, rules.bias) = (mask, bias)
            (rules.dropout, rules.key) = (Float(options.attention.dropout), mode.key)
            if let recorder = mode.recorder {
                let (q, k, _) = heads(qkv)
                recorder.record(windowAttentionWeights(q, k, rules))
            }
            output = windowAttention(packed: qkv, heads: options.heads, rules)
        } else {
            let (q, k, v) = heads(qkv)
            output = attention.attend(q, k, v, headsFirst: false, mask: mask, bias: bias, mode: mode)
                .reshaped([b, n, inner])
        }
        if let gates { output = gated(output, gates) }
        return residual.map { toOut(output, residual: $0) } ?? toOut(output)  // [b, n, m]
    }

    /// Whether queries and keys are used as they are projected.
    private var readsProjection: Bool {
        !options.normalizesQueriesAndKeys && !options.attention.sharesQueriesAndKeys && attention.rotary == nil
    }

    /// Queries, keys and values in one, and the gates before their sigmoid. x: [..., m]
    func project(_ x: Tensor) -> (qkv: Tensor, gates: Tensor?) {
        guard let norm else { return (toQKV(x), toGates.map { $0(x) }) }
        let projected = normLinear(x, norm: norm.norm, [toQKV.projection] + (toGates.map { [$0.projection] } ?? []))
        return (projected[0], projected.count > 1 ? projected[1] : nil)
    }

    /// Queries, keys and values of each head, [..., h, d], normalised where that is wanted.
    func heads(_ qkv: Tensor) -> (Tensor, Tensor, Tensor) {
        let axis = qkv.rank - 1
        let parts = qkv.reshaped(qkv.shape.dropLast() + [3, options.heads, options.headDimension])
        let (q, k, v) = (parts.at(axis, 0), parts.at(axis, 1), parts.at(axis, 2))
        guard let queryScale, let keyScale else { return (q, k, v) }
        return (q.l2Normalized() * queryScale.value, k.l2Normalized() * keyScale.value, v)
    }

    /// output: [..., h d], gates: [..., h].
    func gated(_ output: Tensor, _ gates: Tensor) -> Tensor {
        let heads = output.reshaped(output.shape.dropLast() + [options.heads, options.headDimension])
        return (heads * sigmoid(gates).unsqueezed(-1)).reshaped(output.shape)
    }

    public func collect(into state: inout StateCollector) {
        if let norm { state.add("norm", norm) }
        state.add("to_qkv", toQKV)
        if let queryScale { state.add("q_scale", queryScale) }
        if let keyScale { state.add("k_scale", keyScale) }
        state.add("attn_fn", attention)
        if let toGates { state.add("to_v_gate.0", toGates) }
        state.add("to_out", toOut)
    }
}
