import CKernels
import Tensors

/// Returns the weight a_t of each value for each query in a memory that the delta rule wrote from nothing: with
/// S ← S + β_t k_tᵀ (v_t − k_t S) for t = 1 … n, q S = Σ a_t v_t.
///
/// Since q S_t = (q − β_t (q·k_t) k_t) S_{t−1} + β_t (q·k_t) v_t, the weights are found from the last pair back without
/// S: a query costs n d, where the memory costs n d dv. Backward brings the query back pair by pair.
///
/// q: [b, m, d]; k: [b, n, d]; beta: [b, n]. Returns a: [b, m, n].
package func deltaRead(_ q: Tensor, _ k: Tensor, beta: Tensor) -> Tensor {
    require(
        q.rank == 3 && k.rank == 3 && q.shape[0] == k.shape[0] && q.shape[2] == k.shape[2]
            && beta.shape == [k.shape[0], k.shape[1]],
        "deltaRead: q \(q.shape), k \(k.shape), beta \(beta.shape); expected q [b, m, d], k [b, n, d], beta [b, n]")
    let (b, m, n, d) = (q.shape[0], q.shape[1], k.shape[1], k.shape[2])
    let (keys, shares) = (k.contiguous(), beta.contiguous())
    // What the pairs have left of the query; the query, at first.
    let rest = q.detached() + 0
    let a = Tensor(uninitialized: [b, m, n])
    let (pk, pb, pr, pa) = (keys.pointer, shares.pointer, rest.mutablePointer, a.mutablePointer)
    parallelFor(b * m) { row in
        az_delta_read_forward(n, d, pk + row / m * n * d, pb + row / m * n, pr + row * d, pa + row * n)
    }
    return .record("deltaRead", a, inputs: [q, keys, shares]) { gradient, slots in
        let da = gradient.contiguous()
        let (dq, dk, dbeta) = (Tensor.zeros([b, m, d]), Tensor.zeros([b, n, d]), Tensor.zeros([b, n]))
        let (pk, pb, pa, pda) = (keys.pointer, shares.pointer, a.pointer, da.pointer)
        // Nobody else sees what is left, and the pullback runs once: the queries come back where it lies.
        let (pr, pdq) = (rest.mutablePointer, dq.mutablePointer)
        let (pdk, pdb) = (dk.mutablePointer, dbeta.mutablePointer)
        parallelFor(b) { item in
            for row in item * m..<(item + 1) * m {
                az_delta_read_backward(
                    n, d, pk + item * n * d, pb + item * n, pa + row * n, pda + row * n, pr + row * d, pdq + row * d,
                    pdk + item * n * d, pdb + item * n)
            }
        }
        for (slot, gradient) in zip(slots, [dq, dk, dbeta]) where slot.isNeeded { slot.add(gradient) }
    }
}

/// The sum of weights by the value they belong to: what weighted one-hot values add up to.
///
/// weights: [b, m, n]; values: [b, n], each in 0 ..< count. Returns [b, m, count].
package func summedByValue(_ weights: Tensor, _ values: TokenTensor, count: Int) -> Tensor {
    require(
        weights.rank == 3 && values.shape == [weights.shape[0], weights.shape[2]] && values.firstOutside(count) == nil,
        "summedByValue: weights \(weights.shape), values \(values.shape); expected weights [b, m, n] and values [b, n]"
            + " below \(count)")
    let (b, m, n) = (weights.shape[0], weights.shape[1], weights.shape[2])
    let x = weights.contiguous()
    let y = Tensor.zeros([b, m, count])
    values.values.withUnsafeBufferPointer { places in
        guard let places = places.baseAddress else { return }
        parallelRanges(b * m, grain: 32) {
            for row in $0 {
                az_scatter_add_rows(
                    n, 1, places + row / m * n, x.pointer + row * n, y.mutablePointer + row * count)
            }
        }
    }
    return .record("summedByValue", y, inputs: [x]) { gradient, slots in
        let dy = gradient.contiguous()
        let dx = Tensor(uninitialized: [b, m, n])
        values.values.withUnsafeBufferPointer { places in
            guard let places = places.baseAddress else { return }
            parallelRanges(b * m, grain: 32) {
                for row in $0 {
                    az_gather_rows(
                        n, 1, dy.pointer + row * count, places + row / m * n, dx.mutablePointer + row * n)
                }
            }
        }
        slots[0].add(dx)
    }
}
