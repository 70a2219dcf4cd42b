import Foundation
import NN
import Tensors

// b batch, n tokens, m width of the model

/// A language model of fast weights: embeddings, the layers, logits.
///
/// Keys: src_embed.weight; transformer.*; generator.*.
public struct FastWeightsLM: Module {
    public let configuration: FastWeightsConfiguration
    public let embedding: Embedding
    public let transformer: FastWeightsTransformer
    public let generator: Linear

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        self.configuration = configuration
        embedding = Embedding(configuration.tokens, configuration.width, key: key.child(0))
        transformer = FastWeightsTransformer(configuration, key: key.child(1))
        generator = Linear(configuration.width, configuration.tokens, key: key.child(2))
    }

    /// tokens: [..., n], the position of each row's first → [..., n, m]
    func embed(_ tokens: TokenTensor, positions: [Int]) -> Tensor {
        let x = embedding(tokens)
        guard configuration.usesPositions else { return x }
        return x + sinusoids(positions, configuration.width).reshaped(x.shape)
    }

    /// [..., m] → [..., vocabulary]
    func logits(_ x: Tensor) -> Tensor {
        generator(x, after: transformer.norm)
    }

    public func collect(into state: inout StateCollector) {
        state.add("src_embed", embedding)
        state.add("transformer", transformer)
        state.add("generator", generator)
    }
}

/// Sines of even columns and cosines of odd ones (1706.03762, section 3.5): [positions, d].
func sinusoids(_ positions: [Int], _ d: Int) -> Tensor {
    let rates = (0..<(d + 1) / 2).map { 1 / Float(pow(10_000, Double(2 * $0) / Double(d))) }
    let angles = Tensor(positions.map { Float($0) }).unsqueezed(-1) * Tensor(rates)
    return stack([sin(angles), cos(angles)], axis: 2).reshaped([positions.count, 2 * rates.count]).sliced(1, to: d)
}

/// What a model remembers of one sequence between two segments.
public struct FastWeightsCarry: SegmentCarry {
    /// Of each layer, with b = 1.
    let layers: [FastWeights]
    /// Tokens read so far.
    let position: Int

    init(layers: [FastWeights], position: Int) { (self.layers, self.position) = (layers, position) }

    public var tensors: [String: Tensor] {
        var tensors = ["position": Tensor([Float(position >> 16), Float(position & 0xffff)])]
        for (index, layer) in layers.enumerated() {
            tensors["layers.\(index).memory"] = layer.memory
            tensors["layers.\(index).key_sum"] = layer.keySum
        }
        return tensors
    }

    public init(tensors: [String: Tensor]) throws {
        guard let place = tensors["position"], place.shape == [2] else {
            throw InputError("position \(tensors["position"]?.shape ?? []); expected [2]")
        }
        let parts = place.values
        guard parts[0] >= 0, parts[0] <= 0x1p24, parts[1] >= 0, parts[1] < 0x1p16,
            parts.allSatisfy({ $0 == $0.rounded() })
        else { throw InputError("position \(parts); expected whole numbers up to 2²⁴ and below 2¹⁶") }
        position = Int(parts[0]) << 16 + Int(parts[1])
        var layers: [FastWeights] = []
        while let memory = tensors["layers.\(layers.count).memory"] {
            guard memory.rank == 4, memory.shape[0] == 1 else {
                throw InputError("layers.\(layers.count).memory \(memory.shape); expected [1, h, dk, d]")
            }
            layers.append(FastWeights(memory: memory, keySum: tensors["layers.\(layers.count).key_sum"]))
        }
        let sums = layers.compactMap(\.keySum)
        let fit = zip(layers, sums).allSatisfy { $1.shape == Array($0.memory.shape.dropLast()) + [1] }
        guard sums.isEmpty || (sums.count == layers.count && fit) else {
            throw InputError(
                "key_sum \(sums.map(\.shape)); expected [1, h, dk, 1] in all \(layers.count) layers or none")
        }
        guard !layers.isEmpty else { throw InputError("layers.0.memory is missing") }
        self.layers = layers
    }
}

extension FastWeightsLM: LanguageModel {
    public typealias Carry = FastWeightsCarry

    public var vocabularySize: Int { configuration.tokens }
    public var isCausal: Bool { true }
    /// Each layer keeps what it reads.
    public var leastActivations: Int { configuration.layers.timesClamped(configuration.width) }
    public var carriesState: Bool { configuration.featureMap != .softmax }

    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        logits(tokens, carries: [FastWeightsCarry?](repeating: nil, count: tokens.shape[0]), mode: mode).logits
    }

    public func logits(
        _ tokens: TokenTensor, carries: [FastWeightsCarry?], mode: ForwardMode
    ) -> (logits: Tensor, carries: [FastWeightsCarry?]) {
        let (predictions, next) = predictions(tokens, carries: carries, mode: mode)
        return (predictions.logits, next)
    }

    public func predictions(
        _ tokens: TokenTensor, carries: [FastWeightsCarry?], mode: ForwardMode
    ) -> (predictions: Predictions, carries: [FastWeightsCarry?]) {
        require(
            tokens.shape.count == 2 && carries.count == tokens.shape[0],
            "FastWeightsLM: tokens \(tokens.shape), \(carries.count) carries; expected [b, n], b carries")
        let n = tokens.shape[1]
        let positions = carries.flatMap { carry in (0..<n).map { (carry?.position ?? 0) + $0 } }
        let (x, after) = transformer.run(embed(tokens, positions: positions), states(carries), mode)
        let rows: [FastWeightsCarry?] = carries.enumerated().map { row, carry in
            after.map { layers in
                FastWeightsCarry(layers: layers.map { $0.row(row) }, position: (carry?.position ?? 0) + n)
            }
        }
        return (Predictions(x, after: transformer.norm, projection: generator), rows)
    }

    /// The rows' memories together; nil where nothing was read before.
    private func states(_ carries: [FastWeightsCarry?]) -> [FastWeights]? {
        guard let one = carries.lazy.compactMap({ $0 }).first else { return nil }
        return one.layers.indices.map { layer in
            func together(_ part: (FastWeights) -> Tensor?) -> Tensor? {
                guard let shape = part(one.layers[layer])?.shape else { return nil }
                return concatenate(carries.map { carry in carry.flatMap { part($0.layers[layer]) } ?? .zeros(shape) })
            }
            return FastWeights(memory: together(\.memory)!, keySum: together(\.keySum))
        }
    }
}

extension FastWeights {
    /// One sequence's, without gradient, with b = 1.
    func row(_ index: Int) -> FastWeights {
        func take(_ x: Tensor) -> Tensor { x.detached().sliced(0, from: index, to: index + 1).contiguous() }
        return FastWeights(memory: take(memory), keySum: keySum.map(take))
    }
}
