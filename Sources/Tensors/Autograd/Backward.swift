import CKernels

/// Gradients of a scalar with respect to leaves.
public struct Gradients: Sendable {
    /// By the leaf's number: unlike an object's address it is never used again, should the leaf be gone.
    var byLeaf: [Int: Tensor] = [:]

    /// Creates gradients of nothing.
    public init() {}

    /// The gradient with respect to a tensor made by `requiringGradient()`; nil when the loss does not depend on it.
    public subscript(_ leaf: Tensor) -> Tensor? {
        get { leaf.origin.flatMap { byLeaf[$0.node.id] } }
        set {
            guard let node = leaf.origin?.node, node.isLeaf else {
                fatalError("Gradients: the tensor of shape \(leaf.shape) is no leaf")
            }
            byLeaf[node.id] = newValue
        }
    }

    /// The gradient with respect to a parameter; nil when the loss does not depend on it.
    public subscript(_ parameter: Parameter) -> Tensor? {
        get { self[parameter.value] }
        set { self[parameter.value] = newValue }
    }
}

/// The gradients of `loss` (a tensor with one element) with respect to every leaf it depends on, added to `previous`
/// (in place, where nobody else holds those buffers). Walks the graph once, in reverse order of creation, and consumes
/// it: a second pass over the same graph is an error.
public func gradients(of loss: Tensor, addedTo previous: consuming Gradients = Gradients()) -> Gradients {
    require(loss.count == 1, "gradients: the loss has shape \(loss.shape); expected one element")
    return gradients(of: loss, seed: Tensor(repeating: 1, shape: loss.shape), addedTo: previous)
}

/// The gradients of the sum of `output * seed`; `seed` has the shape of `output`.
public func gradients(of output: Tensor, seed: Tensor, addedTo previous: consuming Gradients = Gradients()) -> Gradients
{
    require(output.shape == seed.shape, "gradients: output \(output.shape) but seed \(seed.shape)")
    guard let origin = output.origin else {
        fatalError("gradients: the output does not depend on any parameter or tensor that requires a gradient")
    }
    let pass = BackwardPass(leaves: previous.byLeaf)
    previous = Gradients()
    pass.slot(origin).add(seed)
    pass.run(from: [origin.node])
    previous.byLeaf = pass.leaves
    return previous
}

/// One walk over a graph: the gradients of outputs not yet handed on, and those of leaves.
final class BackwardPass {
    private var pending: [Int: [Tensor?]] = [:]
    var leaves: [Int: Tensor]
    /// The leaves that got a gradient in this walk, those reached through nested walks (checkpoints) included.
    private(set) var reachedLeaves: [Int: Node] = [:]

    init(leaves: [Int: Tensor]) { self.leaves = leaves }

    func slot(_ origin: Origin?) -> InputGradient { InputGradient(pass: self, origin: origin) }

    /// Runs every pullback between `roots` and the leaves. Nodes made before `boundary` other than leaves must not be
    /// reached.
    func run(from roots: [Node], boundary: Int = 0) {
        let found = Self.reachable(from: roots)
        for node in found where !node.isLeaf && node.id <= boundary {
            fatalError("checkpointed: the body uses an output of \(node.name) from outside; pass it as an input")
        }
        var order = found.filter { !$0.isLeaf }.sorted { $0.id < $1.id }
        // Popping lets each node's saved buffers go at once, not at the end.
        while let node = order.popLast() { run(node) }
    }

    private func run(_ node: Node) {
        guard let gradients = pending.removeValue(forKey: node.id) else {
            _ = node.take()
            return
        }
        guard let (pullback, inputs) = node.take() else {
            fatalError("gradients: the graph of \(node.name) has been used already; run forward again")
        }
        pullback(gradients, inputs.map(slot))
    }

    private static func reachable(from roots: [Node]) -> [Node] {
        var seen = Set<ObjectIdentifier>()
        var found: [Node] = []
        var stack = roots
        while let node = stack.popLast() {
            if !seen.insert(ObjectIdentifier(node)).inserted { continue }
            found.append(node)
            for input in node.inputs { if let input { stack.append(input.node) } }
        }
        return found
    }

    /// Takes the gradient collected so far out of its place, so that its buffer has one owner.
    func takeGradient(_ origin: Origin) -> Tensor? {
        let key = origin.node.id
        if origin.node.isLeaf { return leaves.removeValue(forKey: key) }
        guard let index = pending.index(forKey: key) else { return nil }
        defer { pending.values[index][origin.output] = nil }
        return pending.values[index][origin.output]
    }

    func hasGradient(_ origin: Origin) -> Bool {
        origin.node.isLeaf ? leaves[origin.node.id] != nil : pending[origin.node.id]?[origin.output] != nil
    }

    func setGradient(_ gradient: Tensor, _ origin: Origin) {
        let key = origin.node.id
        if origin.node.isLeaf {
            leaves[key] = gradient
            reachedLeaves[key] = origin.node
        } else {
            pending[key, default: [Tensor?](repeating: nil, count: origin.node.shapes.count)][origin.output] = gradient
        }
    }
}

/// The destination of the gradient of one input of an operation.
public struct InputGradient {
    let pass: BackwardPass
    let origin: Origin?

    /// False when nothing needs this gradient: skip computing it.
    public var isNeeded: Bool { origin != nil }

    /// Adds a gradient of the input's shape. The first one is kept as it is, without a copy.
    public func add(_ gradient: Tensor) {
        guard let origin else { return }
        let shape = origin.node.shapes[origin.output]
        require(
            gradient.shape == shape,
            "gradient of shape \(gradient.shape) for an output of \(origin.node.name) of shape \(shape)")
        guard let collected = pass.takeGradient(origin) else {
            pass.setGradient(gradient.detached(), origin)
            return
        }
        pass.setGradient(collected, origin)
        let addend = gradient.contiguous()
        accumulate { destination, beta in
            az_scale_add(addend.count, 1, addend.pointer, beta, destination)
        }
    }

    /// Adds factor · gradient, of dense memory that nobody else uses: the first one is scaled where it lies and kept.
    func add(owned gradient: Tensor, times factor: Float) {
        guard let origin else { return }
        func scale(into destination: UnsafeMutablePointer<Float>, _ beta: Float) {
            let source = gradient.pointer
            parallelRanges(gradient.count, grain: elementGrain) {
                az_scale_add($0.count, factor, source + $0.lowerBound, beta, destination + $0.lowerBound)
            }
        }
        if pass.hasGradient(origin) { return accumulate(scale) }
        if factor != 1 { scale(into: gradient.mutablePointer, 0) }
        add(gradient)
    }

    /// Lets `body` write the gradient into a dense buffer of the input's shape: with beta = 0 it holds garbage to be
    /// overwritten, with beta = 1 what other operations have contributed, to be added to.
    public func accumulate(_ body: (_ destination: UnsafeMutablePointer<Float>, _ beta: Float) -> Void) {
        guard let origin else { return }
        let (buffer, beta) = takeBuffer(origin)
        body(buffer.mutablePointer, beta)
        pass.setGradient(buffer, origin)
    }

    /// Takes the gradient's own buffer, which nobody else sees until it is set again, and the beta that goes with it.
    fileprivate func takeBuffer(_ origin: Origin) -> (buffer: Tensor, beta: Float) {
        guard var collected = pass.takeGradient(origin) else {
            return (Tensor(uninitialized: origin.node.shapes[origin.output]), 0)
        }
        if !(collected.isContiguous && isKnownUniquelyReferenced(&collected.storage)) {
            let copy = Tensor(uninitialized: collected.shape)
            copyElements(of: collected, to: copy.mutablePointer)
            collected = copy
        }
        return (collected, 1)
    }
}

/// The buffer that a gradient is written to: with beta = 0 it holds garbage to be overwritten, with beta = 1 what other
/// operations have contributed, to be added to.
public struct GradientDestination {
    /// The first element of a dense buffer of the input's shape; valid inside of the call that gave it.
    public let pointer: UnsafeMutablePointer<Float>
    /// 0 or 1.
    public let beta: Float
}

/// Lets `body` write the gradients of several inputs in one pass. It is given a destination for each slot, nil where nothing
/// needs the gradient, and is not called where nothing needs any.
public func accumulate(_ slots: [InputGradient], _ body: (_ destinations: [GradientDestination?]) -> Void) {
    guard slots.contains(where: \.isNeeded) else { return }
    var buffers: [(buffer: Tensor, beta: Float)?] = []
    for (index, slot) in slots.enumerated() {
        guard let origin = slot.origin else {
            buffers.append(nil)
            continue
        }
        // An input that is listed twice has one buffer; the second share is added to it afterwards.
        let isTaken = slots[..<index].contains { $0.origin?.node === origin.node && $0.origin?.output == origin.output }
        buffers.append(
            isTaken ? (Tensor(uninitialized: origin.node.shapes[origin.output]), 0) : slot.takeBuffer(origin))
    }
    body(buffers.map { $0.map { GradientDestination(pointer: $0.buffer.mutablePointer, beta: $0.beta) } })
    for (slot, taken) in zip(slots, buffers) {
        guard let origin = slot.origin, let taken else { continue }
        if slot.pass.hasGradient(origin) { slot.add(taken.buffer) } else { slot.pass.setGradient(taken.buffer, origin) }
    }
}
