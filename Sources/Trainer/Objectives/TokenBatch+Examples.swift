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
        (
            TokenTensor(inputs, shape: shape).columns(range), TokenTensor(targets, shape: shape).columns(range)
        )
    }
}

/// The examples of an evaluation: those of a text's windows, from its beginning to its end.
struct EvaluationExamples {
    private var windows: SequentialWindows.Iterator
    private let objective: Objective
    private var rowsRead = 0

    init(_ windows: SequentialWindows, _ objective: Objective) {
        (self.windows, self.objective) = (windows.makeIterator(), objective)
    }

    /// The next batch; nil after the last.
    /// - Throws: `InputError` that names the text when it cannot be read any more.
    mutating func next() throws -> TokenBatch? {
        guard let window = try windows.next() else { return nil }
        defer { rowsRead += window.shape[0] }
        return objective.measuredExamples(of: window, firstRow: rowsRead)
    }
}
