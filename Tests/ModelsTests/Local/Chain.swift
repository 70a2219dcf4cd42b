import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

/// Sub-layers tanh(W x) in residual streams, all parameters random.
struct Chain {
    let streams: Int
    let connections: [HyperConnection]
    let matrices: [Parameter]

    init(_ length: Int, streams: Int, dimension d: Int, seed: UInt64 = 1) {
        let key = RandomKey(seed: seed)
        self.streams = streams
        connections = (0..<length).map { HyperConnection(streams: streams, dimension: d, key: key.child($0)) }
        matrices = (0..<length).map {
            Parameter(.normal([d, d], standardDeviation: 1 / Float(d).squareRoot(), key: key.child(1000 + $0)))
        }
        for (i, parameter) in connections.flatMap({ $0.state.map(\.parameter) }).enumerated() {
            // Scores of order 1, so that no tanh is flat; mixings near the identity, so that long chains do not explode.
            let deviation: Float = parameter.shape.first == d ? 0.5 / Float(d).squareRoot() : 0.3 / Float(streams)
            parameter.assign(
                parameter.value.detached()
                    + .normal(parameter.shape, standardDeviation: deviation, key: key.child(2000 + i)))
        }
    }

    /// A sub-layer's sums are of d features (the norm, the weights, the matrix) and over the streams; the norm, both tanh
    /// and the mixing round some four times each.
    func lengths(rows: Int) -> SumLengths {
        let d = matrices.first?.shape[0] ?? 1
        return SumLengths(
            path: connections.count * (3 * d + 2 * streams + 16), rows: rows * streams, widest: max(d, streams))
    }

    var parameters: [Parameter] { connections.flatMap { $0.state.map(\.parameter) } + matrices }

    func callAsFunction(_ x: Tensor, _ implementation: Implementation = .fused) -> Tensor {
        var streams = ResidualStreams(x, streams: streams, implementation: implementation)
        for (connection, matrix) in zip(connections, matrices) {
            let (input, rest) = streams.read(connection)
            streams = rest.adding(tanh(linear(input, weight: matrix.value)))
        }
        return streams.reduced()
    }
}
