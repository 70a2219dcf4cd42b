import CKernels
import Foundation
import NN
import Tensors

/// Adam, AdamW, SGD or Adafactor over the parameters of a model, with torch.optim's numbers. Each update but Adafactor's is
/// one pass over memory.
///
///     let optimizer = Optimizer(model.trainable, .adamW(weightDecay: 0.1))
///     let gradients = gradients(of: loss)
///     let norm = optimizer.globalNorm(of: gradients)
///     optimizer.update(gradients, learningRate: 1e-3, scale: Optimizer.clippingScale(norm: norm, limit: 1))
///
/// Updates write the parameters in place, each element by one thread: the same bits for any thread count. As in PyTorch,
/// a parameter without a gradient is left as it is, and its count of steps with it.
public final class Optimizer {
    /// The kind of optimizer and its constants.
    public let options: OptimizerOptions
    var slots: [Slot]

    /// A parameter and what the optimizer remembers about it.
    struct Slot {
        let key: String
        let parameter: Parameter
        /// Updates made so far.
        var steps = 0
        /// Adam: both moments. SGD: the momentum, where there is any. Adafactor: the second moments of rows and columns,
        /// or of a vector's elements.
        var moments: [Tensor]
        /// A factor of the learning rate, and the weight decay.
        let rateFactor: Double, weightDecay: Double
    }

    /// - Parameters:
    ///   - parameters: what is to be updated, each once, with the names that the state is saved under.
    ///   - groups: those with a rate or a weight decay of their own; the first that matches a key counts.
    ///   - withoutDecay: what weight decay is kept from unless a group says otherwise, such as `model.withoutDecay`.
    public init(
        _ parameters: [(key: String, parameter: Parameter)], _ options: OptimizerOptions = .adam(),
        groups: [ParameterGroup] = [], withoutDecay: ParameterSelection = []
    ) {
        self.options = options
        slots = parameters.map { key, parameter in
            require(
                parameter.roundedFormat == nil, "Optimizer: \(key) has rounded weights, which cannot be trained")
            require(!parameter.isFrozen, "Optimizer: \(key) is frozen; expected trainable parameters alone")
            let group = groups.first { $0.contains(key) }
            return Slot(
                key: key, parameter: parameter,
                moments: options.moments(of: parameter.shape).map { .zeros($0.shape) },
                rateFactor: group?.rateFactor ?? 1,
                weightDecay: group?.weightDecay ?? (withoutDecay.contains(key) ? 0 : options.weightDecay))
        }
    }

    // MARK: Clipping

    /// The euclidean norm of all gradients together, summed in float64.
    public func globalNorm(of gradients: Gradients) -> Double {
        let present = slots.compactMap { gradients[$0.parameter]?.contiguous() }
        let chunks = Chunk.cut(present.map(\.count))
        let sums = [Double](unsafeUninitializedCapacity: chunks.count) { buffer, count in
            // Each chunk writes a place of its own; they are added in their order below.
            nonisolated(unsafe) let sums = buffer
            parallelFor(chunks.count) { i in
                let chunk = chunks[i]
                sums[i] = az_sum_squares(chunk.range.count, present[chunk.index].pointer + chunk.range.lowerBound)
            }
            count = chunks.count
        }
        return sums.reduce(0, +).squareRoot()
    }

    /// The factor that brings gradients of this norm down to `limit`: torch's clip_grad_norm_. 1 without a limit.
    public static func clippingScale(norm: Double, limit: Double?) -> Double {
        limit.map { min(1, $0 / (norm + 1e-6)) } ?? 1
    }

    // MARK: Updating

    /// One step.
    /// - Parameters:
    ///   - learningRate: that of this step.
    ///   - scale: what the gradients are multiplied by first.
    public func update(_ gradients: Gradients, learningRate: Double, scale: Double = 1) {
        let updates: [(slot: Int, gradient: Tensor)] = slots.indices.compactMap { slot in
            gradients[slots[slot].parameter].map { (slot, $0.contiguous()) }
        }
        for (slot, _) in updates { slots[slot].steps += 1 }
        if options.kind == .adafactor {
            parallelFor(updates.count) { i in
                let (slot, gradient) = updates[i]
                AdafactorStep(options, slots[slot], learningRate: learningRate, scale: scale).update(gradient)
            }
            return
        }
        // The sizes of all before any changes: each is known whole, whatever chunk its parameter is cut into.
        let rates = updates.map { slots[$0.slot].rateFactor * learningRate * size(of: slots[$0.slot]) }
        let chunks = Chunk.cut(updates.map(\.gradient.count))
        parallelFor(chunks.count) { i in
            let index = chunks[i].index
            let (slot, gradient) = updates[index]
            let unscaled = slots[slot].rateFactor * learningRate
            update(
                slots[slot], gradient, in: chunks[i].range, rate: rates[index],
                decay: slots[slot].weightDecay * (rates[index] > 0 ? unscaled / rates[index] : 1), scale: scale)
        }
    }

    /// The factor that a parameter's own size is to its steps.
    private func size(of slot: Slot) -> Double {
        options.scalesByParameter ? max(options.leastSize, slot.parameter.value.rootMeanSquare) : 1
    }

    /// - Parameter decay: the weight decay of AdamW, per unit of `rate`, so that it goes by the unscaled learning rate.
    private func update(
        _ slot: Slot, _ gradient: Tensor, in range: Range<Int>, rate: Double, decay: Double, scale: Double
    ) {
        let start = range.lowerBound
        let (g, p) = (gradient.pointer + start, slot.parameter.value.mutablePointer + start)
        let moments = slot.moments.map { $0.mutablePointer + start }
        switch options.kind {
        case .adam, .adamW:
            let steps = Double(slot.steps)
            az_adam(
                range.count, rate, options.beta1, options.beta2, options.epsilon,
                options.kind == .adamW ? decay : slot.weightDecay, options.kind == .adamW ? 1 : 0,
                1 - pow(options.beta1, steps), 1 - pow(options.beta2, steps), scale,
                g, p, moments[0], moments[1])
        case .sgd:
            az_sgd(
                range.count, rate, options.momentum, slot.weightDecay, slot.steps == 1 ? 1 : 0, scale, g, p,
                moments.first)
        case .adafactor: break  // not in chunks
        }
    }
}

/// A part of one of several arrays: work for one thread.
private struct Chunk {
    let index: Int
    let range: Range<Int>

    /// 64 Ki elements: the four arrays of Adam take a megabyte, half of a second-level cache.
    private static let length = 1 << 16

    /// Cuts arrays of the given lengths into chunks, none across two.
    static func cut(_ counts: [Int]) -> [Chunk] {
        counts.enumerated().flatMap { index, count in
            stride(from: 0, to: count, by: length).map {
                Chunk(index: index, range: $0..<min(count, $0 + length))
            }
        }
    }
}
