import CKernels
import NN
import Tensors

// The fast weight memory and its update rules (Schlag, Irie, Schmidhuber, 2102.11174), in chunks.
//
// b batch, h heads, n tokens, d columns of a head, dk features of keys and queries, dv columns of values, c tokens of a chunk
//
// With k_t, q_t the features of token t, by rows:
//
//     u_t = β_t v_t − γ_t k_t S      S ← S + k_tᵀ u_t      o_t = q_t S                        S: [dk, dv]
//
// γ = β is the delta rule (section 4.2): what the memory has under the key is moved towards the value by the share β. γ = 0
// adds up outer products: linear attention (2006.16236). For a chunk of c tokens, S at its start:
//
//     N = stril(K Kᵀ)      P = tril(Q Kᵀ)      U = diag(β) V − diag(γ) (K S + N U), row after row
//     O = Q S + P U        S ← S + Kᵀ U
//
// so that all but the rows of U are products of matrices. Nothing by token and feature is stored: backward computes the
// features and U again from S kept at the start of segments of a few chunks.

/// What is written to the memory (2102.11174, section 4.2).
public enum UpdateRule: String, CaseIterable, Sendable {
    /// β (v − what is there already).
    case delta
    /// β v.
    case sum
}

/// A fast weight memory that is written and read token by token, in the chunked form. Views are read in place.
///
/// - Parameters:
///   - q, k: [b, n, h, d].
///   - v: [b, n, h, dv].
///   - beta: the share β of each token and head, [b, n, h].
///   - erase: γ, [b, n, h]; nil for β with `delta`. With `sum` there is none.
///   - rule: what is written.
///   - features: what the rows of q and k become, d → dk columns.
///   - state: S before the first token, [b, h, dk, dv]; nil for zeros.
///   - chunk: c, a matter of speed only.
///   - segment: chunks from one state that is kept for backward to the next; what lies between is computed again. 1 keeps
///     them all.
/// - Returns: the output, [b, n, h, dv], and S after the last token, [b, h, dk, dv]. Gradients flow through both.
public func deltaRule(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, beta: Tensor, erase: Tensor? = nil, rule: UpdateRule = .delta,
    features: RowFeatures = .identity, state: Tensor? = nil, chunk: Int = 32, segment: Int = 4
) -> (output: Tensor, state: Tensor) {
    require(
        q.rank == 4 && q.shape == k.shape && v.rank == 4 && v.shape.prefix(3) == q.shape.prefix(3)
            && beta.shape == Array(q.shape.prefix(3)) && (erase == nil || erase!.shape == beta.shape),
        "deltaRule: q \(q.shape), k \(k.shape), v \(v.shape), beta \(beta.shape), erase \(erase?.shape ?? []); expected q "
            + "and k [b, n, h, d], v [b, n, h, dv], beta and erase [b, n, h]")
    require(erase == nil || rule == .delta, "deltaRule: erase with the sum rule, which erases nothing")
    require(chunk > 0 && segment > 0, "deltaRule: chunk \(chunk), segment \(segment); expected at least 1")
    let memory = DeltaRule(
        q, k, v, beta, rule == .sum ? nil : erase ?? beta, features: features, state: state, chunk: chunk,
        segment: segment)
    return memory.record([q, k, v, beta] + [erase, state].compactMap { $0 }, hasErase: erase != nil)
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

/// What the memory is computed from, and how the work is split.
struct DeltaRule: Sendable {
    let queries: HeadRows, keys: HeadRows, values: HeadRows
    let beta: HeadScalars
    /// nil: nothing is erased.
    let gamma: HeadScalars?
    let features: RowFeatures
    /// S before the first token, dense; nil for zeros.
    let initial: Tensor?
    let b: Int, n: Int, h: Int, d: Int, dk: Int, dv: Int
    /// Tokens of a chunk, and of a segment.
    let chunk: Int, segment: Int

    init(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ beta: Tensor, _ gamma: Tensor?, features: RowFeatures, state: Tensor?,
        chunk: Int, segment: Int
    ) {
        (b, n, h, d) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
        features.check(d)
        (dk, dv) = (features.width(d), v.shape[3])
        require(
            state == nil || state!.shape == [b, h, dk, dv],
            "deltaRule: state \(state?.shape ?? []), expected [b, h, dk, dv] = \([b, h, dk, dv])")
        (queries, keys, values) = (HeadRows(q), HeadRows(k), HeadRows(v))
        (self.beta, self.gamma) = (HeadScalars(beta), gamma.map { HeadScalars($0) })
        self.features = features
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

    /// Neighbouring tokens of one sequence and head (counted through, batch first), as tiles take them.
    func chunk(_ sequence: Int, _ tokens: Range<Int>) -> DeltaRuleChunk {
        let (batch, head, first) = (sequence / h, sequence % h, tokens.lowerBound)
        return DeltaRuleChunk(
            count: tokens.count, q: queries.row(batch, head, first), k: keys.row(batch, head, first),
            v: values.row(batch, head, first), beta: beta.place(batch, head, first),
            gamma: gamma?.place(batch, head, first), startsEmpty: first == 0 && initial == nil)
    }

    // MARK: Forward

    /// Output and state, recorded. inputs: q, k, v, beta, then erase and state where there are any.
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
    /// Of a tensor [b, n, h, d].
    init(_ tensor: Tensor) { self.init(tensor, headsFirst: false) }
}
