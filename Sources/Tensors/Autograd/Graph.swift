import Synchronization

/// One recorded operation: what it took in and how a gradient goes back through it. Leaves (parameters, inputs whose
/// gradient is wanted) have no pullback.
final class Node: @unchecked Sendable {
    typealias Pullback = @Sendable ([Tensor?], [InputGradient]) -> Void

    private static let counter = Atomic<Int>(0)

    /// Creation order: every node has a higher number than its inputs.
    let id = Node.counter.wrappingAdd(1, ordering: .relaxed).newValue
    let name: String
    let shapes: [[Int]]
    private(set) var inputs: [Origin?]
    private var pullback: Pullback?
    let isLeaf: Bool

    init(leaf shape: [Int]) {
        name = "leaf"
        shapes = [shape]
        inputs = []
        pullback = nil
        isLeaf = true
    }

    init(name: String, shapes: [[Int]], inputs: [Origin?], pullback: @escaping Pullback) {
        self.name = name
        self.shapes = shapes
        self.inputs = inputs
        self.pullback = pullback
        isLeaf = false
    }

    static var latest: Int { counter.load(ordering: .relaxed) }

    /// The pullback and the inputs, leaving the node empty so that saved buffers return as soon as it has run.
    func take() -> (pullback: Pullback, inputs: [Origin?])? {
        guard let taken = pullback else { return nil }
        defer {
            pullback = nil
            inputs = []
        }
        return (taken, inputs)
    }

    /// A graph that is dropped without a backward pass unwinds here, one node at a time: releasing a long chain
    /// recursively would overflow the stack.
    deinit {
        var pending = takeInputs()
        while var node = pending.popLast() {
            if isKnownUniquelyReferenced(&node) { pending += node.takeInputs() }
        }
    }

    private func takeInputs() -> [Node] {
        // The nodes are held by the result before the pullback, which refers to the same nodes, is let go.
        let nodes = inputs.compactMap { $0?.node }
        inputs = []
        pullback = nil
        return nodes
    }
}

/// An output of a recorded operation.
struct Origin: Sendable {
    let node: Node
    let output: Int
}

/// The switch of recording operations for backward; see `withoutGradients`.
enum Recording {
    @TaskLocal static var isOn = true
}

/// Runs `body` without recording operations: for inference, and for values no gradient should flow through.
public func withoutGradients<R>(_ body: () throws -> R) rethrows -> R {
    try Recording.$isOn.withValue(false, operation: body)
}

extension Tensor {
    /// True if a gradient flows through this tensor.
    public var requiresGradient: Bool { origin != nil }

    /// The same values as a leaf: `gradients(of:)` returns the gradient with respect to it.
    public func requiringGradient() -> Tensor { with(origin: Origin(node: Node(leaf: shape), output: 0)) }

    /// Returns true if an operation on these inputs would be recorded: operations save for backward only then.
    public static func records(_ inputs: [Tensor]) -> Bool {
        inputs.contains { $0.origin != nil } && Recording.isOn
    }

    /// True outside of `withoutGradients`: operations on inputs that require a gradient are recorded.
    public static var isRecording: Bool { Recording.isOn }

    /// Declares a differentiable operation with several outputs. This is the one plumbing function: built-in, an
    /// architecture's own and a user's custom operations all come through here.
    ///
    /// - Parameters:
    ///   - name: the operation's name, for messages.
    ///   - outputs: the computed results, freshly made.
    ///   - inputs: every tensor a gradient may flow to. Tensors captured by `pullback` but not listed get none.
    ///   - pullback: given the gradient of each output (nil where it is zero) hands each input its gradient. It runs at
    ///     most once and is dropped, with all it captured, as soon as it has run.
    /// - Returns: the outputs, connected to the graph if an input is and recording is on.
    public static func record(
        _ name: String, outputs: [Tensor], inputs: [Tensor],
        pullback: @escaping @Sendable (_ gradients: [Tensor?], _ inputs: [InputGradient]) -> Void
    ) -> [Tensor] {
        guard records(inputs) else { return outputs }
        let node = Node(
            name: name, shapes: outputs.map(\.shape), inputs: inputs.map(\.origin), pullback: pullback)
        return outputs.enumerated().map { $1.with(origin: Origin(node: node, output: $0)) }
    }

    /// Declares a differentiable operation with one output; see the form with several.
    public static func record(
        _ name: String, _ output: Tensor, inputs: [Tensor],
        pullback: @escaping @Sendable (_ gradient: Tensor, _ inputs: [InputGradient]) -> Void
    ) -> Tensor {
        guard records(inputs) else { return output }
        return record(name, outputs: [output], inputs: inputs) { gradients, slots in
            if let gradient = gradients[0] { pullback(gradient, slots) }
        }[0]
    }

    /// Declares an operation whose inputs' gradients are computed independently of each other, one pullback an input.
    public static func record(
        _ name: String, _ output: Tensor, _ gradients: (input: Tensor, pullback: @Sendable (Tensor) -> Tensor)...
    ) -> Tensor {
        let pullbacks = gradients.map(\.pullback)
        return record(name, output, inputs: gradients.map(\.input)) { gradient, slots in
            for (slot, pullback) in zip(slots, pullbacks) where slot.isNeeded { slot.add(pullback(gradient)) }
        }
    }
}
