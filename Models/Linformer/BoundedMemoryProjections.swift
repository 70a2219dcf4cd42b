import CKernels
import Tensors

// The gradients of E and F: sums over the batch, and over heads that share them. A lane adds to columns of its own, which
// are summed in order when a window is done, or straight into the result where nobody else adds to the same columns.

/// Where a lane adds to the gradient of one projection: the columns of its segment.
struct ProjectionTarget: @unchecked Sendable {
    let base: UnsafeMutablePointer<Float>
    /// From one slot to the next.
    let stride: Int
    /// 0 where all heads share it.
    let headStride: Int
    /// Heads × slots, and tokens of the segment.
    let rows: Int, columns: Int

    func column(_ head: Int, _ column: Int) -> UnsafeMutablePointer<Float> { base + head * headStride + column }

    func clear() { for row in 0..<rows { az_fill(columns, 0, base + row * stride) } }
}

/// The same for E and F, which may be one. nil where nobody wants the gradient.
struct ProjectionTargets: Sendable {
    let e: ProjectionTarget?, f: ProjectionTarget?
    let isOne: Bool

    func clear() {
        e?.clear()
        if !isOne { f?.clear() }
    }
}

/// The gradients of E and F, and the memory of lanes that add to the same columns of them.
final class ProjectionGradients {
    private let attention: BoundedMemoryAttention
    private let e: Tensor?, f: Tensor?
    private let isOne: Bool
    /// Lanes of a segment, each with its part; 1 where lanes write to the results.
    private let shares: Int
    private var parts: [(e: Tensor?, f: Tensor?)] = []
    private var plan: BoundedMemoryPlan { attention.plan }

    init(_ attention: BoundedMemoryAttention, wantsE: Bool, wantsF: Bool, isOne: Bool) {
        (self.attention, self.isOne) = (attention, isOne)
        let n = attention.n
        func make(_ weights: SlotWeights, _ columns: Int) -> Tensor {
            Tensor(uninitialized: [weights.heads, attention.slots, columns])
        }
        e = wantsE ? make(attention.e, n) : nil
        f = isOne ? e : wantsF ? make(attention.f, n) : nil
        let lanes = attention.plan.windows.first.map { attention.plan.lanes($0) } ?? []
        shares = lanes.filter { $0.segment == 0 }.count
        if shares > 1 {
            let width = min(n, attention.plan.segment)
            parts = lanes.map { _ in
                let part = wantsE ? make(attention.e, width) : nil
                return (part, isOne ? part : wantsF ? make(attention.f, width) : nil)
            }
        }
    }

    /// Where each lane of a window adds.
    func targets(_ lanes: [BoundedMemoryPlan.Lane]) -> [ProjectionTargets] {
        lanes.enumerated().map { index, lane in
            let tokens = plan.tokens(lane.segment)
            func target(_ result: Tensor?, _ part: Tensor?) -> ProjectionTarget? {
                guard let memory = shares > 1 ? part : result else { return nil }
                let stride = memory.shape[2]
                return ProjectionTarget(
                    base: memory.mutablePointer + (shares > 1 ? 0 : tokens.lowerBound), stride: stride,
                    headStride: memory.shape[0] == 1 ? 0 : attention.slots * stride,
                    rows: memory.shape[0] * attention.slots, columns: tokens.count)
            }
            let part = shares > 1 ? parts[index] : (nil, nil)
            return ProjectionTargets(e: target(e, part.0), f: target(f, part.1), isOne: isOne)
        }
    }

    /// Sums the parts of a window's lanes into the results.
    func add(_ targets: [ProjectionTargets], _ lanes: [BoundedMemoryPlan.Lane]) {
        if shares <= 1 { return }
        for start in stride(from: 0, to: lanes.count, by: shares) {
            let (own, first) = (start..<start + shares, plan.tokens(lanes[start].segment).lowerBound)
            if let e { sum(own.map { targets[$0].e! }, into: e, first) }
            if let f, !isOne { sum(own.map { targets[$0].f! }, into: f, first) }
        }
    }

    private func sum(_ parts: [ProjectionTarget], into result: Tensor, _ column: Int) {
        let (target, n) = (result.mutablePointer + column, attention.n)
        parallelRanges(parts[0].rows, grain: 16) { rows in
            for row in rows {
                for (index, part) in parts.enumerated() {
                    az_scale_add(part.columns, 1, part.base + row * part.stride, index == 0 ? 0 : 1, target + row * n)
                }
            }
        }
    }

    /// Adds the results to the slots of backward.
    func hand(to slots: [InputGradient]) {
        func shaped(_ tensor: Tensor, _ slot: InputGradient, _ weights: SlotWeights) {
            slot.add(weights.isPerHead ? tensor : tensor.squeezed(0))
        }
        if let e { shaped(e, slots[5], attention.e) }
        if let f, !isOne { shaped(f, slots[6], attention.f) }
    }
}
