import NN
import Tensors

// Attention whose keys and values are written to a memory of fixed size (Schlag, Irie, Schmidhuber, 2102.11174).
//
// b batch, n tokens, m width of the model, h heads, d columns of a head, dk features of keys and queries

/// What the heads of a layer remember of b sequences. Gradients flow through it.
public struct FastWeights: Sendable {
    /// The fast weights S, [b, h, dk, d].
    public var memory: Tensor
    /// The sum of the keys z, with attention normalisation: [b, h, dk, 1].
    public var keySum: Tensor?

    public init(memory: Tensor, keySum: Tensor? = nil) { (self.memory, self.keySum) = (memory, keySum) }
}

/// Projections to queries, keys, values and shares, the memory, and the projection back.
///
/// Keys: query.linear.weight, key.linear.weight, value.linear.weight [m, m]; interpolation_weight.0.linear.weight [h, m]
/// where β is computed; phi.projection [d, favor_features] with FAVOR+; output.*.
public struct FastWeightsAttention: Module {
    public let configuration: FastWeightsConfiguration
    /// Queries, keys, values, and the logits of β: one matrix in memory.
    public let projections: PackedParameters
    public let output: Linear
    /// The random directions of FAVOR+.
    public let directions: Parameter?

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        let (m, h) = (configuration.width, configuration.heads)
        self.configuration = configuration
        let rows = [m, m, m] + (configuration.learnsBeta ? [h] : [])
        projections = PackedParameters(
            rows.enumerated().map { Linear(m, $1, bias: false, key: key.child($0)).weight.value }, isMatrix: true)
        output = Linear(m, m, key: key.child(4))
        directions =
            configuration.featureMap == .favor
            ? Parameter(
                favorProjection(configuration.headWidth, features: configuration.favorFeatures, key: key.child(5)),
                .frozen)
            : nil
    }

    /// - Parameters:
    ///   - x: [b, n, m].
    ///   - norm: taken of x first.
    ///   - state: what was read before; nil for nothing.
    ///   - residual: [b, n, m], added to the output.
    /// - Returns: [b, n, m], and what is remembered then; nil with softmax.
    public func callAsFunction(
        _ x: Tensor, norm: LayerNorm? = nil, state: FastWeights? = nil, residual: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> (output: Tensor, state: FastWeights?) {
        require(
            x.rank == 3 && x.shape[2] == configuration.width,
            "FastWeightsAttention: x \(x.shape), expected [b, n, \(configuration.width)]")
        let (y, after) = attend(project(x, norm), state, mode.child(0))
        return (finish(y.reshaped(x.shape), residual: residual, mode.child(1)), after)
    }

    /// dropout(output(dropout(y))) + residual. y: [..., m]
    func finish(_ y: Tensor, residual: Tensor?, _ mode: ForwardMode) -> Tensor {
        guard mode.key != nil, configuration.dropout > 0 else {
            return residual.map { output(y, residual: $0) } ?? output(y)
        }
        func drop(_ x: Tensor, _ index: Int) -> Tensor {
            dropout(x, probability: Float(configuration.dropout), key: mode.child(index).key)
        }
        let result = drop(output(drop(y, 0)), 1)
        return residual.map { $0 + result } ?? result
    }

    /// What the memory takes of some tokens: q, k, v [..., h, d], and the shares β [..., h].
    struct Inputs {
        var q: Tensor, k: Tensor, v: Tensor
        var beta: Tensor?
    }

    /// x: [..., m]
    func project(_ x: Tensor, _ norm: LayerNorm?) -> Inputs {
        let (m, h) = (configuration.width, configuration.heads)
        let all = projectRows(x, norm)
        let outer = Array(x.shape.dropLast())
        func part(_ index: Int) -> Tensor {
            all.sliced(-1, from: index * m, to: (index + 1) * m).reshaped(outer + [h, m / h])
        }
        let beta =
            configuration.learnsBeta
            ? sigmoid(all.sliced(-1, from: 3 * m))
            : configuration.beta.map { Tensor(repeating: Float($0), shape: [1]).expanded(to: outer + [h]) }
        return Inputs(q: part(0), k: part(1), v: part(2), beta: beta)
    }

    /// Queries, keys and values of all heads and the logits of β beside each other. x: [..., m] → [..., 3 m + h], [..., 3 m]
    /// where β is given.
    func projectRows(_ x: Tensor, _ norm: LayerNorm?) -> Tensor {
        norm.map { normLinear(x, norm: $0.norm, weight: projections.matrix) } ?? linear(x, weight: projections.matrix)
    }

    /// The heads' outputs, [b, n, h, d].
    private func attend(
        _ inputs: Inputs, _ state: FastWeights?, _ mode: ForwardMode
    ) -> (output: Tensor, state: FastWeights?) {
        guard let beta = inputs.beta, configuration.featureMap != .softmax else {
            require(state == nil, "FastWeightsAttention: a state for softmax attention, which has none")
            let scale = 1 / Float(configuration.headWidth).squareRoot()
            record(inputs, scale, mode)
            return (attention(inputs.q, inputs.k, inputs.v, scale: scale, isCausal: true), nil)
        }
        if configuration.normalizesAttention { return normalized(inputs, beta, state, mode) }
        let (q, k, features) = mapped(inputs, mode)
        let (y, memory) = deltaRule(
            q, k, inputs.v, beta: beta, rule: configuration.rule, features: features, state: state?.memory,
            segment: segment)
        return (y, FastWeights(memory: memory))
    }

    /// Softmax's weights, for who wants to see them.
    private func record(_ inputs: Inputs, _ scale: Float, _ mode: ForwardMode) {
        guard let recorder = mode.recorder else { return }
        let n = inputs.k.shape[1]
        let identity = Tensor.identity(n).reshaped([1, n, 1, n])
            .expanded(to: [inputs.k.shape[0], n, configuration.heads, n])
        recorder.record(
            attention(inputs.q, inputs.k, identity, scale: scale, isCausal: true).permuted([0, 2, 1, 3]))
    }

    /// Chunks from one state that is kept for backward to the next.
    private var segment: Int { configuration.recomputesStates ? 4 : 1 }

    // MARK: Features

    /// Queries and keys, and what they become inside the memory's operation: DPFP there, other maps before it.
    func mapped(_ inputs: Inputs, _ mode: ForwardMode) -> (q: Tensor, k: Tensor, features: RowFeatures) {
        if configuration.featureMap == .dpfp {
            let map = DPFP(nu: configuration.nu, epsilon: sumEpsilon)
            return (inputs.q, inputs.k, map.features(configuration.headWidth))
        }
        let directions = directions(mode)
        return (phi(inputs.q, directions), phi(inputs.k, directions), .identity)
    }

    /// What the sums of keys and queries are kept from 0 by; nil where they are not divided by them.
    var sumEpsilon: Float? { configuration.normalizesSums ? configuration.epsilon : nil }

    /// The directions of FAVOR+: drawn again for every training step, if that is wanted.
    private func directions(_ mode: ForwardMode) -> Tensor? {
        guard let directions else { return nil }
        guard configuration.redrawsFavor, let key = mode.key else { return directions.value }
        return favorProjection(configuration.headWidth, features: configuration.favorFeatures, key: key.child(2))
    }

    /// φ of rows [..., d] → [..., dk].
    private func phi(_ x: Tensor, _ directions: Tensor?) -> Tensor {
        configuration.featureMap(x, nu: configuration.nu, directions: directions, epsilon: sumEpsilon)
    }

    // MARK: Attention normalisation

    /// With z_t the sum of the keys up to t, reads are divided by what z gives (2102.11174, sections 3.2 and 4.2): what is
    /// there under a key by z_{t−1} k_t, the output by z_t q_t.
    func normalized(
        _ inputs: Inputs, _ beta: Tensor, _ state: FastWeights?, _ mode: ForwardMode
    ) -> (output: Tensor, state: FastWeights?) {
        let directions = directions(mode)
        let (q, k) = (phi(inputs.q, directions), phi(inputs.k, directions))
        let ones = Tensor(repeating: 1, shape: [1]).expanded(to: Array(inputs.v.shape.dropLast()) + [1])
        let shares = ones.squeezed(-1)
        /// z q of every token, [b, n, h], and z after the last.
        func total(_ q: Tensor, _ k: Tensor) -> (Tensor, Tensor) {
            let (y, sum) = deltaRule(q, k, ones, beta: shares, rule: .sum, state: state?.keySum, segment: segment)
            return (y.squeezed(-1) + configuration.epsilon, sum)
        }
        var erase: Tensor?
        if configuration.rule == .delta {
            let before = k.sliced(1, from: 0, to: max(k.shape[1] - 1, 0)).padded(axis: 1, before: min(k.shape[1], 1))
            erase = beta / total(k, before).0
        }
        let (y, memory) = deltaRule(
            q, k, inputs.v, beta: beta, erase: erase, rule: configuration.rule, state: state?.memory, segment: segment)
        let (divisor, sum) = total(q, k)
        return (y / divisor.unsqueezed(-1), FastWeights(memory: memory, keySum: sum))
    }

    public func collect(into state: inout StateCollector) {
        let names = ["query", "key", "value", "interpolation_weight.0"].map { $0 + ".linear.weight" }
        for (name, part) in zip(names, projections.parts) {
            // labml-nn's token-wise form has another name for the last.
            state.add(name, part, alias: name == names[3] ? "gate.0.linear.weight" : nil)
        }
        if let directions { state.add("phi.projection", directions) }
        state.add("output", output)
    }
}
