import NN
import Tensors

extension TokenBatch {
    /// The same windows with other inputs and targets.
    func replacing(inputs: [Int32], targets: [Int32]) -> TokenBatch {
        var batch = self
        (batch.inputs, batch.targets) = (inputs, targets)
        return batch
    }

    /// Nothing that comes before, for each row.
    func rowsWithoutCarry<Carry>() -> [Carry?] { Array(repeating: nil, count: shape[0]) }

    /// Some columns of inputs and targets: [batch, columns] each.
    func columns(_ range: Range<Int>) -> (inputs: TokenTensor, targets: TokenTensor) {
        func cut(_ tokens: [Int32]) -> TokenTensor {
            guard range != 0..<shape[1] else { return TokenTensor(tokens, shape: shape) }
            let rows = (0..<shape[0]).flatMap { row in
                tokens[row * shape[1] + range.lowerBound..<row * shape[1] + range.upperBound]
            }
            return TokenTensor(rows, shape: [shape[0], range.count])
        }
        return (cut(inputs), cut(targets))
    }
}

/// The examples of an evaluation: those of a text's windows, from its beginning to its end.
struct EvaluationExamples: Sequence, IteratorProtocol {
    private var windows: SequentialWindows.Iterator
    private let objective: Objective
    private var rowsRead = 0

    init(_ windows: SequentialWindows, _ objective: Objective) {
        (self.windows, self.objective) = (windows.makeIterator(), objective)
    }

    mutating func next() -> TokenBatch? {
        guard let window = windows.next() else { return nil }
        defer { rowsRead += window.shape[0] }
        return objective.measuredExamples(of: window, firstRow: rowsRead)
    }
}
