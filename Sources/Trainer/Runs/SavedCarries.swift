import NN
import Tensors

/// What the rows of a stream carry, as tensors of a checkpoint: by row and the model's own name, `3/memory`. A row that
/// carries nothing has none.
enum SavedCarries {
    static func tensors(of carries: [(some SegmentCarry)?]) -> [String: Tensor] {
        var tensors: [String: Tensor] = [:]
        for (row, carry) in carries.enumerated() {
            for (name, tensor) in carry?.tensors ?? [:] { tensors["\(row)/\(name)"] = tensor }
        }
        return tensors
    }

    /// - Throws: `InputError` that names the file, and what the model misses in it.
    static func carries<Carry: SegmentCarry>(
        from tensors: [String: Tensor], rows: Int, file: String
    ) throws -> [Carry?] {
        var byRow: [Int: [String: Tensor]] = [:]
        for (name, tensor) in tensors {
            let parts = name.split(separator: "/", maxSplits: 1)
            guard parts.count == 2, let row = Int(parts[0]), (0..<rows).contains(row) else {
                throw InputError("\(file): carry \"\(name)\": expected a row from 0 to \(rows - 1) and a name")
            }
            byRow[row, default: [:]][String(parts[1])] = tensor
        }
        return try (0..<rows).map { row in
            guard let tensors = byRow[row] else { return nil }
            do { return try Carry(tensors: tensors) } catch let error as InputError {
                throw InputError("\(file): the carry of row \(row): \(error.message)")
            }
        }
    }
}
