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
        let (w, target) = (sums.pointer, y.mutablePointer)
        next.parallel { range, _ in
            let row = range.lowerBound
            let sources = RowVectors(next.sources, from: row)
            sources.mix(range.count, d, outputs: 1, w + row * p, (p, 1, 1), target + row * d)
        }
        return withExtendedLifetime(sums) {
            .record("reducedStreams", y, inputs: [place.node, weights, branch]) { gradient, slots in
                self.reductionBackward(next, gradient.contiguous(), slots)
            }
        }
    }

    /// Every stream's gradient is the sum's, so that one product a source, and one weight a stream, do for all.
    private func reductionBackward(_ next: StreamPlace, _ gradient: Tensor, _ slots: [InputGradient]) {
        let (s, d, c, p, panel) = (next.streams, next.d, next.streams + 2, next.sourceCount, next.panel)
        let ofStreams = Tensor(uninitialized: [next.rows, s, d])
        let ofWeights = Tensor(uninitialized: [next.rows, s, c])
        let ofBranch = Tensor(uninitialized: branch.shape)
        // [rows, S] and [rows]
        let mixed = weights.detached().sliced(-1, from: 1, to: s + 1).sum(axes: [-1])
        let added = weights.detached().at(-1, s + 1).sum(axes: [-1])
        let (mixing, w, part) = (place.rowWeights, mixed.pointer, added.pointer)
        let streams = MutableRowPointer(ofStreams.mutablePointer, row: s * d)
        let steps = MutableRowPointer(ofWeights.mutablePointer, row: s * c)
        let branches = MutableRowPointer(ofBranch.mutablePointer, row: d)
        next.parallel { range, _ in
            let scratch = Tensor(uninitialized: [panel, p, 1 + s])
            let (products, repeated) = (scratch.mutablePointer, scratch.mutablePointer + panel * p)
            let sources = RowVectors(next.sources, from: range.lowerBound)
            let one = RowVectors(gradient.pointer, 1, d, from: range.lowerBound)
            for row in stride(from: range.lowerBound, to: range.upperBound, by: panel) {
                let n = min(panel, range.upperBound - row)
                sources.dots(n, d, one, products)
                az_copy_2d(n * p, s, products, 1, 0, repeated, s, 1)
                stepGradient(n, s, p - 1, before: mixing[row], row: mixing.row, products: repeated, steps[row])
                one.mix(n, d, outputs: s, w + row * s, (s, 0, 1), streams[row])
                one.mix(n, d, outputs: 1, part + row, (1, 0, 0), branches[row])
                sources.advance(n)
                one.advance(n)
            }
            withExtendedLifetime(scratch) {}
        }
        withExtendedLifetime((mixed, added)) {}
        slots[0].add(ofStreams)
        slots[1].add(ofWeights)
        slots[2].add(ofBranch)
    }
}
