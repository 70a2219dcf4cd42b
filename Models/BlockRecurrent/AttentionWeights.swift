import NN
import Tensors

// The weights of attention, for a recorder.
//
// b batch, n tokens of the segment, h heads, s states

/// The weights of a segment's layers so far, block by block.
struct SegmentWeights {
    private let recorder: AttentionRecorder
    /// The blocks' weights of tokens, by layer: [b, h, tokens of the block, keys seen].
    private var tokens: [[Tensor]]
    /// The blocks' weights of states, by layer and read: [b, h, tokens of the block, s].
    private var states: [[[Tensor]]]

    /// Nil without a recorder.
    init?(_ recorder: AttentionRecorder?, reads: [Int]) {
        guard let recorder else { return nil }
        self.recorder = recorder
        tokens = reads.map { _ in [] }
        states = reads.map { [[Tensor]](repeating: [], count: $0) }
    }

    mutating func add(tokens weights: Tensor, layer: Int) { tokens[layer].append(weights) }
    mutating func add(states weights: Tensor, layer: Int, read: Int) { states[layer][read].append(weights) }

    /// Records all: by token of the segment, those before it first, [b, h, n, before + n]; compressed memories are no tokens,
    /// so with them each block is recorded by itself.
    func record(_ spans: [BlockSpan], isCompressed: Bool) {
        for layer in tokens.indices {
            let name = "Layer \(layer + 1)"
            if isCompressed {
                for (index, weights) in tokens[layer].enumerated() {
                    recorder.record(weights, name: name, note: "block \(index + 1)")
                }
            } else {
                recorder.record(joined(tokens[layer], spans), name: name)
            }
            for (read, weights) in states[layer].enumerated() {
                let note = states[layer].count > 1 ? "states \(read + 1)" : "states"
                recorder.record(concatenate(weights, axis: 2), name: name, note: note)
            }
        }
    }

    /// Puts the rows of all blocks over the columns of all tokens: those of a block see up to its last one.
    private func joined(_ blocks: [Tensor], _ spans: [BlockSpan]) -> Tensor {
        let first = blocks[0].shape[3] - spans[0].tokens.count
        let columns = first + spans[spans.count - 1].tokens.upperBound
        let rows = zip(blocks, spans).map { weights, span in
            let end = first + span.tokens.upperBound
            return weights.padded(axis: 3, before: end - weights.shape[3], after: columns - end)
        }
        return concatenate(rows, axis: 2)
    }
}

extension AttentionBlock {
    /// Returns what each token takes of each key: [b, h, n, keys]. queries: [b, n, h, d], keys: [b, keys, g, d], with
    /// positions.
    func weights(_ queries: Tensor, _ keys: Tensor, implementation: Implementation = .fused) -> Tensor {
        attend(queries, keys, Tensor.identities(for: keys, rows: keys.shape[0]), implementation: implementation)
            .permuted([0, 2, 1, 3])
    }
}

extension StateContainer {
    /// Returns what each token takes of each state: [b, h, n, s]. queries: [b, n, h, d], keys: [b or 1, s, g, d].
    func weights(_ queries: Tensor, _ keys: Tensor, implementation: Implementation = .fused) -> Tensor {
        read(queries, keys, Tensor.identities(for: keys, rows: queries.shape[0]), implementation: implementation)
            .permuted([0, 2, 1, 3])
    }
}

extension Tensor {
    /// Values that make an output of attention its weights, one identity for each head of `keys`: [rows, keys, g, keys].
    fileprivate static func identities(for keys: Tensor, rows: Int) -> Tensor {
        let n = keys.shape[1]
        return identity(n).unsqueezed(1).expanded(to: [rows, n, keys.shape[2], n])
    }
}
