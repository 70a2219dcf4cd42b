import CKernels
import NN
import Tensors

// The gradient of attention with bounded memory: segments in reverse, with ∂L/∂K̄ and ∂L/∂V̄ going on from one to the one
// before. All sequences work on the same segment at a time, so that their parts of dE and dF are added up there and never
// take more than a few segments' memory.

/// The gradients of attention with bounded memory.
struct BoundedMemoryBackward: @unchecked Sendable {
    private typealias Lane = BoundedMemoryPlan.Lane

    private let attention: BoundedMemoryAttention
    /// K̄ and V̄ at the start of each segment but the first.
    private let kept: Tensor?
    private let gradient: HeadRows
    private let made: [Tensor]
    private let rows: [HeadRows]
    private var plan: BoundedMemoryPlan { attention.plan }
    private var slotCount: Int { attention.slotCount }

    /// gradient: of the output, [b, n, h, d].
    init(_ attention: BoundedMemoryAttention, _ kept: Tensor?, _ gradient: HeadRows) {
        (self.attention, self.kept, self.gradient) = (attention, kept, gradient)
        let shape = [attention.b, attention.n, attention.h, attention.d]
        made = (0..<3).map { _ in Tensor(uninitialized: shape) }
        rows = made.map { HeadRows($0) }
    }

    /// slots: q, k, v, initialKeys, initialValues, e, and f where it is not e.
    func run(_ slots: [InputGradient]) {
        let projections = ProjectionGradients(
            attention, wantsE: slots[5].isNeeded, wantsF: slots.count > 6 ? slots[6].isNeeded : slots[5].isNeeded,
            isOne: slots.count == 6)
        let shape = [attention.b, attention.h, attention.slots, attention.d]
        let later = SlotTensors(keys: .zeros(shape), values: .zeros(shape))
        for window in plan.windows.reversed() {
            let lanes = plan.lanes(window)
            let targets = projections.targets(lanes)
            if plan.together > 1 {
                together(lanes, targets, later.pointers)
            } else {
                parallelFor(lanes.count) { run(lanes[$0], targets[$0], later.pointers) }
            }
            projections.add(targets, lanes)
        }
        for (slot, tensor) in zip(slots, made) { slot.add(tensor) }
        for (slot, (total, initial)) in zip(
            slots[3...], [(later.keys, attention.initialKeys), (later.values, attention.initialValues)])
        where slot.isNeeded {
            slot.add(total.sum(axes: initial.rank == 2 ? [0, 1] : [0]))
        }
        projections.hand(to: slots)
    }

    // MARK: One segment after another

    private func run(_ lane: Lane, _ target: ProjectionTargets, _ later: SlotPointers) {
        let tile = BoundedMemoryTileBackward(attention)
        let states = SegmentSlots(attention, count: 1, steps: plan.chunksOfSegment)
        let chunks = plan.chunks(lane.segment)
        target.clear()
        for sequence in lane.sequences {
            let after = later.advanced(sequence * slotCount)
            fill(states, tile.tile, sequence: sequence, segment: lane.segment)
            for (step, tokens) in chunks.enumerated().reversed() {
                let chunk = attention.chunk(sequence, tokens)
                let gradients = gradients(of: tokens, sequence: sequence, lane, target)
                tile.addLater(chunk, after, to: gradients, beta: 0)
                tile.addOwn(chunk, states[0, step], to: gradients, later: after)
            }
        }
    }

    /// K̄ and V̄ before each chunk of a segment.
    private func fill(_ states: SegmentSlots, _ tile: BoundedMemoryTile, sequence: Int, segment: Int) {
        states[0, 0].copy(start(sequence, segment), slotCount)
        for (step, tokens) in plan.chunks(segment).enumerated().dropLast() {
            states[0, step + 1].copy(states[0, step], slotCount)
            tile.extend(states[0, step + 1], by: attention.chunk(sequence, tokens))
        }
    }

    private func start(_ sequence: Int, _ segment: Int) -> SlotPointers {
        if segment == 0 {
            let head = sequence % attention.h
            func place(_ initial: Tensor) -> UnsafeMutablePointer<Float> {
                initial.mutablePointer + (initial.rank == 2 ? 0 : head * slotCount)
            }
            return SlotPointers(keys: place(attention.initialKeys), values: place(attention.initialValues))
        }
        let sequences = attention.b * attention.h
        let place = kept!.mutablePointer + ((segment - 1) * sequences + sequence) * 2 * slotCount
        return SlotPointers(keys: place, values: place + slotCount)
    }

    private func gradients(
        of tokens: Range<Int>, sequence: Int, _ lane: Lane, _ target: ProjectionTargets
    ) -> BoundedMemoryChunkGradients {
        let (batch, head) = (sequence / attention.h, sequence % attention.h)
        let column = tokens.lowerBound - lane.segment * plan.segment
        func place(_ rows: HeadRows) -> UnsafeMutablePointer<Float> { rows.target(batch, head, tokens.lowerBound) }
        return BoundedMemoryChunkGradients(
            output: gradient.row(batch, head, tokens.lowerBound), outputStride: gradient.stride, q: place(rows[0]),
            k: place(rows[1]), v: place(rows[2]), stride: rows[0].stride, e: target.e?.column(head, column),
            f: target.f?.column(head, column), eStride: target.e?.stride ?? 0, fStride: target.f?.stride ?? 0)
    }

    // MARK: Few sequences

    /// Neighboring segments at the same time: first all that does not depend on later tokens, with what the chunks of a
    /// segment give to the slots before them added up from its end; then the rest, from what later segments add up to.
    private func together(_ lanes: [Lane], _ targets: [ProjectionTargets], _ later: SlotPointers) {
        let sums = SegmentSlots(attention, count: lanes.count, steps: plan.chunksOfSegment + 1)
        parallelFor(lanes.count) { index in
            let (lane, target) = (lanes[index], targets[index])
            let tile = BoundedMemoryTileBackward(attention)
            let states = SegmentSlots(attention, count: 1, steps: plan.chunksOfSegment)
            let (sequence, chunks) = (lane.sequences.lowerBound, plan.chunks(lane.segment))
            target.clear()
            fill(states, tile.tile, sequence: sequence, segment: lane.segment)
            sums[index, chunks.count].fill(0, slotCount)
            for (step, tokens) in chunks.enumerated().reversed() {
                let chunk = attention.chunk(sequence, tokens)
                let gradients = gradients(of: tokens, sequence: sequence, lane, target)
                sums[index, step].copy(sums[index, step + 1], slotCount)
                tile.clear(chunk, gradients)
                tile.addOwn(chunk, states[0, step], to: gradients, later: sums[index, step])
            }
        }
        for (index, lane) in lanes.enumerated().reversed() {
            let after = later.advanced(lane.sequences.lowerBound * slotCount)
            sums[index, plan.chunks(lane.segment).count].copy(after, slotCount)
            after.add(sums[index, 0], slotCount)
        }
        parallelFor(lanes.count) { index in
            let (lane, target) = (lanes[index], targets[index])
            let tile = BoundedMemoryTileBackward(attention)
            let (sequence, chunks) = (lane.sequences.lowerBound, plan.chunks(lane.segment))
            for (step, tokens) in chunks.enumerated() {
                let after = sums[index, step + 1]
                if step + 1 < chunks.count { after.add(sums[index, chunks.count], slotCount) }
                tile.addLater(
                    attention.chunk(sequence, tokens), after,
                    to: gradients(of: tokens, sequence: sequence, lane, target), beta: 1)
            }
        }
    }
}

// MARK: E and F

// The gradients of E and F: sums over the batch, and over heads that share them. A lane adds to columns of its own, which
// are summed in order when a window is done, or straight into the result where nobody else adds to the same columns.

/// The place where a lane adds to the gradient of one projection: the columns of its segment.
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

/// The places of E and F, which may be one; nil where no gradient is needed.
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

    /// Returns the places where the lanes of a window add.
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
