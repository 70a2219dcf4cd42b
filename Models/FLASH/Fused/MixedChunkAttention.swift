import CKernels
import Tensors

// Mixed chunk attention as one operation. A group is worked on as tiles that stay in cache; neither scores, v, u nor the
// four heads are stored for backward, which computes them again. H is stored, once a group.
//
// There is one head, so what threads share out is sequences, and where those are too few, runs of groups; what a run needs
// of the runs before it is summed first.

extension MixedChunkAttention {
    /// Returns the gated output, [b, n, e], and records A if the mode asks for it.
    func fused() -> Tensor {
        var dense = self
        (dense.hidden, dense.qk, dense.bias) = (hidden.contiguous(), qk.contiguous(), bias.contiguous())
        (dense.gamma, dense.beta, dense.mask) = (gamma.contiguous(), beta.contiguous(), mask?.contiguous())
        let units = dense.makeUnits()
        mode.recorder?.record(dense.weights(units), note: note)
        return dense.record(units)
    }

    /// Runs forward and records the gradient.
    private func record(_ units: [GroupRun]) -> Tensor {
        let output = Tensor(uninitialized: [b, n, e])
        // Before the gate; backward needs it for the gate's gradient.
        let attended = Tensor(uninitialized: [b, n, e])
        let inputs = [hidden, qk, gamma, beta, bias]
        let contexts = forward(units, attended.mutablePointer, output.mutablePointer, keeping: Tensor.records(inputs))
        return .record("mixedChunkAttention", output, inputs: inputs) { gradient, slots in
            MixedChunkBackward(self, units, attended: attended, contexts: contexts, gradient: gradient.contiguous())
                .run(slots)
        }
    }

    /// Fills `attended` and `output`, and returns H as each group of each unit saw it, or nothing unless `keeping`.
    private func forward(
        _ units: [GroupRun], _ attended: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>,
        keeping: Bool
    ) -> [[Tensor?]] {
        let starts = contexts(units) { tile, context in tile.addContext(to: context) }
        var seen = [[Tensor?]](repeating: [], count: units.count)
        seen.withUnsafeMutableBufferPointer { seen in
            parallelFor(units.count) { index in
                var context = starts?[index]
                forward(units[index], from: &context, attended: attended, output: output) {
                    if keeping { seen[index].append($0) }
                }
            }
        }
        return seen
    }

    /// Works through the groups of a unit and hands H of each to `keep`.
    private func forward(
        _ unit: GroupRun, from context: inout Tensor?, attended: UnsafeMutablePointer<Float>,
        output: UnsafeMutablePointer<Float>, keep: (Tensor?) -> Void
    ) {
        let tile = GroupTile(self)
        for group in unit.groups {
            tile.load(row: unit.row, tokens(group))
            if contextGroups == .own { context = tile.addingContext(to: nil) }
            keep(context)
            let place = (unit.row * n + tile.tokens.lowerBound) * e
            tile.attend(context: context?.pointer, into: attended + place)
            tile.gate(attended + place, into: output + place)
            if isCausal && group + 1 < unit.groups.upperBound { context = tile.addingContext(to: context) }
        }
    }

    /// Returns A, the weight of each key in each query of its group: [b, 1, n, n], 0 across groups.
    private func weights(_ units: [GroupRun]) -> Tensor {
        let result = Tensor.zeros([b, 1, n, n])
        let target = result.mutablePointer
        parallelFor(units.count) { index in
            let tile = GroupTile(self)
            for group in units[index].groups {
                tile.load(row: units[index].row, tokens(group))
                let first = tile.tokens.lowerBound
                tile.copyWeights(into: target + (units[index].row * n + first) * n + first, stride: n)
            }
        }
        return result
    }
}

// MARK: Units of work

/// A run of groups of one sequence.
struct GroupRun: Sendable {
    let row: Int
    let groups: Range<Int>

    /// Cuts the run into pieces of about the same length.
    func split(_ count: Int) -> [GroupRun] {
        let pieces = min(count, groups.count)
        return (0..<pieces).map { piece in
            let bounds = [piece, piece + 1].map { groups.lowerBound + groups.count * $0 / pieces }
            return GroupRun(row: row, groups: bounds[0]..<bounds[1])
        }
    }

    /// Tells whether all its groups lie before (or, reversed, after) those of another run of the same sequence.
    func precedes(_ other: GroupRun, reversed: Bool) -> Bool {
        row == other.row
            && (reversed
                ? groups.lowerBound >= other.groups.upperBound : groups.upperBound <= other.groups.lowerBound)
    }
}

extension MixedChunkAttention {
    /// Makes one unit for each sequence if that keeps all threads busy, otherwise as many as there are threads.
    private func makeUnits() -> [GroupRun] {
        let threads = Threads.count
        let groups = (n + g - 1) / g
        return (0..<b).flatMap { GroupRun(row: $0, groups: 0..<groups).split(b % threads == 0 ? 1 : threads) }
    }

    /// The tokens of a group.
    func tokens(_ group: Int) -> Range<Int> { group * g..<min(n, (group + 1) * g) }

    /// Computes the sum [s, e] each unit starts from: over the groups before it (after it, if `reversed`), or without
    /// causality over all groups of its sequence. Returns nil if no unit needs anything of others.
    /// - Parameter add: adds a loaded group's part.
    func contexts(
        _ units: [GroupRun], reversed: Bool = false, _ add: (GroupTile, UnsafeMutablePointer<Float>) -> Void
    ) -> [Tensor]? {
        if contextGroups == .own { return nil }
        func serves(_ part: GroupRun, _ unit: GroupRun) -> Bool {
            isCausal ? part.precedes(unit, reversed: reversed) : part.row == unit.row
        }
        let parts = units.filter { part in units.contains { serves(part, $0) } }.flatMap { $0.split(Threads.count) }
        if parts.isEmpty { return nil }
        let sums = Tensor.zeros([parts.count, s, e])
        let target = sums.mutablePointer
        parallelFor(parts.count) { index in
            let tile = GroupTile(self)
            for group in parts[index].groups {
                tile.load(row: parts[index].row, tokens(group))
                add(tile, target + index * s * e)
            }
        }
        return units.map { unit in
            let total = Tensor.zeros([s, e])
            for (index, part) in parts.enumerated() where serves(part, unit) {
                az_scale_add(s * e, 1, sums.pointer + index * s * e, 1, total.mutablePointer)
            }
            return total
        }
    }
}
