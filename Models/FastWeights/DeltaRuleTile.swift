import CKernels
import Tensors

/// Neighbouring tokens of one sequence and head: where their rows and shares start.
struct DeltaRuleChunk {
    let count: Int
    let q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>
    let beta: UnsafePointer<Float>
    let gamma: UnsafePointer<Float>?
    /// S at its start is zero, and need not be read.
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
    let scratch: UnsafeMutablePointer<Float>

    init(_ rule: DeltaRule) {
        self.rule = rule
        (c, dk, dv) = (rule.chunk, rule.dk, rule.dv)
        memory = Tensor(uninitialized: [2 * c * dk + 2 * c * c + 3 * c * dv + rule.features.scratch(rule.d)])
        features = memory.mutablePointer
        grams = features + 2 * c * dk
        reads = grams + 2 * c * c
        updates = reads + 2 * c * dv
        scratch = updates + c * dv
    }

    /// The first row of [K; Q] that products take.
    func first(_ chunk: DeltaRuleChunk) -> Int { rule.gamma == nil ? chunk.count : 0 }

    /// The features of keys and queries, N and P.
    func load(_ chunk: DeltaRuleChunk) {
        let (m, map) = (chunk.count, rule.features)
        map.forward(m, rule.d, chunk.k, stride: rule.keys.stride, features, scratch: scratch)
        map.forward(m, rule.d, chunk.q, stride: rule.queries.stride, features + m * dk, scratch: scratch)
        let low = first(chunk)
        BLAS.multiply(
            2 * m - low, m, dk, .init(features + low * dk, stride: dk), .init(features, stride: dk, transposed: true),
            grams + low * c, stride: c)
        zeroAbove(m, grams + m * c, diagonal: 1)
    }

    /// Leaves of a square [m, m], rows c apart, what is below a diagonal: 1 for the one above the main one.
    func zeroAbove(_ m: Int, _ square: UnsafeMutablePointer<Float>, diagonal: Int) {
        for row in 0..<m { az_fill(max(m - row - diagonal, 0), 0, square + row * c + row + diagonal) }
    }

    /// U, from S at the start of the chunk.
    func write(_ chunk: DeltaRuleChunk, _ state: UnsafePointer<Float>) {
        let (m, low) = (chunk.count, first(chunk))
        if chunk.startsEmpty {
            az_fill((2 * m - low) * dv, 0, reads + low * dv)
        } else {
            BLAS.multiply(
                2 * m - low, dv, dk, .init(features + low * dk, stride: dk), .init(state, stride: dv), reads + low * dv,
                stride: dv)
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

    /// O = Q S + P U, to rows `stride` apart.
    func read(_ chunk: DeltaRuleChunk, into output: UnsafeMutablePointer<Float>, stride: Int) {
        let m = chunk.count
        let result = reads + m * dv
        BLAS.multiply(
            m, dv, m, .init(grams + m * c, stride: c), .init(updates, stride: dv), beta: 1, result, stride: dv)
        az_copy_2d(m, dv, result, dv, 1, output, stride, 1)
    }

    /// S += Kᵀ U
    func extend(_ chunk: DeltaRuleChunk, _ state: UnsafeMutablePointer<Float>) {
        BLAS.multiply(
            dk, dv, chunk.count, .init(features, stride: dk, transposed: true), .init(updates, stride: dv),
            beta: chunk.startsEmpty ? 0 : 1, state, stride: dv)
    }
}
