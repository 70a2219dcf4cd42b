import Tensors

/// What the sub-layers of a transformer read and add to: one residual stream, or S of them mixed by hyper-connections
/// (2409.19606). They begin as copies of the embedding and end in their sum.
///
///     var streams = ResidualStreams(x, streams: 4)
///     for (layer, connection) in layers {
///         let (input, rest) = streams.read(connection)
///         streams = rest.adding(layer(input))
///     }
///     let y = streams.reduced()
public struct ResidualStreams: Sendable {
    /// [..., d] with one stream, else [..., S, d].
    private let values: Tensor
    /// How much of the branch's output each stream gets, [..., S]; nil before `read`, and with one stream.
    private let beta: Tensor?
    private let count: Int

    private init(_ values: Tensor, beta: Tensor?, count: Int) {
        self.values = values
        self.beta = beta
        self.count = count
    }

    /// x: [..., d]; `streams` copies of it. One stream is the plain residual.
    public init(_ x: Tensor, streams: Int) {
        require(streams > 0 && x.rank > 0, "ResidualStreams: \(streams) streams of \(x.shape); expected at least 1")
        let shape = Array(x.shape.dropLast()) + [streams, x.shape.last!]
        self.init(streams == 1 ? x : x.unsqueezed(-2).expanded(to: shape), beta: nil, count: streams)
    }

    /// x itself with one stream, so that a sub-layer's last product can add it; else nil.
    public var plain: Tensor? { count == 1 ? values : nil }

    /// The input of a sub-layer [..., d] through its connection (nil with one stream), and the streams that its output
    /// is added to.
    public func read(_ connection: HyperConnection?) -> (input: Tensor, rest: ResidualStreams) {
        guard let connection, count > 1 else { return (values, self) }
        let scale = Float(connection.dimension).squareRoot()
        let normalized = values.l2Normalized() * scale * (connection.gamma.value + 1)
        let directions = concatenate(
            [connection.dynamicAlpha.value, connection.dynamicBeta.value.unsqueezed(1)], axis: 1)
        let weights = tanh(matrixProduct(normalized, directions)).split(sizes: [count + 1, 1])
        let alpha = weights[0] * connection.dynamicAlphaScale.value + connection.staticAlpha.value
        let beta = weights[1].squeezed(-1) * connection.dynamicBetaScale.value + connection.staticBeta.value
        let mixed = matrixProduct(alpha.transposed(), values).split(sizes: [1, count], axis: -2)
        return (mixed[0].squeezed(-2), ResidualStreams(mixed[1], beta: beta, count: count))
    }

    /// The streams after a sub-layer. branch: its output [..., d]; with one stream it contains `plain` already.
    public func adding(_ branch: Tensor) -> ResidualStreams {
        guard let beta else { return ResidualStreams(branch, beta: nil, count: count) }
        return ResidualStreams(values + beta.unsqueezed(-1) * branch.unsqueezed(-2), beta: nil, count: count)
    }

    /// The sum of the streams [..., d].
    public func reduced() -> Tensor { count == 1 ? values : values.sum(axes: [-2]) }
}
