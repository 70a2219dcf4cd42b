/// Parameters that lie one behind another in memory, so that one product takes them all: the projections of several heads
/// that a state dict lists one by one.
public struct PackedParameters: Sendable {
    /// The parameters, in their order in memory.
    public let parts: [Parameter]
    private let memory: PackedMemory

    /// - Parameters:
    ///   - values: the initial values, [rows, …] each, alike but for the rows.
    ///   - isMatrix: whether `matrix` is all that reads them, so that they may be rounded.
    public init(_ values: [Tensor], isMatrix: Bool = false) {
        let rows = values.reduce(0) { $0 + $1.shape[0] }
        let whole = Tensor.orOutline([rows] + values[0].shape.dropFirst()) {
            withoutGradients { concatenate(values.map { $0.detached() }) }.contiguous()
        }
        let memory = PackedMemory(whole)
        self.memory = memory
        var first = 0
        parts = values.map { value in
            defer { first += value.shape[0] }
            return Parameter(
                part: whole.sliced(0, from: first, to: first + value.shape[0]), isMatrix: isMatrix,
                of: memory, rows: first..<first + value.shape[0])
        }
    }

    /// All parts as one tensor, [Σ rows, …]; nothing is copied.
    public var value: Tensor {
        guard case .float(let whole) = memory.contents else {
            fatalError("PackedParameters.value: the weights are rounded")
        }
        return .record("packed", whole, inputs: parts.map(\.value)) { gradient, slots in
            let dense = gradient.contiguous()
            var first = 0
            for (slot, part) in zip(slots, parts) {
                slot.add(dense.sliced(0, from: first, to: first + part.shape[0]))
                first += part.shape[0]
            }
        }
    }

    /// All parts as one matrix, [Σ rows, columns], as layers multiply by it; nothing is copied unless a part has an adapter.
    public var matrix: WeightMatrix {
        if parts.contains(where: { $0.adapter != nil }) {
            return .float(concatenate(parts.map { $0.adapter?.added(to: $0.floats()) ?? $0.floats() }))
        }
        return if case .rounded = memory.contents { memory.contents } else { .float(value) }
    }
}

/// The memory that the parts of `PackedParameters` share.
final class PackedMemory: Sendable {
    /// Written by `round` alone, while nobody else uses the model.
    nonisolated(unsafe) private(set) var contents: WeightMatrix

    init(_ whole: Tensor) { contents = .float(whole) }

    /// Rounds all parts at once, when the first of them is.
    func round(to format: RoundedMatrix.Format) -> RoundedMatrix {
        switch contents {
        case .rounded(let matrix): return matrix
        case .float(let tensor):
            let matrix = RoundedMatrix(tensor, format)
            contents = .rounded(matrix)
            return matrix
        }
    }
}
