import NN
import Tensors

// Between decoding and segments: the same memory in two forms.
//
// w tokens in a block, s states, m width of the model, d columns of a head

extension BlockRecurrentTransformer {
    /// What a decoding state has read, in the form in which segments hand it on.
    public func carry(of state: BlockRecurrentState) -> RecurrentMemory? { memory(of: state) }

    /// A decoding state that goes on where segments ended.
    /// - Throws: `InputError` that names the tensor that is none of this model's.
    public func decodingState(after carry: RecurrentMemory) throws -> BlockRecurrentState {
        try check(carry)
        return withoutGradients { state(after: carry) }
    }

    /// - Throws: `InputError` that names the tensor that is none of this model's.
    private func check(_ memory: RecurrentMemory) throws {
        let (w, d, s) = (configuration.blockWidth, configuration.headDimension, configuration.states)
        guard memory.layers.count == layers.count, memory.states.count == writers.count else {
            throw InputError(
                "layers: expected \(layers.count), \(writers.count) of them recurrent, found \(memory.layers.count) and"
                    + " \(memory.states.count)")
        }
        func check(_ name: String, _ tensor: Tensor?, _ lengths: ClosedRange<Int>) throws {
            guard let shape = tensor?.shape, shape[2] != 2 * d || !lengths.contains(shape[1]) else { return }
            let (least, most) = (lengths.lowerBound, lengths.upperBound)
            let n = least == most ? "\(least)" : "\(least)…\(most)"
            throw InputError("\(name): expected [2, 1, \(n), \(d)], found [2, 1, \(shape[1]), \(shape[2] / 2)]")
        }
        for (index, layer) in memory.layers.enumerated() {
            try check("memories.\(index)", layer.before, 1...w + configuration.compressedLength)
            try check("blocks.\(index)", layer.block, 1...max(1, w - 1))
        }
        for (index, states) in memory.states.enumerated() {
            if let shape = states?.shape, shape != [1, s, configuration.dimension] {
                throw InputError("states.\(index): expected [1, \(s), \(configuration.dimension)], found \(shape)")
            }
        }
    }

    /// A decoding state that goes on after what was read in segments, one row.
    func state(after memory: RecurrentMemory) -> BlockRecurrentState {
        let capacity = 2 * configuration.blockWidth + configuration.compressedLength
        let d = configuration.headDimension
        let decoding = zip(layers, memory.layers).map { layer, memory in
            let parts = [memory.before, memory.block].compactMap { $0 }
            let all = parts.isEmpty ? .zeros([1, 0, 2 * d]) : concatenate(parts, axis: 1)
            let keys =
                parts.isEmpty
                ? .zeros([0, d]) : layer.attention.positioned(all, end: memory.offset, positions).squeezed(0)
            return DecodingLayer(
                all.squeezed(0), keys: keys, before: memory.before?.shape[1] ?? 0, capacity: capacity)
        }
        let ready = memory.states.enumerated().map { container($0).found($1) }
        return BlockRecurrentState(
            layers: decoding, states: memory.states, ready: ready,
            readKeys: ready.map { KeyBlocks($0.readKeys.squeezed(0)) })
    }

    /// The memory of one row that a decoding state holds.
    func memory(of state: BlockRecurrentState) -> RecurrentMemory {
        RecurrentMemory(
            layers: state.layers.map { layer in
                func part(_ rows: Range<Int>) -> Tensor? {
                    rows.isEmpty
                        ? nil
                        : layer.keysAndValues.sliced(0, from: rows.lowerBound, to: rows.upperBound).unsqueezed(0)
                }
                return LayerMemory(before: part(0..<layer.before), block: part(layer.before..<layer.count))
            }, states: state.states
        ).detached()
    }
}
