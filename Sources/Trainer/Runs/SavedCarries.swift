import NN
import Tensors

/// The carries of a stream's rows as tensors of a checkpoint, named by row and the model's own name, `3/memory`. A row
/// that carries nothing has none.
enum SavedCarries {
    static func tensors(of carries: [(some SegmentCarry)?]) -> [String: Tensor] {
        var tensors: [String: Tensor] = [:]
        for (row, carry) in carries.enumerated() {
            for (name, tensor) in carry?.tensors ?? [:] { tensors["\(row)/\(name)"] = tensor }
        }
        return tensors
    }

    /// - Parameter check: whether a carry is one of the model's; what it throws is given the row.
    /// - Throws: `InputError` that names the file, and what the model misses in it.
    static func carries<Carry: SegmentCarry>(
        from tensors: [String: Tensor], rows: Int, file: String, check: (Carry) throws -> Void = { _ in }
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
            do {
                let carry = try Carry(onlyFrom: tensors)
                try check(carry)
                return carry
            } catch let error as InputError {
                throw InputError("\(file): the carry of row \(row): \(error.message)")
            }
        }
    }
}

extension SegmentCarry {
    /// Reads tensors that came from outside: none may be left over, and their numbers must be finite.
    /// - Throws: `InputError` that names the tensor.
    init(onlyFrom tensors: [String: Tensor]) throws {
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            if let wrong = tensor.firstNotFinite {
                throw InputError("\(name): expected finite numbers, found \(wrong)")
            }
        }
        try self.init(tensors: tensors)
        let known = self.tensors
        if let other = tensors.keys.sorted().first(where: { known[$0] == nil }) {
            throw InputError(
                "\(other): is none of the model's; expected \(known.keys.sorted().joined(separator: ", "))")
        }
    }
}

extension LanguageModel {
    /// Checks that a carry from a file fits this model, as far as models with a decoding state that can be saved can
    /// tell.
    /// - Throws: `InputError` that names the tensor.
    func requireFit(of carry: Carry) throws {
        guard self.carry(of: startDecoding()) != nil else { return }
        _ = try decodingState(after: carry)
    }
}
