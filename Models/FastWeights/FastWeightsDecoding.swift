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
            let layers = transformer.layers
            for place in layers.indices {
                x = layers[place].attention.decode(x, layers[place].norm, rows.spans, &states, place)
                x = layers[place].feed(x, .inference)
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
        if isStep, spans.count == x.shape[0] {
            return finish(step(projectRows(x, norm), &states, place), residual: x, .inference)
        }
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

    /// Whether a token is a pass over the memory alone.
    private var isStep: Bool { configuration.featureMap == .dpfp && !configuration.normalizesAttention }

    /// One token of each sequence. projected: [sequences, 3 m + h] → [sequences, m]. One operation on memory, of which a token
    /// has as many as there are layers.
    private func step(_ projected: Tensor, _ states: inout [FastWeightsState], _ place: Int) -> Tensor {
        let (m, h, width) = (configuration.width, configuration.heads, projected.shape[1])
        let output = Tensor(uninitialized: [states.count, m])
        let shares = Tensor(repeating: Float(configuration.beta ?? 0), shape: [states.count, h])
        let features = DPFP(nu: configuration.nu, epsilon: sumEpsilon).features(m / h)
        var memories = states.indices.map { states[$0].takeWeights(place).memory }
        let steps = memories.indices.map { index in
            memories[index].ensureUnique()
            let (row, beta) = (projected.pointer + index * width, shares.mutablePointer + index * h)
            if configuration.learnsBeta { az_sigmoid_forward(h, row + 3 * m, beta) }
            return FastWeightStep(
                queries: row, keys: row + m, values: row + 2 * m, shares: beta, h, d: m / h, features,
                configuration.rule, memory: memories[index].mutablePointer, output: output.mutablePointer + index * m)
        }
        FastWeightStep.run(steps)
        for (index, memory) in memories.enumerated() {
            states[index].layers[place] = .weights(FastWeights(memory: memory))
        }
        withExtendedLifetime((projected, shares)) {}
        return output
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
            return FastWeightStep.run(
                q, k, inputs.v, inputs.beta!, features, configuration.rule, memory: &weights.memory)
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

extension FastWeights {
    /// What stands where a memory was taken from.
    fileprivate static var none: FastWeights { FastWeights(memory: .zeros([0])) }
}

extension FastWeightsState {
    /// Moves a layer's memory out, so that it has one owner and may be written in place.
    fileprivate mutating func takeWeights(_ place: Int) -> FastWeights {
        guard case .weights(let weights) = layers[place] else {
            fatalError("FastWeightsState: no fast weights at \(place)")
        }
        layers[place] = .weights(.none)
        return weights
    }

    fileprivate mutating func takeRing(_ place: Int) -> KeyValueRing {
        guard case .keys(var ring) = layers[place] else { fatalError("FastWeightsState: no keys at \(place)") }
        layers[place] = .weights(.none)
        return ring.taken()
    }
}

/// One token of one sequence: what is under its key is read, then the memory written and read under its query in one pass.
/// On memory that the caller keeps alive.
struct FastWeightStep {
    private let queries: UnsafePointer<Float>, keys: UnsafePointer<Float>, values: UnsafePointer<Float>
    private let shares: UnsafePointer<Float>
    private let h: Int, d: Int, columns: Int, dk: Int
    private let features: RowFeatures
    private let rule: UpdateRule
    private let memory: UnsafeMutablePointer<Float>, output: UnsafeMutablePointer<Float>

    /// - Parameters:
    ///   - queries, keys: [h, d] before `features`; values: [h, d'], with d' columns of an output.
    ///   - shares: β, [h].
    ///   - memory: S, [h, dk, d'], changed.
    ///   - output: [h, d'].
    init(
        queries: UnsafePointer<Float>, keys: UnsafePointer<Float>, values: UnsafePointer<Float>,
        shares: UnsafePointer<Float>, _ h: Int, d: Int, columns: Int? = nil, _ features: RowFeatures,
        _ rule: UpdateRule, memory: UnsafeMutablePointer<Float>, output: UnsafeMutablePointer<Float>
    ) {
        (self.queries, self.keys, self.values, self.shares) = (queries, keys, values, shares)
        (self.h, self.d, self.columns) = (h, d, columns ?? d)
        (self.features, self.rule, self.memory, self.output) = (features, rule, memory, output)
        dk = features.width(d)
    }

    /// The same with tensors. q, k: [1, 1, h, d]; v: [1, 1, h, d']; beta: [1, 1, h]; memory: [1, h, dk, d'] → [1, h, d'].
    static func run(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ beta: Tensor, _ features: RowFeatures, _ rule: UpdateRule,
        memory: inout Tensor
    ) -> Tensor {
        let (h, d, columns) = (q.shape[2], q.shape[3], v.shape[3])
        memory.ensureUnique()
        let output = Tensor(uninitialized: [1, h, columns])
        let parts = [q, k, v, beta].map { $0.contiguous() }
        run([
            FastWeightStep(
                queries: parts[0].pointer, keys: parts[1].pointer, values: parts[2].pointer, shares: parts[3].pointer,
                h, d: d, columns: columns, features, rule, memory: memory.mutablePointer,
                output: output.mutablePointer)
        ])
        withExtendedLifetime(parts) {}
        return output
    }

    /// Multiply-adds that are not worth waking another thread for.
    private static let smallest = 1 << 17

    /// Tokens of several sequences, alike in their sizes: threads share the heads of all.
    static func run(_ steps: [FastWeightStep]) {
        guard let first = steps.first else { return }
        let h = first.h
        func run(_ index: Int) { steps[index / h].run(head: index % h) }
        if 3 * steps.count * h * first.dk * first.columns < smallest {
            for index in 0..<steps.count * h { run(index) }
        } else {
            parallelFor(steps.count * h, run)
        }
    }

    private func run(head: Int) {
        let (state, output) = (memory + head * dk * columns, output + head * columns)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * dk + columns + features.scratch(d)) { memory in
            guard let key = memory.baseAddress else { return }
            let (query, update) = (key + dk, key + 2 * dk)
            let scratch = update + columns
            features.forward(1, d, keys + head * d, stride: d, key, scratch: scratch)
            features.forward(1, d, queries + head * d, stride: d, query, scratch: scratch)
            let share = shares[head]
            if rule == .delta {
                BLAS.multiply(
                    1, columns, dk, alpha: -share, .init(key, stride: dk), .init(state, stride: columns), update,
                    stride: columns)
            } else {
                az_fill(columns, 0, update)
            }
            az_scale_add(columns, share, values + head * columns, 1, update)
            az_outer_vector_matrix(dk, columns, key, 1, update, state, columns, query, output)
        }
    }
}
