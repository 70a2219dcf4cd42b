/// Parameters that lie one behind another in memory, so that one product takes them all: the projections of several heads
/// that a state dict lists one by one.
public struct PackedParameters: Sendable {
    public let parts: [Parameter]
    /// Shares the memory of the parts.
    private let whole: Tensor

    /// - Parameter values: the initial values, [rows, …] each, alike but for the rows.
    public init(_ values: [Tensor]) {
        let whole = withoutGradients { concatenate(values.map { $0.detached() }) }.contiguous()
        self.whole = whole
        var first = 0
        parts = values.map { value in
            defer { first += value.shape[0] }
            return Parameter(part: whole.sliced(0, from: first, to: first + value.shape[0]))
        }
    }

    /// All parts as one tensor, [Σ rows, …]; nothing is copied.
    public var value: Tensor {
        .record("packed", whole, inputs: parts.map(\.value)) { gradient, slots in
            let dense = gradient.contiguous()
            var first = 0
            for (slot, part) in zip(slots, parts) {
                slot.add(dense.sliced(0, from: first, to: first + part.shape[0]))
                first += part.shape[0]
            }
        }
    }
}
