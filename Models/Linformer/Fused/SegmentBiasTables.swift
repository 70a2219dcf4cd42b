import CKernels
import Tensors

/// The biases in the order of keys and slots: distances falling, so that the entries of the columns that a query sees lie as
/// the columns do.
struct SegmentBiasTables: Sendable {
    private let options: SegmentAttentionOptions
    /// [h or 1, w], and [h or 1, slots] as far as any query sees.
    private let window: Tensor?, slots: Tensor?

    init(_ inputs: SegmentAttentionInputs) {
        let options = inputs.options
        self.options = options
        let last = options.segmentsInReach(of: inputs.firstQuery + max(inputs.n - 1, 0))
        let segments = max(0, min(last - options.firstSegment, options.maxSegments ?? .max))
        window = options.windowBias.map { Self.falling($0, count: options.window, repeated: 1) }
        slots =
            segments * options.slots == 0
            ? nil : options.slotBias.map { Self.falling($0, count: segments, repeated: options.slots) }
    }

    /// Entry count − 1 first, 0 last, the bias's last entry standing for all beyond it, each `repeated` times.
    private static func falling(_ bias: Tensor, count: Int, repeated: Int) -> Tensor {
        let dense = bias.contiguous()
        let (heads, entries) = (dense.shape[0], dense.shape[1])
        let result = Tensor(uninitialized: [heads, count * repeated])
        for head in 0..<heads {
            let (source, target) = (dense.pointer + head * entries, result.mutablePointer + head * count * repeated)
            for place in 0..<count * repeated {
                target[place] = source[min(count - 1 - place / repeated, entries - 1)]
            }
        }
        return result
    }

    func table(_ part: SegmentPart) -> Tensor? { part == .window ? window : slots }

    /// The entries of one head; 0 without a bias.
    func count(_ part: SegmentPart) -> Int { table(part)?.shape[1] ?? 0 }

    /// The entry of a head's first.
    func start(_ part: SegmentPart, head: Int) -> UnsafePointer<Float>? {
        table(part).map { $0.pointer + head % $0.shape[0] * $0.shape[1] }
    }

    /// Adds the gradient of a falling table to that of a bias. `gradients`: [count], of one head.
    func unfold(
        _ part: SegmentPart, _ gradients: UnsafePointer<Float>, entries: Int, into target: UnsafeMutablePointer<Float>
    ) {
        let (all, repeated) = (count(part), part == .window ? 1 : options.slots)
        for place in 0..<all { target[min((all - 1 - place) / repeated, entries - 1)] += gradients[place] }
    }
}
