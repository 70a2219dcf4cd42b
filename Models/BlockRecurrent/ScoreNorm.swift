import CKernels
import NN
import Tensors

/// The normalization of the queries and keys of one use: tokens to tokens, tokens to states, states to states, or states to
/// tokens.
public enum ScoreNorm: Module {
    /// Learned scales of the columns, which all heads share (the peer).
    case columns(QueryKeyNorm)
    /// A learned temperature of each head (the authors).
    case temperatures(HeadTemperatures)

    init(_ configuration: BlockRecurrentConfiguration) {
        self =
            configuration.learnsTemperatures
            ? .temperatures(HeadTemperatures(configuration)) : .columns(QueryKeyNorm(configuration.headDimension))
    }

    /// Normalizes queries. x: [..., h, d] → [..., h, d]
    func queries(_ x: Tensor) -> Tensor {
        switch self {
        case .columns(let norm): norm.queries(x)
        case .temperatures(let norm): norm.queries(x)
        }
    }

    /// Normalizes keys. x: [..., d] → [..., d]
    func keys(_ x: Tensor) -> Tensor {
        switch self {
        case .columns(let norm): norm.keys(x)
        case .temperatures: x.l2Normalized()
        }
    }

    /// Multiplies a bias by the temperatures of its heads. bias: [h, n]
    func scaled(bias: Tensor) -> Tensor {
        switch self {
        case .columns: bias
        case .temperatures(let norm): bias * abs(norm.temperature.value).unsqueezed(1)
        }
    }

    public func collect(into state: inout StateCollector) {
        switch self {
        case .columns(let norm): norm.collect(into: &state)
        case .temperatures(let norm): norm.collect(into: &state)
        }
    }
}

/// Queries and keys of length 1, times |τ| of each head (google-research/meliad, `attention_scale`). Key: temperature [h].
public struct HeadTemperatures: Module {
    /// τ
    public let temperature: Parameter
    private let ones: Tensor

    init(_ configuration: BlockRecurrentConfiguration) {
        let start = Float(configuration.normalizedScale ?? 1)
        temperature = Parameter(Tensor(repeating: start, shape: [configuration.heads]))
        ones = .ones([configuration.headDimension])
    }

    /// |τ| q / ‖q‖. x: [..., h, d] → [..., h, d]
    func queries(_ x: Tensor) -> Tensor { x.l2Normalized() * abs(temperature.value).unsqueezed(1) }

    public func collect(into state: inout StateCollector) { state.add("temperature", temperature) }
}

// MARK: On memory, for one token, which is less work than the tensors that would hold it

extension ScoreNorm {
    /// Normalizes the queries of all heads to `y`. x, y: [h, d]
    func queries(_ x: UnsafePointer<Float>, heads: Int, into y: UnsafeMutablePointer<Float>) {
        switch self {
        case .columns(let norm): norm.queries(x, heads: heads, into: y)
        case .temperatures(let norm): norm.queries(x, into: y)
        }
    }

    /// Normalizes the keys of some heads to `y`. x, y: [heads, d]
    func keys(_ x: UnsafePointer<Float>, heads: Int, into y: UnsafeMutablePointer<Float>) {
        switch self {
        case .columns(let norm): norm.keys(x, heads: heads, into: y)
        case .temperatures(let norm): norm.normalize(x, rows: heads, into: y)
        }
    }
}

extension HeadTemperatures {
    fileprivate func queries(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
        let (h, d) = (temperature.shape[0], ones.count)
        normalize(x, rows: h, into: y)
        for head in 0..<h {
            let factor = Swift.abs(temperature.value.pointer[head])
            for column in head * d..<(head + 1) * d { y[column] *= factor }
        }
    }

    fileprivate func normalize(_ x: UnsafePointer<Float>, rows: Int, into y: UnsafeMutablePointer<Float>) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: rows) { statistics in
            az_l2_norm_forward(rows, ones.count, 1, 1e-12, 1, x, ones.pointer, y, statistics.baseAddress)
        }
    }
}
