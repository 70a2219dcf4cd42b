import NN
import Tensors

// Hyper-connections: several residual streams in place of one (dynamic hyper-connections, https://arxiv.org/abs/2409.19606,
// equations 10–13 and appendix J, algorithm 2, with an RMS norm for the layer norm).
//
// S residual streams, d features

/// The connection of one sub-layer to several residual streams: weights that mix them, computed for each token from the
/// streams themselves.
///
/// Keys: static_alpha [S, S + 1] (at first one stream is read, and each stays as it is), dynamic_alpha_fn [d, S + 1]
/// (zeros), dynamic_alpha_scale [] (0.01), static_beta [S] (ones), dynamic_beta_fn [d] (zeros), dynamic_beta_scale []
/// (0.01), norm.gamma [d] (zeros: the norm's weight is gamma + 1).
public struct HyperConnection: Module {
    /// [S, S + 1]
    public let staticAlpha: Parameter
    /// [d, S + 1]
    public let dynamicAlpha: Parameter
    /// A factor of the dynamic part of α.
    public let dynamicAlphaScale: Parameter
    /// [S]
    public let staticBeta: Parameter
    /// [d]
    public let dynamicBeta: Parameter
    /// A factor of the dynamic part of β.
    public let dynamicBetaScale: Parameter
    /// [d], the weight of the norm less 1.
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

    /// Computes the weights of a token: α mixes its streams (column 0: what the sub-layer reads), β is what each stream gets
    /// of the sub-layer's output. streams: [..., S, d].
    func weights(_ streams: Tensor) -> (alpha: Tensor, beta: Tensor) {
        let normalized = streams.l2Normalized() * Float(dimension).squareRoot() * (gamma.value + 1)  // [..., S, d]
        let alpha = dynamicAlphaScale.value * tanh(matrixProduct(normalized, dynamicAlpha.value)) + staticAlpha.value
        // alpha: [..., S, S + 1]
        let dynamic = tanh(matrixProduct(normalized, dynamicBeta.value.unsqueezed(1)).squeezed(-1))
        return (alpha, dynamicBetaScale.value * dynamic + staticBeta.value)  // [..., S]
    }
}

/// Several residual streams R in ordinary operations: x = Σ_s α_s0 R_s, then R_t ← Σ_s α_st R_s + β_t y.
struct PlainStreams: Sendable {
    /// [..., S, d]
    let streams: Tensor
    /// The share of each stream in the output of the sub-layer that has read them, [..., S]; nil before it reads.
    var beta: Tensor?

    func read(_ connection: HyperConnection) -> (input: Tensor, rest: PlainStreams) {
        let (alpha, beta) = connection.weights(streams)
        let mixed = matrixProduct(alpha.transposed(), streams)  // [..., S + 1, d]
        return (mixed.at(-2, 0), PlainStreams(streams: mixed.sliced(-2, from: 1), beta: beta))
    }

    func adding(_ y: Tensor) -> PlainStreams {
        PlainStreams(streams: streams + beta!.unsqueezed(-1) * y.unsqueezed(-2))
    }

    func reduced() -> Tensor { streams.sum(axes: [-2]) }
}

/// The residual of a transformer, which its sub-layers read and add to: one stream, or S of them mixed by hyper-connections.
/// They begin as copies of the embedding and end in their sum.
///
///     var streams = ResidualStreams(x, streams: 4)
///     for (layer, connection) in layers {
///         let (input, rest) = streams.read(connection)
///         streams = rest.adding(layer(input))
///     }
///     let y = streams.reduced()
public struct ResidualStreams: Sendable {
    private enum Form {
        /// The residual stream without connections, [..., d].
        case single(Tensor)
        case plain(PlainStreams)
        case fused(FusedStreams)

        init(_ x: Tensor, streams s: Int, _ implementation: Implementation) {
            switch implementation {
            case .plain:
                let copies = x.unsqueezed(-2).expanded(to: x.shape.dropLast() + [s, x.shape.last!])
                self = .plain(PlainStreams(streams: copies))
            case .fused: self = .fused(FusedStreams(x, streams: s))
            }
        }
    }
    private var form: Form
    private let streams: Int, shape: [Int], implementation: Implementation
    /// True if a sub-layer has read the streams and added nothing yet.
    private var isWaiting = false

    /// Makes copies of x, [..., d]. One stream is the plain residual, unless it is read through connections.
    public init(_ x: Tensor, streams: Int, implementation: Implementation = .fused) {
        require(
            streams > 0 && x.rank > 0 && x.shape.last! > 0,
            "ResidualStreams: \(streams) streams of shape \(x.shape); expected at least one stream and feature")
        (self.streams, shape, self.implementation) = (streams, x.shape, implementation)
        form = streams == 1 ? .single(x) : Form(x, streams: streams, implementation)
    }

    /// The residual itself where there is one stream, so that a sub-layer's last product can add it; else nil.
    public var residual: Tensor? { if case .single(let x) = form { x } else { nil } }

    /// Reads the streams through a connection, nil for the plain residual.
    /// - Returns: the input of a sub-layer, [..., d], and the streams that its output is added to.
    public func read(_ connection: HyperConnection?) -> (input: Tensor, rest: ResidualStreams) {
        guard let connection else {
            guard let residual else {
                fatalError("ResidualStreams.read: several streams are read through a connection")
            }
            return (residual, self)
        }
        require(
            connection.streams == streams && connection.dimension == shape.last!,
            "ResidualStreams.read: a connection of \(connection.streams) streams of \(connection.dimension) features "
                + "for \(streams) of \(shape.last!)")
        require(!isWaiting, "ResidualStreams.read: a sub-layer has read the streams and added nothing yet")
        var rest = self
        rest.isWaiting = true
        let input: Tensor
        switch residual.map({ Form($0, streams: 1, implementation) }) ?? form {
        case .plain(let streams):
            let (x, waiting) = streams.read(connection)
            (input, rest.form) = (x, .plain(waiting))
        case .fused(let streams):
            let (x, waiting) = streams.read(connection, shape: shape)
            (input, rest.form) = (x, .fused(waiting))
        case .single: fatalError("ResidualStreams.read: no form")
        }
        return (input, rest)
    }

    /// Adds the output of a sub-layer, [..., d]; with the plain residual it contains `residual` already.
    public func adding(_ branch: Tensor) -> ResidualStreams {
        require(branch.shape == shape, "ResidualStreams.adding: \(branch.shape) to streams of shape \(shape)")
        require(isWaiting || residual != nil, "ResidualStreams.adding: no sub-layer has read the streams")
        var next = self
        next.isWaiting = false
        switch form {
        case .single: next.form = .single(branch)
        case .plain(let streams): next.form = .plain(streams.adding(branch))
        case .fused(let streams): next.form = .fused(streams.adding(branch))
        }
        return next
    }

    /// Adds the streams up, [..., d].
    public func reduced() -> Tensor {
        require(!isWaiting, "ResidualStreams.reduced: a sub-layer has read the streams and added nothing yet")
        switch form {
        case .single(let x): return x
        case .plain(let streams): return streams.reduced()
        case .fused(let streams): return streams.reduced(shape: shape)
        }
    }
}

/// A branch and how it reads the residual streams and writes to them.
///
/// Keys: branch.*, and those of the connection where there are several streams.
public struct Residual<Branch: Module>: Module {
    /// Nil with one stream: the plain residual.
    public let connection: HyperConnection?
    /// The sub-layer that reads and writes the streams.
    public let branch: Branch

    init(_ branch: Branch, _ configuration: LocalConfiguration, key: RandomKey) {
        let (s, m) = (configuration.residualStreams, configuration.dimension)
        connection = s == 1 ? nil : HyperConnection(streams: s, dimension: m, key: key)
        self.branch = branch
    }

    /// Runs `body` on the branch's input and adds what it returns. With one stream, `body` adds the residual itself.
    func callAsFunction(
        _ streams: ResidualStreams, _ body: (_ input: Tensor, _ residual: Tensor?) -> Tensor
    ) -> ResidualStreams {
        let (input, rest) = streams.read(connection)
        return rest.adding(body(input, rest.residual))
    }

    public func collect(into state: inout StateCollector) {
        connection?.collect(into: &state)
        state.add("branch", branch)
    }
}
