import CKernels
import Foundation
import NN
import Tensors

// `deltaRule` of a single token, for generation: one pass over the memory, which is changed in place.
//
// h heads, d columns of a head, dk features, dv columns of values

/// Writes and reads one token of each of several sequences: the value under its key is read, then the memory is written and
/// read under its query in one pass. Threads share the heads of all sequences.
struct FastWeightStep {
    private let queries: HeadRows, keys: HeadRows, values: HeadRows
    private let beta: HeadScalars, logDecay: HeadScalars?
    private let map: RowMap
    private let rule: UpdateRule
    private let sequences: Int, h: Int, d: Int, dk: Int, dv: Int

    /// - Parameters:
    ///   - q, k: [1, sequences, h, d].
    ///   - v: [1, sequences, h, dv].
    ///   - beta: β, [1, sequences, h].
    ///   - logDecay: ln α, [1, sequences, h]; nil for α = 1.
    init(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, beta: Tensor, logDecay: Tensor? = nil, rule: UpdateRule,
        features: Features
    ) {
        let (q, k, map) = features.prepared(q, k)
        (queries, keys, values) = (HeadRows(q), HeadRows(k), HeadRows(v))
        (self.beta, self.map, self.rule) = (HeadScalars(beta), map, rule)
        self.logDecay = logDecay.map { HeadScalars($0) }
        (sequences, h, d) = (q.shape[1], q.shape[2], q.shape[3])
        (dk, dv) = (map.width(d), v.shape[3])
    }

    /// Multiply-adds that are not worth waking another thread for.
    private static let smallest = 1 << 17

    /// - Parameter memories: S of each sequence, [1, h, dk, dv], changed.
    /// - Returns: y, [1, sequences, h, dv].
    func run(_ memories: inout [Tensor]) -> Tensor {
        let output = Tensor(uninitialized: [1, sequences, h, dv])
        let states = memories.indices.map { index in
            memories[index].ensureUnique()
            return memories[index].mutablePointer
        }
        let target = output.mutablePointer
        func run(_ index: Int) {
            let (sequence, head) = (index / h, index % h)
            self.run(sequence, head, state: states[sequence] + head * dk * dv, output: target + index * dv)
        }
        if 3 * sequences * h * dk * dv < Self.smallest {
            for index in 0..<sequences * h { run(index) }
        } else {
            parallelFor(sequences * h, run)
        }
        return output
    }

    private func run(
        _ sequence: Int, _ head: Int, state: UnsafeMutablePointer<Float>, output: UnsafeMutablePointer<Float>
    ) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * dk + dv + map.scratch(d)) { memory in
            guard let key = memory.baseAddress else { return }
            let (query, update) = (key + dk, key + 2 * dk)
            let scratch = update + dv
            map.forward(1, d, keys.row(0, head, sequence), stride: d, into: key, scratch: scratch)
            map.forward(1, d, queries.row(0, head, sequence), stride: d, into: query, scratch: scratch)
            let share = beta.place(0, head, sequence).pointee
            let decay = logDecay.map { exp($0.place(0, head, sequence).pointee) } ?? 1
            if rule == .delta {
                BLAS.multiply(
                    1, dv, dk, alpha: -share * decay, .init(key, stride: dk), .init(state, stride: dv), update,
                    stride: dv)
            } else {
                az_fill(dv, 0, update)
            }
            az_scale_add(dv, share, values.row(0, head, sequence), 1, update)
            if logDecay == nil {
                az_outer_vector_matrix(dk, dv, key, 1, update, state, dv, query, output)
            } else {
                az_fading_vector_matrix(dk, dv, decay, key, 1, update, state, dv, query, output)
            }
        }
    }
}
