import CKernels
import NN
import Tensors

// Reading a sequence token by token. A layer remembers its fast weights, h dk d floats whatever the position, which come from
// memory and go back once a token (with attention normalisation they are copied as well); with softmax the keys and values
// so far.

/// What a layer remembers of one sequence.
enum FastWeightsLayerState: Sendable {
    case weights(FastWeights)
    case keys(KeyValueRing)
}

/// What a model remembers of one sequence: a value, so a copy is a branch of the text.
public struct FastWeightsState: Sendable {
    /// Tokens read so far.
    public internal(set) var position = 0
    var layers: [FastWeightsLayerState]
}

extension FastWeightsLM {
    public func startDecoding() -> FastWeightsState {
        FastWeightsState(layers: transformer.layers.map { $0.attention.startDecoding() })
    }

    /// Appends tokens to each of several sequences; see `LanguageModel`.
    public func decode(_ tokens: [[Int32]], states: inout [FastWeightsState]) -> Tensor {
        let rows = RaggedRows(tokens, states: states.count, "FastWeightsLM")
        return withoutGradients {
            let positions = zip(tokens, states).flatMap { sequence, state in
                (0..<sequence.count).map { state.position + $0 }
            }
            var x = embed(rows.tokens, positions: positions)  // [rows, m]
            for (place, layer) in transformer.layers.enumerated() {
                x = layer.feed(layer.attention.decode(x, layer.norm, rows.spans, &states, place), .inference)
            }
            for index in states.indices { states[index].position += tokens[index].count }
            return logits(rows.last(x))
        }
    }
}

// MARK: Saving

extension FastWeightsLM {
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
        for (index, layer) in carry.layers.enumerated() {
            for (name, shape, expected) in [
                ("memory", layer.memory.shape, [1, h, dk, d]), ("key_sum", layer.keySum?.shape, sums),
            ] where shape != expected {
                func text(_ shape: [Int]?) -> String { shape.map { "\($0)" } ?? "none" }
                throw InputError("layers.\(index).\(name): expected \(text(expected)), found \(text(shape))")
            }
        }
        return FastWeightsState(position: carry.position, layers: carry.layers.map { .weights($0) })
    }
}

extension FastWeightsAttention {
    func startDecoding() -> FastWeightsLayerState {
        let (h, d) = (configuration.heads, configuration.headWidth)
        if configuration.featureMap == .softmax { return .keys(KeyValueRing(allTokens, heads: h, d, d)) }
        let dk = configuration.features
        return .weights(
            FastWeights(
                memory: .zeros([1, h, dk, d]), keySum: configuration.normalizesAttention ? .zeros([1, h, dk, 1]) : nil))
    }

    /// All tokens as one window.
    private var allTokens: WindowPattern { WindowPattern(window: .max / 4, isCausal: true, lookBackward: 0) }

    /// x: [rows, m], the rows of sequence i in spans[i], whose state is states[i].layers[place]. Returns x and the
    /// attention's output, [rows, m].
    func decode(
        _ x: Tensor, _ norm: LayerNorm?, _ spans: [Range<Int>], _ states: inout [FastWeightsState], _ place: Int
    ) -> Tensor {
        let inputs = project(x, norm)
        let y: Tensor
        if configuration.featureMap == .softmax {
            y = attendToKeys(inputs, spans, &states, place)
        } else {
            y = concatenate(
                spans.indices.map { index in
                    var weights = states[index].takeWeights(place)
                    defer { states[index].layers[place] = .weights(weights) }
                    return append(inputs.rows(spans[index]), to: &weights)
                })
        }
        return finish(y.reshaped(x.shape), residual: x, .inference)
    }

    private func attendToKeys(
        _ inputs: Inputs, _ spans: [Range<Int>], _ states: inout [FastWeightsState], _ place: Int
    ) -> Tensor {
        var rings = states.indices.map { states[$0].takeRing(place) }
        defer { for index in rings.indices { states[index].layers[place] = .keys(rings[index].taken()) } }
        let options = WindowAttentionOptions(allTokens, scale: 1 / Float(configuration.headWidth).squareRoot())
        return KeyValueRing.attend(inputs.q, inputs.k, inputs.v, spans, &rings, options)
    }

    /// Tokens of one sequence, [1, m, h, …] each → [m, h, d].
    private func append(_ inputs: Inputs, to weights: inout FastWeights) -> Tensor {
        if configuration.normalizesAttention {
            let (y, after) = normalized(inputs, inputs.beta!, weights, .inference)
            weights = after!
            return y.squeezed(0)
        }
        let (q, k, features) = mapped(inputs, .inference)
        if q.shape[1] == 1 {
            weights.memory.ensureUnique()
            return FastWeightStep(q, k, inputs.v, inputs.beta!, features, configuration.rule).run(&weights.memory)
        }
        let (y, memory) = deltaRule(
            q, k, inputs.v, beta: inputs.beta!, rule: configuration.rule, features: features, state: weights.memory)
        weights.memory = memory
        return y.squeezed(0)
    }
}

extension FastWeightsAttention.Inputs {
    /// The tokens of one sequence, as a batch of one.
    fileprivate func rows(_ span: Range<Int>) -> Self {
        func take(_ x: Tensor) -> Tensor { x.sliced(0, from: span.lowerBound, to: span.upperBound).unsqueezed(0) }
        return Self(q: take(q), k: take(k), v: take(v), beta: beta.map(take))
    }
}

extension FastWeightsState {
    /// Moves a layer's memory out, so that it has one owner and may be written in place.
    fileprivate mutating func takeWeights(_ place: Int) -> FastWeights {
        guard case .weights(let weights) = layers[place] else {
            fatalError("FastWeightsState: no fast weights at \(place)")
        }
        layers[place] = .weights(FastWeights(memory: .zeros([0])))
        return weights
    }

    fileprivate mutating func takeRing(_ place: Int) -> KeyValueRing {
        guard case .keys(var ring) = layers[place] else { fatalError("FastWeightsState: no keys at \(place)") }
        layers[place] = .weights(FastWeights(memory: .zeros([0])))
        return ring.taken()
    }
}

/// One token of one sequence: what is under its key is read, then the memory written and read under its query in one pass.
struct FastWeightStep: Sendable {
    private let q: HeadRows, k: HeadRows, v: HeadRows
    private let beta: HeadScalars
    private let features: RowFeatures
    private let rule: UpdateRule
    private let h: Int, d: Int, dk: Int, dv: Int

    /// q, k: [1, 1, h, d]; v: [1, 1, h, dv]; beta: [1, 1, h].
    init(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ beta: Tensor, _ features: RowFeatures, _ rule: UpdateRule) {
        (self.q, self.k, self.v, self.beta) = (HeadRows(q), HeadRows(k), HeadRows(v), HeadScalars(beta))
        (self.features, self.rule) = (features, rule)
        (h, d, dv) = (q.shape[2], q.shape[3], v.shape[3])
        dk = features.width(d)
    }

    /// Multiply-adds that are not worth waking another thread for.
    private static let smallest = 1 << 17

    /// memory: S, [1, h, dk, dv]. Returns [1, h, dv].
    func run(_ memory: inout Tensor) -> Tensor {
        let output = Tensor(uninitialized: [1, h, dv])
        let (state, target) = (memory.mutablePointer, output.mutablePointer)
        func run(_ head: Int) { self.run(head, state + head * dk * dv, target + head * dv) }
        if 3 * h * dk * dv < Self.smallest {
            for head in 0..<h { run(head) }
        } else {
            parallelFor(h, run)
        }
        return output
    }

    private func run(_ head: Int, _ state: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * dk + dv + features.scratch(d)) { memory in
            guard let key = memory.baseAddress else { return }
            let (query, update) = (key + dk, key + 2 * dk)
            let scratch = update + dv
            features.forward(1, d, k.row(0, head, 0), stride: d, key, scratch: scratch)
            features.forward(1, d, q.row(0, head, 0), stride: d, query, scratch: scratch)
            let share = beta.place(0, head, 0).pointee
            if rule == .delta {
                BLAS.multiply(
                    1, dv, dk, alpha: -share, .init(key, stride: dk), .init(state, stride: dv), update, stride: dv)
            } else {
                az_fill(dv, 0, update)
            }
            az_scale_add(dv, share, v.row(0, head, 0), 1, update)
            az_outer_vector_matrix(dk, dv, key, 1, update, state, dv, query, output)
        }
    }
}
