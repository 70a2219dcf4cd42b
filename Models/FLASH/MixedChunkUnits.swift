import CKernels
import Tensors

// How mixed chunk attention is split over threads. There is one head, so the parallel parts are sequences, and where those
// are too few, runs of groups; what a run needs of the runs before it is summed first.

/// A run of groups of one sequence.
struct GroupRun: Sendable {
    let row: Int
    let groups: Range<Int>

    /// As many runs of about the same length.
    func split(_ count: Int) -> [GroupRun] {
        let pieces = min(count, groups.count)
        return (0..<pieces).map { piece in
            let bounds = [piece, piece + 1].map { groups.lowerBound + groups.count * $0 / pieces }
            return GroupRun(row: row, groups: bounds[0]..<bounds[1])
        }
    }

    /// Whether all its groups lie before (or, reversed, after) those of another run of the same sequence.
    func precedes(_ other: GroupRun, reversed: Bool) -> Bool {
        row == other.row
            && (reversed
                ? groups.lowerBound >= other.groups.upperBound : groups.upperBound <= other.groups.lowerBound)
    }
}

extension MixedChunkAttention {
    /// One unit a sequence where that keeps all threads busy, else as many as there are threads.
    static func makeUnits(_ b: Int, groups: Int) -> [GroupRun] {
        let threads = Threads.count
        return (0..<b).flatMap { GroupRun(row: $0, groups: 0..<groups).split(b % threads == 0 ? 1 : threads) }
    }

    /// The tokens of a group.
    func tokens(_ group: Int) -> Range<Int> { group * g..<min(n, (group + 1) * g) }

    /// What each unit starts from: a sum [s, e] over the groups before it (after it, where `reversed`), or without
    /// causality over all groups of its sequence. nil where no unit needs anything of others.
    /// - Parameter add: adds a loaded group's part.
    func contexts(
        reversed: Bool = false, _ add: (GroupTile, UnsafeMutablePointer<Float>) -> Void
    ) -> [Tensor]? {
        if case .ownGroup = context { return nil }
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
                tile.load(parts[index].row, tokens(group))
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
