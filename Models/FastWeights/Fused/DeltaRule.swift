import CKernels
import NN
import Tensors

// The fused form of `deltaRule`: the fast weight memory and its update rules (2102.11174) in chunks of tokens.
//
// b batch, h heads, n tokens, d columns of a head, dk features of keys and queries, dv columns of values, c tokens of a chunk
//
// With k_t, q_t the features of token t, by rows:
//
//     u_t = β_t v_t − γ_t k_t S      S ← S + k_tᵀ u_t      o_t = q_t S                        S: [dk, dv]
//
// γ = β is the delta rule, γ = 0 the sum rule. For a chunk of c tokens, S at its start:
//
//     N = stril(K Kᵀ)      P = tril(Q Kᵀ)      U = diag(β) V − diag(γ) (K S + N U), row after row
//     O = Q S + P U        S ← S + Kᵀ U
//
// so that all but the rows of U are products of matrices. Decays change this by factors: see ChunkDecay. Nothing by token and feature is stored: backward computes the
// features and U again from S kept at the start of segments of a few chunks.

/// Computes `deltaRule` in chunks. Views are read in place.
func fusedDeltaRule(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, beta: Tensor, erase: Tensor?, logDecay: Tensor?, rule: UpdateRule,
    features: Features, state: Tensor?, chunk: Int, segment: Int
) -> (output: Tensor, state: Tensor) {
    require(chunk > 0 && segment > 0, "deltaRule: chunk \(chunk), segment \(segment); expected at least 1")
    let (q, k, map) = features.prepared(q, k)
    let memory = DeltaRule(
        q, k, v, beta: beta, gamma: rule == .sum ? nil : erase ?? beta, logDecay: logDecay, map: map, state: state,
        chunk: chunk, segment: segment)
    return memory.record([q, k, v, beta] + [erase, logDecay, state].compactMap { $0 }, hasErase: erase != nil)
}

/// Computes `keySums` as a memory of one column, to which the sum rule writes 1.
func fusedKeySums(_ q: Tensor, _ k: Tensor, state: Tensor?, segment: Int) -> (output: Tensor, state: Tensor) {
    let ones = Tensor(repeating: 1, shape: [1]).expanded(to: Array(k.shape.dropLast()) + [1])
    let (y, z) = deltaRule(q, k, ones, beta: ones.squeezed(-1), rule: .sum, state: state, segment: segment)
    return (y.squeezed(-1), z)
}

/// A number for each token and head, wherever it lies in a tensor [b, n, h].
struct HeadScalars: @unchecked Sendable {
    private let owner: Tensor
    private let base: UnsafePointer<Float>
    /// The step from one token to the next.
    let step: Int

    init(_ tensor: Tensor) {
        owner = tensor
        base = tensor.basePointer
        step = tensor.strides[1]
    }

    func place(_ batch: Int, _ head: Int, _ token: Int) -> UnsafePointer<Float> {
        base + batch * owner.strides[0] + token * step + head * owner.strides[2]
    }
}

/// The inputs of the memory, and the split of the work.
struct DeltaRule: Sendable {
    let queries: HeadRows, keys: HeadRows, values: HeadRows
    let beta: HeadScalars
    /// γ; nil where nothing is erased.
    let gamma: HeadScalars?
    /// ln α; nil where nothing fades.
    let logDecay: HeadScalars?
    let map: RowMap
    /// S before the first token, dense; nil for zeros.
    let initial: Tensor?
    let b: Int, n: Int, h: Int, d: Int, dk: Int, dv: Int
    /// Tokens of a chunk, and of a segment.
    let chunk: Int, segment: Int

    init(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, beta: Tensor, gamma: Tensor?, logDecay: Tensor?, map: RowMap,
        state: Tensor?, chunk: Int, segment: Int
    ) {
        (b, n, h, d) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
        (dk, dv) = (map.width(d), v.shape[3])
        (queries, keys, values) = (HeadRows(q), HeadRows(k), HeadRows(v))
        (self.beta, self.gamma) = (HeadScalars(beta), gamma.map { HeadScalars($0) })
        self.logDecay = logDecay.map { HeadScalars($0) }
        self.map = map
        initial = state?.detached().contiguous()
        self.chunk = max(1, min(chunk, n))
        self.segment = self.chunk * segment
    }

    /// Floats of S of one sequence and head.
    var stateCount: Int { dk * dv }
    var segments: Int { (n + segment - 1) / segment }

    /// The chunks of a segment, as ranges of tokens.
    func chunks(_ index: Int) -> [Range<Int>] {
        let (first, last) = (index * segment, min((index + 1) * segment, n))
        return stride(from: first, to: last, by: chunk).map { $0..<min($0 + chunk, last) }
    }

    /// Finds neighboring tokens of one sequence and head (counted through, batch first) for a tile.
    func chunk(_ sequence: Int, _ tokens: Range<Int>) -> DeltaRuleChunk {
        let (batch, head, first) = (sequence / h, sequence % h, tokens.lowerBound)
        return DeltaRuleChunk(
            count: tokens.count, q: queries.row(batch, head, first), k: keys.row(batch, head, first),
            v: values.row(batch, head, first), beta: beta.place(batch, head, first),
            gamma: gamma?.place(batch, head, first), logDecay: logDecay?.place(batch, head, first),
            startsEmpty: first == 0 && initial == nil)
    }

    // MARK: Forward

    /// Computes output and state, and records them. inputs: q, k, v, beta, then erase, logDecay and state where there
    /// are any.
    func record(_ inputs: [Tensor], hasErase: Bool) -> (output: Tensor, state: Tensor) {
        let output = Tensor(uninitialized: [b, n, h, dv])
        let kept = Tensor.records(inputs) ? Tensor(uninitialized: [b * h, max(segments - 1, 0), dk, dv]) : nil
        let state = withoutGradients { forward(into: HeadRows(output), kept) }
        let outputs = Tensor.record("deltaRule", outputs: [output, state], inputs: inputs) { gradients, slots in
            DeltaRuleBackward(self, kept, output: gradients[0], state: gradients[1]).run(slots, hasErase: hasErase)
        }
        return (outputs[0], outputs[1])
    }

    /// Fills `output`, and `kept` with S at the start of each segment but the first. Returns S after the last token.
    func forward(into output: HeadRows, _ kept: Tensor?) -> Tensor {
        let result = Tensor(uninitialized: [b, h, dk, dv])
        if let initial { az_scale(initial.count, 1, initial.pointer, result.mutablePointer) }
        if n == 0 && initial == nil { az_fill(result.count, 0, result.mutablePointer) }
        let (states, places) = (result.mutablePointer, kept?.mutablePointer)
        parallelFor(b * h) { sequence in
            let tile = DeltaRuleTile(self)
            let state = states + sequence * stateCount
            for segment in 0..<segments {
                if let places, segment > 0 {
                    az_scale(stateCount, 1, state, places + (sequence * (segments - 1) + segment - 1) * stateCount)
                }
                for tokens in chunks(segment) {
                    let chunk = chunk(sequence, tokens)
                    tile.load(chunk)
                    tile.write(chunk, state)
                    tile.read(
                        chunk, into: output.target(sequence / h, sequence % h, tokens.lowerBound), stride: output.stride
                    )
                    tile.extend(chunk, state)
                }
            }
        }
        return result
    }
}

extension HeadRows {
    /// Takes a tensor [b, n, h, d].
    init(_ tensor: Tensor) { self.init(tensor, headsFirst: false) }
}

// MARK: Tiles

/// Neighboring tokens of one sequence and head: pointers to their rows and shares.
struct DeltaRuleChunk {
    let count: Int
    let q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>
    let beta: UnsafePointer<Float>
    let gamma: UnsafePointer<Float>?
    let logDecay: UnsafePointer<Float>?
    /// True where S is zero at its start and need not be read.
    let startsEmpty: Bool
}

/// The tiles of one chunk, in cache. Keys stand above queries, [K; Q], so that one product serves both; where nothing is
/// erased the upper half has no use, and products begin with the lower one.
final class DeltaRuleTile {
    let rule: DeltaRule
    /// The most tokens of a chunk, and the widths.
    let c: Int, dk: Int, dv: Int
    private let memory: Tensor
    /// [K; Q], [2m, dk] for a chunk of m tokens
    let features: UnsafeMutablePointer<Float>
    /// [N; P], [2m, c]
    let grams: UnsafeMutablePointer<Float>
    /// [K S + N U; Q S + P U], [2m, dv]
    let reads: UnsafeMutablePointer<Float>
    /// U, [m, dv]
    let updates: UnsafeMutablePointer<Float>
    /// nil where nothing fades.
    let decay: ChunkDecay?
    let scratch: UnsafeMutablePointer<Float>

    init(_ rule: DeltaRule) {
        self.rule = rule
        (c, dk, dv) = (rule.chunk, rule.dk, rule.dv)
        memory = Tensor(uninitialized: [2 * c * dk + 2 * c * c + 3 * c * dv + rule.map.scratch(rule.d)])
        features = memory.mutablePointer
        grams = features + 2 * c * dk
        reads = grams + 2 * c * c
        updates = reads + 2 * c * dv
        scratch = updates + c * dv
        decay = rule.logDecay == nil ? nil : ChunkDecay(tokens: c, values: dv)
    }

    /// The first row of [K; Q] that products take.
    func first(_ chunk: DeltaRuleChunk) -> Int { rule.gamma == nil ? chunk.count : 0 }

    /// Computes the features of keys and queries, N and P.
    func load(_ chunk: DeltaRuleChunk) {
        let (m, map) = (chunk.count, rule.map)
        map.forward(m, rule.d, chunk.k, stride: rule.keys.stride, into: features, scratch: scratch)
        map.forward(m, rule.d, chunk.q, stride: rule.queries.stride, into: features + m * dk, scratch: scratch)
        let low = first(chunk)
        BLAS.multiply(
            2 * m - low, m, dk, .init(features + low * dk, stride: dk), .init(features, stride: dk, transposed: true),
            grams + low * c, stride: c)
        zeroAbove(m, grams + m * c, diagonal: 1)
        guard let decay, let logDecay = chunk.logDecay else { return }
        decay.load(m, logDecay, step: rule.logDecay!.step)
        if low == 0 { decay.fadeSquare(m, grams) }
        decay.fadeSquare(m, grams + m * c)
    }

    /// Clears a square [m, m], rows c apart, from a diagonal up: 1 for the one above the main one.
    func zeroAbove(_ m: Int, _ square: UnsafeMutablePointer<Float>, diagonal: Int) {
        for row in 0..<m { az_fill(max(m - row - diagonal, 0), 0, square + row * c + row + diagonal) }
    }

    /// Computes U from S at the start of the chunk.
    func write(_ chunk: DeltaRuleChunk, _ state: UnsafePointer<Float>) {
        let (m, low) = (chunk.count, first(chunk))
        if chunk.startsEmpty {
            az_fill((2 * m - low) * dv, 0, reads + low * dv)
        } else {
            BLAS.multiply(
                2 * m - low, dv, dk, .init(features + low * dk, stride: dk), .init(state, stride: dv), reads + low * dv,
                stride: dv)
            if low == 0 { decay?.fadeRows(m, reads, dv) }
            decay?.fadeRows(m, reads + m * dv, dv)
        }
        if let gamma = chunk.gamma {
            az_erasing_substitution_forward(
                m, dv, grams, c, chunk.beta, rule.beta.step, gamma, rule.gamma!.step, chunk.v, rule.values.stride,
                reads,
                updates)
        } else {
            for row in 0..<m {
                az_scale(dv, chunk.beta[row * rule.beta.step], chunk.v + row * rule.values.stride, updates + row * dv)
            }
        }
    }

    /// Writes O = Q S + P U to rows `stride` apart.
    func read(_ chunk: DeltaRuleChunk, into output: UnsafeMutablePointer<Float>, stride: Int) {
        let m = chunk.count
        let result = reads + m * dv
        BLAS.multiply(
            m, dv, m, .init(grams + m * c, stride: c), .init(updates, stride: dv), beta: 1, result, stride: dv)
        az_copy_2d(m, dv, result, dv, 1, output, stride, 1)
    }

    /// Adds Kᵀ U to what is left of S.
    func extend(_ chunk: DeltaRuleChunk, _ state: UnsafeMutablePointer<Float>) {
        let m = chunk.count
        let lasting = decay?.lasting(m, updates) ?? UnsafePointer(updates)
        BLAS.multiply(
            dk, dv, m, .init(features, stride: dk, transposed: true), .init(lasting, stride: dv),
            beta: chunk.startsEmpty ? 0 : decay?.whole(m) ?? 1, state, stride: dv)
    }
}
