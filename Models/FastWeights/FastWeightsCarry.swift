import NN
import Tensors

// The memories that pass from segment to segment of a text, and from one run of a program to the next.
//
// b batch, n tokens, m model width, h heads, dk features, d columns of a head

/// The memories of one sequence between two segments.
public struct FastWeightsCarry: SegmentCarry {
    /// One for each layer, with b = 1.
    let layers: [FastWeights]
    /// Tokens read so far.
    let position: Int

    init(layers: [FastWeights], position: Int) { (self.layers, self.position) = (layers, position) }

    public var tensors: [String: Tensor] {
        var tensors = ["position": Tensor([Float(position >> 16), Float(position & 0xffff)])]
        for (index, layer) in layers.enumerated() {
            tensors["layers.\(index).memory"] = layer.memory
            tensors["layers.\(index).key_sum"] = layer.keySum
            tensors["layers.\(index).convolution"] = layer.history
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
            let layer = "layers.\(layers.count)"
            guard memory.rank == 4, memory.shape[0] == 1 else {
                throw InputError("\(layer).memory \(memory.shape); expected [1, h, dk, d]")
            }
            layers.append(
                FastWeights(
                    memory: memory, keySum: tensors[layer + ".key_sum"], history: tensors[layer + ".convolution"]))
        }
        guard !layers.isEmpty else { throw InputError("layers.0.memory is missing") }
        try Self.requireInAllLayers("key_sum", shape: "[1, h, dk, 1]", layers, \.keySum) {
            $1.shape == Array($0.memory.shape.dropLast()) + [1]
        }
        try Self.requireInAllLayers("convolution", shape: "[1, kernel − 1, 3 m]", layers, \.history) {
            $1.rank == 3 && $1.shape[0] == 1 && $1.shape[2] == 3 * $0.memory.shape[1] * $0.memory.shape[3]
        }
        self.layers = layers
    }

    /// Throws unless all layers have a part that fits, or none has it.
    private static func requireInAllLayers(
        _ name: String, shape: String, _ layers: [FastWeights], _ part: (FastWeights) -> Tensor?,
        fits: (FastWeights, Tensor) -> Bool
    ) throws {
        let parts = layers.compactMap(part)
        guard parts.isEmpty || (parts.count == layers.count && zip(layers, parts).allSatisfy(fits)) else {
            throw InputError(
                "\(name) \(parts.map(\.shape)); expected \(shape) in all \(layers.count) layers or none")
        }
    }

    /// Joins the memories of all rows, zeros for rows that begin; nil where every row begins.
    static func states(_ carries: [Self?]) -> [FastWeights]? {
        guard let one = carries.lazy.compactMap({ $0 }).first else { return nil }
        return one.layers.indices.map { layer in
            func join(_ part: (FastWeights) -> Tensor?) -> Tensor? {
                guard let shape = part(one.layers[layer])?.shape else { return nil }
                return concatenate(carries.map { carry in carry.flatMap { part($0.layers[layer]) } ?? .zeros(shape) })
            }
            return FastWeights(memory: join(\.memory)!, keySum: join(\.keySum), history: join(\.history))
        }
    }

    /// Returns the carry of each row after n more tokens; nil with softmax, which has no states.
    static func after(_ carries: [Self?], tokens n: Int, states: [FastWeights]?) -> [Self?] {
        carries.enumerated().map { row, carry in
            states.map { layers in Self(layers: layers.map { $0.row(row) }, position: (carry?.position ?? 0) + n) }
        }
    }
}

extension FastWeights {
    /// Copies the memory of one sequence, without gradient, with b = 1: a view would keep that of the whole batch.
    fileprivate func row(_ index: Int) -> FastWeights {
        func take(_ x: Tensor) -> Tensor { x.detached().sliced(0, from: index, to: index + 1).alone }
        return FastWeights(memory: take(memory), keySum: keySum.map(take), history: history.map(take))
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

    /// The memory of each layer; nil with softmax, whose keys grow with the sequence.
    public func carry(of state: FastWeightsState) -> FastWeightsCarry? {
        let layers = state.layers.compactMap { layer in
            if case .weights(let weights) = layer { weights } else { nil }
        }
        guard layers.count == state.layers.count else { return nil }
        return FastWeightsCarry(layers: layers, position: state.position)
    }

    /// - Throws: `InputError` that names the memory that does not have this model's shape.
    public func decodingState(after carry: FastWeightsCarry) throws -> FastWeightsState {
        guard carriesState else { throw InputError("expected nothing, as softmax attention carries no memory") }
        guard carry.layers.count == configuration.layers else {
            throw InputError("has the memories of \(carry.layers.count) layers; expected \(configuration.layers)")
        }
        let (h, dk, d) = (configuration.heads, configuration.features, configuration.headWidth)
        let sums: [Int]? = configuration.normalizesAttention ? [1, h, dk, 1] : nil
        let before = configuration.history
        let history: [Int]? = before > 0 ? [1, before, 3 * configuration.width] : nil
        for (index, layer) in carry.layers.enumerated() {
            for (name, shape, expected) in [
                ("memory", layer.memory.shape, [1, h, dk, d]), ("key_sum", layer.keySum?.shape, sums),
                ("convolution", layer.history?.shape, history),
            ] where shape != expected {
                func text(_ shape: [Int]?) -> String { shape.map { "\($0)" } ?? "none" }
                throw InputError("layers.\(index).\(name): expected \(text(expected)), found \(text(shape))")
            }
        }
        return FastWeightsState(position: carry.position, layers: carry.layers.map { .weights($0) })
    }
}
