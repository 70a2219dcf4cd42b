import CKernels
import NN
import Tensors

// The weighted sums of the tokens of each segment, P X, where the tokens lie: nothing is brought into the order of heads.
//
// b batch, h heads, d columns of a head, l tokens of a segment, c finished segments, r slots of each

/// Computes Σ over a segment's tokens of P x for each head.
///
/// - Parameters:
///   - weights: P: [r, l] or [h, r, l] for all segments, or [b, c, h, r, l]; an axis of heads may be 1 for all.
///   - x: [b, n, h, d]; a view is read in place.
/// - Returns: [b, c · r, h, d].
func fusedSegmentSums(_ weights: Tensor, _ x: Tensor) -> Tensor { SegmentSums(weights, x).record() }

private struct SegmentSums: Sendable {
    let x: Tensor, weights: Tensor
    private let rows: HeadRows
    private let b: Int, h: Int, d: Int, l: Int, c: Int, r: Int
    /// Heads of the weights.
    private let weightHeads: Int
    /// Heads that are worked on one by one, and their columns: one of h · d columns where all heads share their weights.
    private let heads: Int, width: Int
    /// True where each segment has weights of its own.
    private let hasOwnWeights: Bool

    init(_ weights: Tensor, _ x: Tensor) {
        (self.weights, self.x) = (weights.contiguous(), x)
        rows = HeadRows(x, headsFirst: false)
        (b, h, d) = (x.shape[0], x.shape[2], x.shape[3])
        (r, l) = (weights.shape[weights.rank - 2], weights.shape[weights.rank - 1])
        c = x.shape[1] / l
        weightHeads = weights.rank == 2 ? 1 : weights.shape[weights.rank - 3]
        hasOwnWeights = weights.rank == 5
        let isTogether = weightHeads == 1 && (h == 1 || rows.row(0, 1, 0) - rows.row(0, 0, 0) == d)
        (heads, width) = isTogether ? (1, h * d) : (h, d)
    }

    func record() -> Tensor {
        let output = Tensor(uninitialized: [b, c * r, h, d])
        let target = HeadRows(output, headsFirst: false)
        parallelRanges(b * c, grain: grain) { range in
            for segment in range { sum(segment, into: target) }
        }
        return .record("projectSegments", output, inputs: [weights, x]) { gradient, slots in
            let made = Tensor(uninitialized: x.shape)
            let gradient = HeadRows(gradient.contiguous(), headsFirst: false)
            if slots[1].isNeeded {
                spread(gradient, into: HeadRows(made, headsFirst: false))
                slots[1].add(made)
            }
            if slots[0].isNeeded { slots[0].add(weightGradient(gradient)) }
        }
    }

    /// Segments that a thread takes at a time.
    private var grain: Int { max(1, (1 << 16) / max(1, h * d * l * r)) }

    /// The floats of a segment's weights.
    private var weightCount: Int { weightHeads * r * l }

    private func start(_ segment: Int, _ head: Int) -> Int {
        (hasOwnWeights ? segment * weightCount : 0) + (weightHeads == 1 ? 0 : head * r * l)
    }

    private func operand(_ segment: Int, _ head: Int, transposed: Bool = false) -> BLAS.Operand {
        .init(weights.pointer + start(segment, head), stride: l, transposed: transposed)
    }

    private func tokens(_ segment: Int, _ head: Int, transposed: Bool = false) -> BLAS.Operand {
        .init(rows.row(segment / c, head, segment % c * l), stride: rows.stride, transposed: transposed)
    }

    private func sum(_ segment: Int, into target: HeadRows) {
        for head in 0..<heads {
            BLAS.multiply(
                r, width, l, operand(segment, head), tokens(segment, head),
                target.target(segment / c, head, segment % c * r), stride: target.stride)
        }
    }

    /// dX = Pᵀ dY, and zeros for the tokens of the unfinished segment.
    private func spread(_ gradient: HeadRows, into target: HeadRows) {
        for batch in 0..<b {
            for token in c * l..<x.shape[1] { az_fill(h * d, 0, target.target(batch, 0, token)) }
        }
        parallelRanges(b * c, grain: grain) { range in
            for segment in range {
                for head in 0..<heads {
                    BLAS.multiply(
                        l, width, r, operand(segment, head, transposed: true),
                        .init(gradient.row(segment / c, head, segment % c * r), stride: gradient.stride),
                        target.target(segment / c, head, segment % c * l), stride: target.stride)
                }
            }
        }
    }

    /// dP = dY Xᵀ: of each segment, or their sum in an order that does not depend on the threads' timing.
    private func weightGradient(_ gradient: HeadRows) -> Tensor {
        let pieces = hasOwnWeights ? b * c : min(b * c, 64)
        let parts = Tensor.zeros([pieces, weightCount])
        let target = parts.mutablePointer
        func add(_ segment: Int, to piece: Int) {
            for head in 0..<heads {
                BLAS.multiply(
                    r, l, width, .init(gradient.row(segment / c, head, segment % c * r), stride: gradient.stride),
                    tokens(segment, head, transposed: true), beta: 1,
                    target + piece * weightCount + (weightHeads == 1 ? 0 : head * r * l), stride: l)
            }
        }
        if hasOwnWeights {
            parallelRanges(pieces, grain: grain) { for segment in $0 { add(segment, to: segment) } }
            return parts.reshaped(weights.shape)
        }
        parallelFor(pieces) { piece in
            for segment in piece * b * c / pieces..<(piece + 1) * b * c / pieces { add(segment, to: piece) }
        }
        return parts.sum(axes: [0]).reshaped(weights.shape)
    }
}
