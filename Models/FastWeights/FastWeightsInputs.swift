import NN
import Tensors

// The projections of a token, and what they make of it.
//
// b batch, n tokens, m model width, h heads, d columns of a head

/// The projections of a token in the order in which they lie one above another, named by their state-dict keys.
enum FastWeightsProjection: String, CaseIterable {
    case query = "query.linear.weight"
    case key = "key.linear.weight"
    case value = "value.linear.weight"
    case beta = "interpolation_weight.0.linear.weight"
    case decay = "decay.weight"
    case gate = "output_gate.weight"

    /// The number of rows; 0 where a configuration has no such projection.
    func rows(_ c: FastWeightsConfiguration) -> Int {
        switch self {
        case .query, .key, .value: c.width
        case .beta: c.learnsBeta ? c.heads : 0
        case .decay: c.decays ? c.heads : 0
        case .gate: c.gatesOutput ? c.width : 0
        }
    }

    /// The columns of its product in that of all projections.
    func columns(_ c: FastWeightsConfiguration) -> Range<Int> {
        let first = Self.allCases.prefix { $0 != self }.reduce(0) { $0 + $1.rows(c) }
        return first..<first + rows(c)
    }

    /// The child of the attention's random key that its weights are drawn from.
    var child: Int {
        switch self {
        case .query: 0
        case .key: 1
        case .value: 2
        case .beta: 3
        case .decay: 9
        case .gate: 10
        }
    }
}

/// The projections of some tokens.
struct ProjectedTokens {
    /// Queries, keys and values, [b, n, 3 m].
    var qkv: Tensor
    /// β, [b, n, h]; nil with softmax.
    var beta: Tensor?
    /// ln α, [b, n, h]; nil without decay.
    var logDecay: Tensor?
    /// W_g x, [b, n, m]; nil without a gate.
    var gate: Tensor?

    /// The tokens of one sequence among those of several.
    func rows(_ span: Range<Int>) -> Self {
        func take(_ x: Tensor) -> Tensor { x.sliced(1, from: span.lowerBound, to: span.upperBound) }
        return Self(qkv: take(qkv), beta: beta.map(take), logDecay: logDecay.map(take), gate: gate.map(take))
    }
}

/// Queries, keys and values as heads read them, [b, n, h, d].
struct MemoryInputs {
    var q: Tensor, k: Tensor, v: Tensor
}
