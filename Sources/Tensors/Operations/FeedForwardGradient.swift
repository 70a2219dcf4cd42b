import CKernels

/// The backward pass of `feedForward`. Blocks of rows, each of several panels: every panel's dz is written over its z
/// while f(z) is made again; then the block's share of the weight gradients is two large products, split over threads.
struct FeedForwardGradient: Sendable {
    private let forward: FeedForward
    /// up's output, becoming its gradient: [rows, width].
    private let z: Tensor
    private let dy: Tensor
    private var rows: Int { forward.rows }
    private var d: Int { forward.d }
    private var inner: Int { forward.inner }
    private var width: Int { forward.width }
    private var out: Int { forward.out }

    /// z is written over: nobody else may read it.
    init(_ forward: FeedForward, _ z: Tensor, _ dy: Tensor) {
        self.forward = forward
        self.z = z
        self.dy = dy
    }

    /// - Parameter slots: of x, the norm's parameters, up's, down's and the residual, as far as there are any.
    func add(to slots: [InputGradient]) {
        let inputs = forward.panels?.inputs.count ?? 1
        let ups = forward.up.parameters.count
        let downs = forward.down.parameters.count
        let upSlots = Array(slots[inputs..<inputs + ups])
        let downSlots = Array(slots[inputs + ups..<inputs + ups + downs])
        addWeights(upSlots, downSlots)
        addInput(Array(slots[0..<inputs]))
        if slots.count > inputs + ups + downs { slots[slots.count - 1].add(dy) }
    }

    // MARK: Weights

    private func addWeights(_ up: [InputGradient], _ down: [InputGradient]) {
        if down.count > 1 { addColumnSums(rows, out, dy.pointer, to: down[1]) }
        let panel = panelRows(rows)
        let block = 2 * Threads.count * panel
        let hidden = Tensor(uninitialized: [min(block, rows), inner])
        let normalized = forward.panels.map { _ in Tensor(uninitialized: [min(block, rows), d]) }
        for first in stride(from: 0, to: max(rows, 1), by: block) {
            let count = min(block, rows - first)
            parallelRanges(count, grain: panel) {
                let range = first + $0.lowerBound..<first + $0.upperBound
                productGradient(range, hidden.mutablePointer + $0.lowerBound * inner)
                if let panels = forward.panels {
                    panels.normalize(range, into: normalized!.mutablePointer + $0.lowerBound * d)
                }
            }
            let input = normalized?.pointer ?? forward.x.pointer + first * d
            addProduct(count, (dy.pointer + first * out, out), (hidden.pointer, inner), to: down[0])
            addProduct(count, (z.pointer + first * width, width), (input, d), to: up[0])
            if up.count > 1 { addColumnSums(count, width, z.pointer + first * width, to: up[1]) }
        }
    }

    /// dz of some rows over their z, and the hidden rows that down multiplied.
    private func productGradient(_ range: Range<Int>, _ hidden: UnsafeMutablePointer<Float>) {
        let (first, count) = (range.lowerBound, range.count)
        let gradient = Tensor(uninitialized: [count, inner])
        let scratch = Tensor(uninitialized: [2, inner])
        let dh = gradient.mutablePointer
        BLAS.multiply(
            count, inner, out, BLAS.Operand(dy.pointer + first * out, stride: out),
            BLAS.Operand(forward.down.weight.pointer, stride: inner), dh, stride: inner)
        forward.drop(range, dh)
        let place = z.mutablePointer + first * width
        let kernels = forward.activation.kernels
        if forward.isGated {
            az_gate_backward(
                count, inner, kernels?.forward, kernels?.backward, place, place + inner, width, dh, inner, hidden,
                inner,
                place, place + inner, width, scratch.mutablePointer)
        } else {
            forward.activation.apply(count * inner, place, into: hidden)
            if let kernels {
                kernels.backward(count * inner, place, hidden, dh, place)
            } else {
                az_scale(count * inner, 1, dh, place)
            }
        }
        forward.drop(range, hidden)
        withExtendedLifetime((gradient, scratch)) {}
    }

    /// Adds aᵀ b, of a [count, m] and b [count, n], to a weight's gradient [m, n].
    private func addProduct(
        _ count: Int, _ a: (rows: UnsafePointer<Float>, width: Int), _ b: (rows: UnsafePointer<Float>, width: Int),
        to slot: InputGradient
    ) {
        slot.accumulate { destination, beta in
            BLAS.multiplyInParallel(
                a.width, b.width, count, BLAS.Operand(a.rows, stride: a.width, transposed: true),
                BLAS.Operand(b.rows, stride: b.width), beta: beta, destination, stride: b.width)
        }
    }

    // MARK: Input

    private func addInput(_ slots: [InputGradient]) {
        let weight = BLAS.Operand(forward.up.weight.pointer, stride: d)
        guard let panels = forward.panels else {
            if forward.residualIsInput { slots[0].add(dy) }
            slots[0].accumulate { destination, beta in
                BLAS.multiplyInParallel(
                    rows, d, width, BLAS.Operand(z.pointer, stride: width), weight, beta: beta, destination, stride: d)
            }
            return
        }
        panels.inputGradient(slots) { range, target in
            let place = range.lowerBound * d
            if forward.residualIsInput { az_scale(range.count * d, 1, dy.pointer + place, target) }
            BLAS.multiply(
                range.count, d, width, BLAS.Operand(z.pointer + range.lowerBound * width, stride: width), weight,
                beta: forward.residualIsInput ? 1 : 0, target, stride: d)
        }
    }
}
