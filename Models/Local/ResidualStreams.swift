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
///
/// The streams of a place are sums of what came before: of the embedding and the sub-layers' outputs, which backward needs
/// anyway. So they are computed where they are read, a few tokens at a time in cache, and written to memory only where
/// the sums have become long: once in S + 1 sub-layers.
public struct ResidualStreams: Sendable {
    private enum State {
        /// One stream without a connection: [..., d].
        case plain(Tensor)
        /// Copies of x.
        case start(StreamPlace)
        /// Read by a sub-layer that has not answered yet; the weights of its connection.
        case read(StreamPlace, weights: Tensor)
        /// Answered.
        case between(StreamStep)
    }
    private let state: State
    private let shape: [Int]

    private init(_ state: State, _ shape: [Int]) {
        self.state = state
        self.shape = shape
    }

    /// x: [..., d]; `streams` copies of it. One stream is the plain residual, unless it is read through connections.
    public init(_ x: Tensor, streams: Int) {
        require(
            streams > 0 && x.rank > 0 && x.shape.last! > 0,
            "ResidualStreams: \(streams) streams of shape \(x.shape); expected at least one stream and feature")
        self.init(streams == 1 ? .plain(x) : .start(StreamPlace(start: x, streams: streams)), x.shape)
    }

    /// x itself with the plain residual, so that a sub-layer's last product can add it; else nil.
    public var plain: Tensor? { if case .plain(let x) = state { x } else { nil } }

    /// The input of a sub-layer [..., d] through its connection (nil with the plain residual), and the streams that its
    /// output is added to.
    public func read(_ connection: HyperConnection?) -> (input: Tensor, rest: ResidualStreams) {
        guard let connection else {
            guard let plain else { fatalError("ResidualStreams.read: several streams are read through a connection") }
            return (plain, self)
        }
        let reading: StreamReading
        switch state {
        case .plain(let x): reading = StreamReading(start: StreamPlace(start: x, streams: 1), connection)
        case .start(let place): reading = StreamReading(start: place, connection)
        case .between(let step): reading = StreamReading(after: step, connection)
        case .read: fatalError("ResidualStreams.read: a sub-layer has read the streams and added nothing yet")
        }
        let (input, place, weights) = reading.record(shape)
        return (input, ResidualStreams(.read(place, weights: weights), shape))
    }

    /// The streams after a sub-layer. branch: its output [..., d]; with the plain residual it contains `plain` already.
    public func adding(_ branch: Tensor) -> ResidualStreams {
        require(branch.shape == shape, "ResidualStreams.adding: \(branch.shape) to streams of shape \(shape)")
        switch state {
        case .plain: return ResidualStreams(.plain(branch), shape)
        case .read(let place, let weights):
            return ResidualStreams(.between(StreamStep(place, weights: weights, branch)), shape)
        case .start, .between: fatalError("ResidualStreams.adding: no sub-layer has read the streams")
        }
    }

    /// The sum of the streams [..., d].
    public func reduced() -> Tensor {
        switch state {
        case .plain(let x): return x
        case .start(let place): return place.node * Float(place.streams)
        case .between(let step): return step.reduced(shape)
        case .read: fatalError("ResidualStreams.reduced: a sub-layer has read the streams and added nothing yet")
        }
    }
}
