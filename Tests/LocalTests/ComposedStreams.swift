import FixtureSupport
import Tensors
import Testing

@testable import LocalTransformers

/// Residual streams [..., S, d] from primitive operations, as the equations have them: what the fused ones must equal.
struct ComposedStreams {
    private var values: Tensor

    init(_ x: Tensor, streams: Int) {
        values = x.unsqueezed(-2).expanded(to: Array(x.shape.dropLast()) + [streams, x.shape.last!])
    }

    mutating func apply(_ connection: HyperConnection, _ branch: (Tensor) -> Tensor) {
        let s = connection.streams
        let scale = Float(connection.dimension).squareRoot()
        let normalized = values.l2Normalized() * scale * (connection.gamma.value + 1)
        let directions = concatenate(
            [connection.dynamicAlpha.value, connection.dynamicBeta.value.unsqueezed(1)], axis: 1)
        let weights = tanh(matrixProduct(normalized, directions)).split(sizes: [s + 1, 1])
        let alpha = weights[0] * connection.dynamicAlphaScale.value + connection.staticAlpha.value
        let beta = weights[1].squeezed(-1) * connection.dynamicBetaScale.value + connection.staticBeta.value
        let mixed = matrixProduct(alpha.transposed(), values).split(sizes: [1, s], axis: -2)
        values = mixed[1] + beta.unsqueezed(-1) * branch(mixed[0].squeezed(-2)).unsqueezed(-2)
    }

    func reduced() -> Tensor { values.sum(axes: [-2]) }
}

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

    func fused(_ x: Tensor) -> Tensor {
        var streams = ResidualStreams(x, streams: streams)
        for (connection, matrix) in zip(connections, matrices) {
            let (input, rest) = streams.read(connection)
            streams = rest.adding(tanh(linear(input, weight: matrix.value)))
        }
        return streams.reduced()
    }

    func composed(_ x: Tensor) -> Tensor {
        var streams = ComposedStreams(x, streams: streams)
        for (connection, matrix) in zip(connections, matrices) {
            streams.apply(connection) { tanh(linear($0, weight: matrix.value)) }
        }
        return streams.reduced()
    }
}
