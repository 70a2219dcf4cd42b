import Foundation
import NN
import Tensors

/// The share of its memory that a head keeps at a token, as a logarithm: ln α = −exp(a) softplus(W x + d) (2412.06464,
/// with the parameters of Mamba-2, 2405.21060).
///
/// Keys: bias d [h], log_rate a [h]. W lies with the other projections, under the key weight [h, m].
public struct FastWeightsDecay: Module {
    /// d, [h].
    public let bias: Parameter
    /// a, [h]: the logarithm of the rate.
    public let logRate: Parameter

    /// Begins with rates exp(a) uniform in 1 … 16 and steps softplus(d) log-uniform in 0.001 … 0.1.
    /// - Parameter key: the source of the initial parameters.
    public init(heads: Int, key: RandomKey) {
        func draw(from low: Double, to high: Double, child: Int, _ value: (Double) -> Double) -> Tensor {
            .orOutline([heads]) {
                let drawn = Tensor.uniform([heads], low: Float(low), high: Float(high), key: key.child(child))
                return Tensor(drawn.values.map { Float(value(Double($0))) })
            }
        }
        logRate = Parameter(draw(from: 1, to: 16, child: 0) { Foundation.log($0) })
        // The inverse of softplus is ln(e^y − 1).
        bias = Parameter(
            draw(from: Foundation.log(0.001), to: Foundation.log(0.1), child: 1) {
                Foundation.log(expm1(Foundation.exp($0)))
            })
    }

    /// x: W x, [..., h] → ln α, [..., h]
    func callAsFunction(_ x: Tensor) -> Tensor { -(exp(logRate.value) * softplus(x + bias.value)) }

    public func collect(into state: inout StateCollector) {
        state.add("bias", bias)
        state.add("log_rate", logRate)
    }
}
