import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// The attention with the options of today's recipe against its formulas, token by token in double precision.
@Suite struct FastWeightsRecipeTests {
    static let variants = [
        FastWeightsVariant(map: .identity, keyNorm: .l2, activation: .silu, convolution: 4, outputNorm: true),
        FastWeightsVariant(
            map: .identity, keyNorm: .l2, activation: .silu, decays: true, betaRange: 2, outputGate: true, heads: 3),
        FastWeightsVariant(
            map: .identity, rule: .sum, keyNorm: .l2, activation: .identity, convolution: 2, decays: true),
        FastWeightsVariant(
            map: .identity, keyNorm: .sum, activation: .elu, convolution: 3, outputNorm: true, outputGate: true),
        FastWeightsVariant(map: .identity, beta: 0.05, keyNorm: .none, activation: .relu, convolution: 4, decays: true),
    ]

    @Test("The attention is what its formulas say", arguments: variants, Implementation.allCases)
    func theAttentionIsItsFormulas(_ variant: FastWeightsVariant, in implementation: Implementation) {
        let configuration = makeFastWeightsConfiguration(variant)
        let attention = FastWeightsAttention(configuration, key: RandomKey(seed: 1))
        FormCase.move(attention)
        let (n, m) = (20, configuration.width)
        let x = Tensor.normal([1, n, m], key: RandomKey(seed: 2))
        let rows = (0..<n).map { t in x.values[t * m..<(t + 1) * m].map(Double.init) }
        let expected = RecipeReference(attention).run(rows).flatMap { $0.map { Float($0) } }
        let lengths = SumLengths(shapes: attention.state.map(\.parameter.shape) + [[1, n]], rows: 1)
        expectClose(
            attention(x, mode: .inference.using(implementation)).output, Tensor(expected, shape: [1, n, m]),
            roundings: lengths.path, magnitude: 1, "\(variant)")
    }

    @Test("A decay begins with the published rates and steps")
    func decaysBegin() {
        let decay = FastWeightsDecay(heads: 500, key: RandomKey(seed: 1))
        let rates = decay.logRate.value.values.map { exp(Double($0)) }
        let steps = decay.bias.value.values.map { log1p(exp(Double($0))) }
        #expect(
            rates.allSatisfy { (0.999...16.001).contains($0) } && steps.allSatisfy { (0.000999...0.1001).contains($0) })
        func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
        // Five deviations of means of 500: of 1 … 16, and of the logarithms of 0.001 … 0.1.
        #expect(abs(mean(rates) - 8.5) < 1 && abs(mean(steps.map { log($0) }) - log(0.01)) < 0.3)
    }

    @Test("Without a feed-forward a layer is its attention")
    func layersOfAttentionAlone() {
        let layer = FastWeightsTransformerLayer(
            makeFastWeightsConfiguration(FastWeightsVariant(feedForward: (0, .relu))), key: RandomKey(seed: 1))
        let x = Tensor.normal([2, 5, 12], key: RandomKey(seed: 2))
        #expect(layer(x).output.values == layer.attention(x, residual: x).output.values)
        #expect(layer.state.allSatisfy { $0.key.hasPrefix("attn.") || $0.key.hasPrefix("norm_self_attn.") })
    }

    @Test(
        "Carries of older runs are read",
        arguments: [FastWeightsVariant(), FastWeightsVariant(rule: .sum, normalizesAttention: true)])
    func olderCarries(_ variant: FastWeightsVariant) throws {
        let model = makeFastWeightsModel(variant)
        let (_, carries) = model.logits(randomTokens([1, 5]), carries: [nil], mode: .inference)
        let tensors = try #require(carries[0]).tensors
        #expect(tensors.keys.allSatisfy { !$0.hasSuffix("convolution") })
        _ = try model.decodingState(after: FastWeightsCarry(tensors: tensors))
    }
}

/// One sequence through an attention without feature map.
private struct RecipeReference {
    private let c: FastWeightsConfiguration
    private let weights: [String: [Double]]

    init(_ attention: FastWeightsAttention) {
        c = attention.configuration
        weights = Dictionary(
            uniqueKeysWithValues: attention.state.map { ($0.key, $0.parameter.value.values.map(Double.init)) })
    }

    /// x: [n][m] → [n][m]
    func run(_ x: [[Double]]) -> [[Double]] {
        let (h, d) = (c.heads, c.headWidth)
        let (q, k, v) = (mixed("query", x), mixed("key", x), mixed("value", x))
        var memories = [[[Double]]](repeating: .init(repeating: .init(repeating: 0, count: d), count: d), count: h)
        return x.indices.map { t in
            let read = (0..<h).flatMap { head in
                func part(_ row: [Double]) -> [Double] { Array(row[head * d..<(head + 1) * d]) }
                let (query, key) = (features(part(q[t])), features(part(k[t])))
                write(&memories[head], key, part(v[t]), beta: beta(x[t], head), alpha: alpha(x[t], head))
                let scale = c.keyNorm == .l2 ? 1 / Double(d).squareRoot() : 1
                return normed(product(query, memories[head]).map { $0 * scale })
            }
            let gate = c.gatesOutput ? projected("output_gate.weight", x[t]).map(silu) : []
            let gated = c.gatesOutput ? zip(read, gate).map { $0 * $1 } : read
            return zip(projected("output.weight", gated), weights["output.bias"]!).map { $0 + $1 }
        }
    }

    private func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }

    private func projected(_ key: String, _ x: [Double]) -> [Double] {
        let weight = weights[key]!
        return (0..<weight.count / x.count).map { row in
            x.indices.reduce(0) { $0 + weight[row * x.count + $1] * x[$1] }
        }
    }

    /// The projection and its convolution, with silu where it is values, or queries and keys of silu.
    private func mixed(_ name: String, _ x: [[Double]]) -> [[Double]] {
        let rows = x.map { projected("\(name).linear.weight", $0) }
        guard let kernel = weights["\(name)_convolution.weight"] else { return rows }
        let k = c.shortConvolution
        return rows.indices.map { t in
            rows[t].indices.map { column in
                let sum = (0..<k).reduce(0) { sum, j in
                    let place = t - k + 1 + j
                    return place < 0 ? sum : sum + kernel[column * k + j] * rows[place][column]
                }
                return name == "value" || c.keyActivation == .silu ? silu(sum) : sum
            }
        }
    }

    private func features(_ row: [Double]) -> [Double] {
        let active = row.map { x in
            switch c.keyActivation {
            case .silu: c.shortConvolution > 0 ? x : silu(x)
            case .relu: max(x, 0)
            case .elu: x > 0 ? x + 1 : exp(x)
            case .identity: x
            }
        }
        let divisor =
            switch c.keyNorm {
            case .sum: active.reduce(0, +) + Double(c.epsilon)
            case .l2: (active.reduce(0) { $0 + $1 * $1 } + 1e-6).squareRoot()
            case .none: 1.0
            }
        return active.map { $0 / divisor }
    }

    private func beta(_ x: [Double], _ head: Int) -> Double {
        c.beta ?? Double(c.betaRange) / (1 + exp(-projected("interpolation_weight.0.linear.weight", x)[head]))
    }

    private func alpha(_ x: [Double], _ head: Int) -> Double {
        guard c.decays else { return 1 }
        let step = log1p(exp(projected("decay.weight", x)[head] + weights["decay.bias"]![head]))
        return exp(-exp(weights["decay.log_rate"]![head]) * step)
    }

    private func write(_ memory: inout [[Double]], _ key: [Double], _ value: [Double], beta: Double, alpha: Double) {
        memory = memory.map { $0.map { alpha * $0 } }
        let under = c.rule == .delta ? product(key, memory) : value.map { _ in 0 }
        for (row, feature) in key.enumerated() {
            for column in value.indices { memory[row][column] += feature * beta * (value[column] - under[column]) }
        }
    }

    private func product(_ row: [Double], _ memory: [[Double]]) -> [Double] {
        memory[0].indices.map { column in row.indices.reduce(0) { $0 + row[$1] * memory[$1][column] } }
    }

    private func normed(_ row: [Double]) -> [Double] {
        guard let weight = weights["output_norm.weight"] else { return row }
        let mean = row.reduce(0) { $0 + $1 * $1 } / Double(row.count)
        return zip(row, weight).map { $0 / (mean + Double(c.normEpsilon)).squareRoot() * $1 }
    }
}
