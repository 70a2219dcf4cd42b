import NN
import Tensors

// What a layer of a LocalTransformer is made of: two branches, each in the residual streams.

/// A branch and how it reads the residual streams and writes to them.
///
/// Keys: branch.*, and those of the connection where there are several streams.
public struct Residual<Branch: Module>: Module {
    /// Nil with one stream: the plain residual.
    public let connection: HyperConnection?
    public let branch: Branch

    init(_ branch: Branch, _ configuration: LocalConfiguration, key: RandomKey) {
        let streams = configuration.residualStreams
        connection =
            streams == 1 ? nil : HyperConnection(streams: streams, dimension: configuration.dimension, key: key)
        self.branch = branch
    }

    /// Runs `body` on the branch's input and adds what it returns. With one stream, `body` adds the residual itself.
    func callAsFunction(
        _ streams: ResidualStreams, _ body: (_ input: Tensor, _ residual: Tensor?) -> Tensor
    ) -> ResidualStreams {
        let (input, rest) = streams.read(connection)
        return rest.adding(body(input, rest.plain))
    }

    public func collect(into state: inout StateCollector) {
        connection?.collect(into: &state)
        state.add("branch", branch)
    }
}

/// A norm and a gated feed-forward layer: a ⊙ gelu(g) of two halves (GEGLU, 2002.05202).
///
/// Keys: 0.{weight, bias} (the norm), 1.weight, 4.weight.
public struct LocalFeedForward: Module {
    public let norm: LayerNorm
    public let up: Linear
    public let down: Linear
    public let dropout: Double

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ dimension: Int, hidden: Int, dropout: Double = 0, key: RandomKey) {
        norm = LayerNorm(dimension)
        up = Linear(dimension, 2 * hidden, bias: false, key: key.child(0))
        down = Linear(hidden, dimension, bias: false, key: key.child(1))
        self.dropout = dropout
    }

    /// x: [..., d] → [..., d], plus `residual`.
    public func callAsFunction(_ x: Tensor, residual: Tensor? = nil, mode: ForwardMode = .inference) -> Tensor {
        feedForward(
            x, norm: norm.norm, up: up.projection, activation: .gelu, isGated: true, dropout: dropout, key: mode.key,
            down: down.projection, residual: residual)
    }

    public func collect(into state: inout StateCollector) {
        state.add("0", norm)
        state.add("1", up)
        state.add("4", down)
    }
}

/// Attention over windows, then the feed-forward layer. Keys: 0.*, 1.*
public struct LocalLayer: Module {
    public let attention: Residual<LocalMHA>
    public let feedForward: Residual<LocalFeedForward>

    init(_ configuration: LocalConfiguration, key: RandomKey) {
        var options = configuration.attention
        options.normalizesFirst = true
        if configuration.usesDynamicBias { options.attention.usesRotary = false }
        let attention = LocalMHA(options, key: key.child(0))
        let feedForward = LocalFeedForward(
            configuration.dimension, hidden: configuration.hiddenDimension, dropout: configuration.feedForwardDropout,
            key: key.child(1))
        self.attention = Residual(attention, configuration, key: key.child(2))
        self.feedForward = Residual(feedForward, configuration, key: key.child(3))
    }

    func callAsFunction(
        _ streams: ResidualStreams, mask: Tensor?, bias: WindowBias?, mode: ForwardMode
    ) -> ResidualStreams {
        let attended = attention(streams) {
            attention.branch($0, mask: mask, bias: bias, residual: $1, mode: mode.child(0))
        }
        return feedForward(attended) { feedForward.branch($0, residual: $1, mode: mode.child(1)) }
    }

    public func collect(into state: inout StateCollector) {
        state.add("0", attention)
        state.add("1", feedForward)
    }
}

/// The caller's layer as a branch, whatever it is.
public struct GlobalBranch: Module {
    public let layer: any GlobalLayer
    public func collect(into state: inout StateCollector) { layer.collect(into: &state) }
}
