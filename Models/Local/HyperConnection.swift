import CKernels
import NN
import Tensors

// Hyper-Connections, 2409.19606.
// Axes: S residual streams, d features, c = S + 2 weights of a stream: what the sub-layer reads of it, what each of S
// streams gets of it, what it gets of the sub-layer's output.

/// How one sub-layer reads several residual streams and writes to them: weights that mix the streams, computed for each
/// token from the streams themselves (2409.19606, dynamic hyper-connections: equations 10–13, appendix J algorithm 2,
/// with an RMS norm for the layer norm).
///
/// Keys: static_alpha [S, S + 1] (at first one stream is read, and each goes on as it is), dynamic_alpha_fn [d, S + 1]
/// (zeros), dynamic_alpha_scale [] (0.01), static_beta [S] (ones), dynamic_beta_fn [d] (zeros), dynamic_beta_scale []
/// (0.01), norm.gamma [d] (zeros: the norm's weight is gamma + 1).
public struct HyperConnection: Module {
    public let staticAlpha: Parameter
    public let dynamicAlpha: Parameter
    public let dynamicAlphaScale: Parameter
    public let staticBeta: Parameter
    public let dynamicBeta: Parameter
    public let dynamicBetaScale: Parameter
    public let gamma: Parameter

    /// The number of streams.
    public let streams: Int
    /// The number of features.
    public let dimension: Int

    /// - Parameters:
    ///   - streams: S ≥ 1.
    ///   - dimension: d ≥ 1.
    ///   - firstStream: the stream that is read at first, counted modulo S; drawn from `key` where nil.
    public init(streams: Int, dimension: Int, firstStream: Int? = nil, key: RandomKey) {
        require(
            streams > 0 && dimension > 0,
            "HyperConnection: \(streams) streams of \(dimension) features; expected at least 1 of each")
        self.streams = streams
        self.dimension = dimension
        let drawn = Int(key.integers(1)[0] % UInt64(streams))
        let first = firstStream.map { ($0 % streams + streams) % streams } ?? drawn
        var alpha = [Float](repeating: 0, count: streams * (streams + 1))
        for stream in 0..<streams { alpha[stream * (streams + 1) + stream + 1] = 1 }
        alpha[first * (streams + 1)] = 1
        staticAlpha = Parameter(Tensor(alpha, shape: [streams, streams + 1]))
        dynamicAlpha = Parameter(.zeros([dimension, streams + 1]))
        dynamicAlphaScale = Parameter(Tensor(0.01))
        staticBeta = Parameter(.ones([streams]))
        dynamicBeta = Parameter(.zeros([dimension]))
        dynamicBetaScale = Parameter(Tensor(0.01))
        gamma = Parameter(.zeros([dimension]))
    }

    public func collect(into state: inout StateCollector) {
        state.add("static_alpha", staticAlpha)
        state.add("dynamic_alpha_fn", dynamicAlpha)
        state.add("dynamic_alpha_scale", dynamicAlphaScale)
        state.add("static_beta", staticBeta)
        state.add("dynamic_beta_fn", dynamicBeta)
        state.add("dynamic_beta_scale", dynamicBetaScale)
        state.add("norm.gamma", gamma)
    }
}

// MARK: As the kernels take it

/// A connection's parameters, in the layout of the weights [S, c].
struct ConnectionTables: Sendable {
    /// √d (gamma + 1) ⊙ F with a row for each weight, [c, d]: the weights are tanh(⟨R/|R|, direction⟩) · gain + shift.
    let directions: Tensor
    /// [S, c]
    let gain: Tensor
    /// [S, c]
    let shift: Tensor
}

extension HyperConnection {
    /// The number of weights of a stream.
    var width: Int { streams + 2 }

    func tables() -> ConnectionTables {
        let (s, d, c) = (streams, dimension, width)
        let directions = Tensor(uninitialized: [c, d])
        let place = directions.mutablePointer
        az_copy_2d(s + 1, d, dynamicAlpha.value.pointer, 1, s + 1, place, d, 1)
        az_copy_2d(1, d, dynamicBeta.value.pointer, 0, 1, place + (s + 1) * d, d, 1)
        let scale = normScale()
        az_multiply(c, d, place, d, 1, scale.pointer, 0, 1, place)
        let gain = Tensor(repeating: dynamicAlphaScale.value.item, shape: [s, c])
        az_copy_2d(s, 1, dynamicBetaScale.value.pointer, 0, 0, gain.mutablePointer + s + 1, c, 1)
        let shift = Tensor(uninitialized: [s, c])
        az_copy_2d(s, s + 1, staticAlpha.value.pointer, s + 1, 1, shift.mutablePointer, c, 1)
        az_copy_2d(s, 1, staticBeta.value.pointer, 1, 1, shift.mutablePointer + s + 1, c, 1)
        return ConnectionTables(directions: directions, gain: gain, shift: shift)
    }

    /// √d (gamma + 1), [d].
    private func normScale() -> Tensor {
        let scale = Tensor(uninitialized: [dimension])
        az_add_scalar(dimension, 1, gamma.value.pointer, scale.mutablePointer)
        az_scale(dimension, Float(dimension).squareRoot(), scale.pointer, scale.mutablePointer)
        return scale
    }

    /// The trained tensors, in the order of `addGradients`.
    var inputs: [Tensor] {
        [staticAlpha, dynamicAlpha, dynamicAlphaScale, staticBeta, dynamicBeta, dynamicBetaScale, gamma].map(\.value)
    }

    /// From the gradient of the tables to that of the parameters: `slots` are those of `inputs`.
    func addGradients(_ tables: ConnectionTables, to slots: [InputGradient]) {
        withoutGradients {
            let s = streams
            let directions = tables.directions * normScale()
            let (alpha, beta) = (directions.sliced(0, to: s + 1), directions.at(0, s + 1))
            slots[0].add(tables.shift.sliced(1, to: s + 1).contiguous())
            slots[1].add(alpha.transposed().contiguous())
            slots[2].add(tables.gain.sliced(1, to: s + 1).sum())
            slots[3].add(tables.shift.at(1, s + 1).contiguous())
            slots[4].add(beta.contiguous())
            slots[5].add(tables.gain.at(1, s + 1).sum())
            let ofAlpha = (tables.directions.sliced(0, to: s + 1) * dynamicAlpha.value.transposed()).sum(axes: [0])
            let ofBeta = tables.directions.at(0, s + 1) * dynamicBeta.value
            slots[6].add((ofAlpha + ofBeta) * Float(dimension).squareRoot())
        }
    }
}
