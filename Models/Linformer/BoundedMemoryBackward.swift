import CKernels
import NN
import Tensors

// The gradient of attention with bounded memory: segments in reverse, with ∂L/∂K̄ and ∂L/∂V̄ going on from one to the one
// before. All sequences work on the same segment at a time, so that their parts of dE and dF are added up there and never
// take more than a few segments' memory.

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
            fill(states, tile.tile, sequence, lane.segment)
            for (step, tokens) in chunks.enumerated().reversed() {
                let chunk = attention.chunk(sequence, tokens)
                let gradients = gradients(sequence, tokens, lane, target)
                tile.addLater(chunk, after, gradients, beta: 0)
                tile.addOwn(chunk, states[0, step], gradients, later: after)
            }
        }
    }

    /// K̄ and V̄ before each chunk of a segment.
    private func fill(_ states: SegmentSlots, _ tile: BoundedMemoryTile, _ sequence: Int, _ segment: Int) {
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
        _ sequence: Int, _ tokens: Range<Int>, _ lane: Lane, _ target: ProjectionTargets
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

    /// Neighbouring segments at the same time: first all that does not depend on later tokens, with what the chunks of a
    /// segment give to the slots before them added up from its end; then the rest, from what later segments add up to.
    private func together(_ lanes: [Lane], _ targets: [ProjectionTargets], _ later: SlotPointers) {
        let sums = SegmentSlots(attention, count: lanes.count, steps: plan.chunksOfSegment + 1)
        parallelFor(lanes.count) { index in
            let (lane, target) = (lanes[index], targets[index])
            let tile = BoundedMemoryTileBackward(attention)
            let states = SegmentSlots(attention, count: 1, steps: plan.chunksOfSegment)
            let (sequence, chunks) = (lane.sequences.lowerBound, plan.chunks(lane.segment))
            target.clear()
            fill(states, tile.tile, sequence, lane.segment)
            sums[index, chunks.count].fill(0, slotCount)
            for (step, tokens) in chunks.enumerated().reversed() {
                let chunk = attention.chunk(sequence, tokens)
                let gradients = gradients(sequence, tokens, lane, target)
                sums[index, step].copy(sums[index, step + 1], slotCount)
                tile.clear(chunk, gradients)
                tile.addOwn(chunk, states[0, step], gradients, later: sums[index, step])
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
                    attention.chunk(sequence, tokens), after, gradients(sequence, tokens, lane, target), beta: 1)
            }
        }
    }
}
