/// Runs `body` without keeping what its operations saved, and runs it again in the backward pass: memory of one segment
/// in exchange for a second forward.
///
/// Gradients reach the listed inputs and every `Parameter` used inside. Other tensors that need a gradient must be passed
/// as inputs. `body` must compute the same both times: random draws by key do.
public func checkpointed(_ inputs: [Tensor], _ body: @escaping @Sendable ([Tensor]) -> Tensor) -> Tensor {
    guard Recording.isOn else { return body(inputs) }
    let output = withoutGradients { body(inputs) }
    // A leaf of its own keeps the operation in the graph when only parameters inside need gradients.
    let anchor = Tensor.zeros([]).requiringGradient()
    return Tensor.record("checkpointed", output, inputs: inputs + [anchor]) { gradient, slots in
        let boundary = Node.latest
        let leaves = inputs.map { $0.requiresGradient ? $0.requiringGradient() : $0 }
        // Backward may run where recording is off.
        let again = Recording.$isOn.withValue(true) { body(leaves) }
        guard let origin = again.origin else { return }
        let inner = BackwardPass(leaves: [:])
        inner.slot(origin).add(gradient)
        inner.run(from: [origin.node], boundary: boundary)
        for (leaf, slot) in zip(leaves, slots) where slot.isNeeded {
            if let gradient = leaf.origin.flatMap(inner.takeGradient) { slot.add(gradient) }
        }
        let outer = slots[0].pass
        for node in inner.reachedLeaves.values {
            let parameter = Origin(node: node, output: 0)
            if let gradient = inner.takeGradient(parameter) { outer.slot(parameter).add(gradient) }
        }
    }
}
