import CKernels
import Tensors

// Axes: S streams, P sources, c = S + 2 weights of a stream in a connection (see HyperConnection.swift), d features.

extension StreamStep {
    /// The sum of the next place's streams, of a shape [..., d]: the streams themselves are not needed for it.
    func reduced(_ shape: [Int]) -> Tensor {
        let next = next()
        let (d, p) = (next.d, next.sourceCount)
        let y = Tensor(uninitialized: shape)
        let sums = next.weights.sum(axes: [-1])
        next.parallel { range, _ in
            let row = range.lowerBound
            let sources = RowVectors(next.sources, from: row)
            az_mix_rows(
                range.count, d, p, 1, sources.items, sums.pointer + row * p, p, 1, 1, nil, y.mutablePointer + row * d)
        }
        return .record("reducedStreams", y, inputs: [place.node, weights, branch]) { gradient, slots in
            self.reductionBackward(next, gradient.contiguous(), slots)
        }
    }

    /// Every stream's gradient is the sum's, so that one product a source, and one weight a stream, do for all.
    private func reductionBackward(_ next: StreamPlace, _ gradient: Tensor, _ slots: [InputGradient]) {
        let (s, d, c, p) = (next.streams, next.d, next.streams + 2, next.sourceCount)
        let ofStreams = Tensor(uninitialized: [next.rows, s, d])
        let ofWeights = Tensor(uninitialized: [next.rows, s, c])
        let ofBranch = Tensor(uninitialized: branch.shape)
        let mixed = weights.detached().sliced(-1, from: 1, to: s + 1).sum(axes: [-1])
        let added = weights.detached().at(-1, s + 1).sum(axes: [-1])
        next.parallel { range, _ in
            let scratch = Tensor(uninitialized: [next.panel, p, 1 + s])
            let (products, repeated) = (scratch.mutablePointer, scratch.mutablePointer + next.panel * p)
            var sources = RowVectors(next.sources, from: range.lowerBound)
            var one = RowVectors(gradient.pointer, 1, d, from: range.lowerBound)
            next.panels(range) { row, n in
                az_dot_rows(n, d, p, 1, sources.items, one.items, products, nil)
                az_copy_2d(n * p, s, products, 1, 0, repeated, s, 1)
                weightGradients(row, n, repeated, ofWeights.mutablePointer + row * s * c)
                az_mix_rows(
                    n, d, 1, s, one.items, mixed.pointer + row * s, s, 0, 1, nil, ofStreams.mutablePointer + row * s * d
                )
                az_mix_rows(
                    n, d, 1, 1, one.items, added.pointer + row, 1, 0, 0, nil, ofBranch.mutablePointer + row * d)
                sources.advance(n)
                one.advance(n)
            }
        }
        slots[0].add(ofStreams)
        slots[1].add(ofWeights)
        slots[2].add(ofBranch)
    }
}
