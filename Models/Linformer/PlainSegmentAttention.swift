import NN
import Tensors

// Attention by segments as it is written, with every score computed: to read and to compare with.
//
// b batch, h heads, n queries, m keys, c segments, r slots of a segment

/// Computes `segmentAttention` in ordinary operations. Returns [b, n, h, e].
func plainSegmentAttention(_ inputs: SegmentAttentionInputs) -> Tensor {
    if inputs.n == 0 { return .zeros([inputs.b, 0, inputs.h, inputs.e]) }
    let options = inputs.options
    let weights = dropout(inputs.weights(), probability: options.dropout, key: options.key)
    return headsFirst(matrixProduct(weights, headsFirst(concatenate([inputs.v, inputs.slotValues], axis: 1))))
}

extension SegmentAttentionInputs {
    /// The weights of all keys and slots, 0 for those that a query does not see: [b, h, n, m + c · r].
    func weights() -> Tensor {
        if n == 0 { return .zeros([b, h, 0, m + slotRows]) }
        let seen = concatenate([windowSeen(), slotsSeen()], axis: 3)  // [b, h, n, m + c · r]
        let scores = concatenate([windowScores(), slotScores()], axis: 3)
        return softmax(select(seen, scores, -1e30)) * seen
    }

    // MARK: Scores

    /// [b, h, n, m]
    private func windowScores() -> Tensor {
        let scores = matrixProduct(headsFirst(q), headsFirst(k), transposeB: true) * options.scale
        guard let bias = options.windowBias else { return scores }
        return scores + table(bias, columns: m) { position, key in position - options.firstKey - key }
    }

    /// [b, h, n, c · r]
    private func slotScores() -> Tensor {
        let scores =
            matrixProduct(headsFirst(slotQueries ?? q), headsFirst(slotKeys), transposeB: true) * options.scale
        guard let bias = options.slotBias else { return scores }
        return scores + table(bias, columns: slotRows) { options.segmentsInReach(of: $0) - 1 - segment(ofSlot: $1) }
    }

    private func segment(ofSlot slot: Int) -> Int { options.firstSegment + slot / options.slots }

    /// The entry of a bias for each query and column. bias: [h, distances] → [h, n, columns].
    private func table(
        _ bias: Tensor, columns: Int, distance: (_ position: Int, _ column: Int) -> Int
    ) -> Tensor {
        let entries = (0..<n).flatMap { query in
            (0..<columns).map { Int32(min(max(distance(firstQuery + query, $0), 0), bias.shape[1] - 1)) }
        }
        return bias.taking(TokenTensor(entries, shape: [n, columns]), axis: 1)
    }

    // MARK: What a query sees

    /// [b, h, n, m]
    private func windowSeen() -> Tensor {
        let seen = indicator(columns: m) { position, key in
            let distance = position - options.firstKey - key
            return 0 <= distance && distance < options.window
        }
        return perHead(options.mask.map { seen * $0.unsqueezed(1) } ?? seen)
    }

    /// [b, h, n, c · r]
    private func slotsSeen() -> Tensor {
        let seen = indicator(columns: slotRows) { position, slot in
            let last = (segment(ofSlot: slot) + 1) * options.segmentLength - 1  // its last token
            let newest = options.segmentsInReach(of: position) - 1
            let isInReach = last <= position - (options.reach == .beforeWindow ? options.window : 0)
            return isInReach && newest - segment(ofSlot: slot) < options.maxSegments ?? .max
        }
        guard let mask = options.slotMask else { return perHead(seen) }
        let ofSlots = mask.unsqueezed(2).expanded(to: [b, segments, options.slots]).reshaped([b, 1, slotRows])
        return perHead(seen * ofSlots)
    }

    /// [n, columns] or [b, n, columns] → [b, h, n, columns]
    private func perHead(_ seen: Tensor) -> Tensor {
        let columns = seen.shape[seen.rank - 1]
        return (seen.rank == 2 ? seen : seen.unsqueezed(1)).expanded(to: [b, h, n, columns])
    }

    /// 1 where a condition holds of a query's position and a column, else 0: [n, columns].
    private func indicator(columns: Int, _ holds: (_ position: Int, _ column: Int) -> Bool) -> Tensor {
        Tensor(
            (0..<n).flatMap { query in (0..<columns).map { holds(firstQuery + query, $0) ? 1 : 0 } },
            shape: [n, columns])
    }
}

/// [b, n, h, d] ↔ [b, h, n, d]
private func headsFirst(_ x: Tensor) -> Tensor { x.permuted([0, 2, 1, 3]) }
