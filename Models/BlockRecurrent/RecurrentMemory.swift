import NN
import Tensors

// The memory that passes from block to block and from segment to segment.
//
// b rows, n tokens, w tokens in a block, d columns of all keys (g heads), s states, m width of the model, f compression factor

/// Keys and values of a layer, beside each other and without positions.
struct LayerMemory: Sendable {
    /// The tokens before the block, compressed ones first: [b, n, 2 d]; nil where there are none.
    var before: Tensor?
    /// The block's tokens so far, where it is not complete: [b, n, 2 d].
    var block: Tensor?

    /// Tokens of the block so far.
    var offset: Int { block?.shape[1] ?? 0 }

    /// The memory and the block, of which one must be there: [b, n, 2 d].
    var all: Tensor { concatenate([before, block].compactMap { $0 }, axis: 1) }

    /// Returns the last tokens of a block and the memory before it, as far as there are so many: [b, count, 2 d].
    func last(_ count: Int) -> Tensor {
        guard let block else { return all }
        let missing = min(count - block.shape[1], before?.shape[1] ?? 0)
        if missing <= 0 { return block.sliced(1, from: max(0, block.shape[1] - count)) }
        return concatenate([before!.sliced(1, from: before!.shape[1] - missing), block], axis: 1)
    }

    /// Adds tokens to the block. new: [b, n, 2 d]
    func appending(_ new: Tensor) -> LayerMemory {
        LayerMemory(before: before, block: block.map { concatenate([$0, new], axis: 1) } ?? new)
    }
}

/// The carry of a text's segments: memories of every layer and states of the recurrent ones, of a size that does not grow.
///
/// As a `SegmentCarry`, and in a file, it is of one row: memories.i and blocks.i [2, 1, n, d], keys and values of layer i, of
/// the tokens before the block and of those in it; states.j [1, s, m].
public struct RecurrentMemory: Sendable {
    var layers: [LayerMemory]
    /// The states of each recurrent layer, from the lowest: [b, s, m]; nil while they are the initial ones.
    var states: [Tensor?]

    /// Tokens of the block so far.
    var offset: Int { layers.first?.offset ?? 0 }

    /// Keys and values of the tokens before the block of every layer, as block-recurrent-transformer-pytorch has them: [2,
    /// b, n, d]. Empty where nothing is remembered.
    public var xlMemories: [Tensor] { layers.compactMap(\.before).map(unpacked) }

    /// The states of the recurrent layers, from the lowest: [b, s, m]. Empty where nothing was written.
    public var recurrentStates: [Tensor] { states.compactMap { $0 } }

    /// Copies what is remembered, without gradients and without holding on to a whole segment's keys and values.
    func detached() -> RecurrentMemory {
        func alone(_ x: Tensor?) -> Tensor? { x.map { $0.detached().contiguous().owned() } }
        return RecurrentMemory(
            layers: layers.map { LayerMemory(before: alone($0.before), block: alone($0.block)) },
            states: states.map(alone))
    }

    // MARK: Forgetting

    /// The parts that can be forgotten: "states", and the "memories" of the blocks before. Keys and values of a block that
    /// is not complete stay.
    public static let parts = ["states", "memories"]

    /// Forgets some of its `parts`; nil where nothing is left.
    public func forgetting(_ parts: Set<String>) -> RecurrentMemory? {
        var rest = self
        if parts.contains("memories") { for index in layers.indices { rest.layers[index].before = nil } }
        if parts.contains("states") { rest.states = states.map { _ in nil } }
        let isEmpty =
            rest.layers.allSatisfy { $0.before == nil && $0.block == nil } && rest.states.allSatisfy { $0 == nil }
        return isEmpty ? nil : rest
    }

    // MARK: Rows

    /// Lengths that must agree for rows to be read together.
    struct Form: Hashable {
        let before: [Int], offset: Int, states: [Bool]
    }

    var form: Form {
        Form(
            before: layers.map { $0.before?.shape[1] ?? 0 }, offset: offset,
            states: states.map { $0 != nil })
    }

    /// Puts rows of one form together.
    init(joining rows: [RecurrentMemory]) {
        func join(_ part: (RecurrentMemory) -> Tensor?) -> Tensor? {
            let parts = rows.compactMap(part)
            return parts.isEmpty ? nil : concatenate(parts)
        }
        let first = rows[0]
        layers = first.layers.indices.map { layer in
            LayerMemory(before: join { $0.layers[layer].before }, block: join { $0.layers[layer].block })
        }
        states = first.states.indices.map { index in join { $0.states[index] } }
    }

    init(layers: [LayerMemory], states: [Tensor?]) { (self.layers, self.states) = (layers, states) }

    /// Takes one row.
    func row(_ index: Int) -> RecurrentMemory {
        func take(_ x: Tensor?) -> Tensor? { x.map { $0.sliced(0, from: index, to: index + 1).owned() } }
        return RecurrentMemory(
            layers: layers.map { LayerMemory(before: take($0.before), block: take($0.block)) },
            states: states.map(take))
    }
}

extension Tensor {
    /// Copies the elements to memory of their own.
    fileprivate func owned() -> Tensor {
        var copy = contiguous()
        copy.ensureUnique()
        return copy
    }
}

/// [b, n, 2 d] → [2, b, n, d]
private func unpacked(_ x: Tensor) -> Tensor {
    x.reshaped([x.shape[0], x.shape[1], 2, x.shape[2] / 2]).permuted([2, 0, 1, 3]).contiguous()
}

/// [2, b, n, d] → [b, n, 2 d]
func packed(_ x: Tensor) -> Tensor { x.permuted([1, 2, 0, 3]).reshaped([x.shape[1], x.shape[2], 2 * x.shape[3]]) }

// MARK: Blocks that are complete

/// A convolution that makes f neighboring tokens one: width and stride f, keys and values in groups of their own. Keys:
/// 1.weight [2 d, d, f], 1.bias [2 d].
public struct MemoryCompression: Module {
    /// The kernels of keys, then those of values, [2 d, d, f].
    public let weight: Parameter
    /// The bias of both, [2 d].
    public let bias: Parameter
    let factor: Int

    init(_ d: Int, factor: Int, key: RandomKey) {
        let bound = 1 / Float(d * factor).squareRoot()
        weight = Parameter(.uniform([2 * d, d, factor], low: -bound, high: bound, key: key.child(0)))
        bias = Parameter(.uniform([2 * d], low: -bound, high: bound, key: key.child(1)))
        self.factor = factor
    }

    /// x: [b, n, 2 d] → [b, ⌊n / f⌋, 2 d]. The remainder of n / f tokens is dropped at the beginning.
    func callAsFunction(_ x: Tensor) -> Tensor {
        let (b, d) = (x.shape[0], x.shape[2] / 2)
        let count = x.shape[1] / factor
        let taken = x.sliced(1, from: x.shape[1] - count * factor).reshaped([b, count, factor, 2 * d])
        let parts = (0..<2).map { part in
            let rows = taken.sliced(3, from: part * d, to: (part + 1) * d).reshaped([b, count, factor * d])
            // [d, d, f] → [d, f · d]: a row has the columns of one token after another.
            let own = weight.value.sliced(0, from: part * d, to: (part + 1) * d).permuted([0, 2, 1])
            return linear(
                rows, weight: own.reshaped([d, factor * d]),
                bias: bias.value.sliced(0, from: part * d, to: (part + 1) * d))
        }
        return concatenate(parts, axis: 2)
    }

    public func collect(into state: inout StateCollector) {
        state.add("1.weight", weight)
        state.add("1.bias", bias)
    }
}

/// The choice of what layers remember: keys and values of the block before (Transformer-XL, 1901.02860), and with compressed
/// memories those of half a block's width more, compressed (Compressive Transformers, 1911.05507).
///
/// Keys: layers.i.1.* where memories are compressed.
public struct MemoryManager: Module {
    /// One a layer; none where nothing is compressed.
    public let compressions: [MemoryCompression]
    private let width: Int, compressedLength: Int

    init(_ configuration: BlockRecurrentConfiguration, key: RandomKey) {
        width = configuration.blockWidth
        compressedLength = configuration.compressedLength
        let factor = configuration.compressedMemoryFactor
        let compresses = configuration.compressesMemory && factor > 1
        compressions = (0..<(compresses ? configuration.depth : 0)).map {
            MemoryCompression(configuration.headDimension, factor: factor, key: key.child($0))
        }
    }

    /// Returns what a layer remembers once its block is complete: the block alone, or after what is compressed.
    func memory(_ layer: Int, after own: LayerMemory) -> LayerMemory {
        guard compressedLength > 0, let before = own.before, let block = own.block else {
            return LayerMemory(before: own.block)
        }
        let kept = max(0, before.shape[1] - width)
        let leaving = before.sliced(1, from: kept)
        let new = compressions.isEmpty ? leaving : compressions[layer](leaving)
        let compressed = concatenate([before.sliced(1, to: kept), new], axis: 1)
        let surplus = max(0, compressed.shape[1] - compressedLength)
        return LayerMemory(before: concatenate([compressed.sliced(1, from: surplus), block], axis: 1))
    }

    public func collect(into state: inout StateCollector) {
        for (index, compression) in compressions.enumerated() { state.add("layers.\(index).1", compression) }
    }
}

// MARK: In files

extension RecurrentMemory: RecurrentCarry {
    /// Its tensors by name; see above.
    public var tensors: [String: Tensor] {
        var tensors: [String: Tensor] = ["layers": Tensor([Float(layers.count), Float(states.count)])]
        for (index, layer) in layers.enumerated() {
            tensors["memories.\(index)"] = layer.before.map(unpacked)
            tensors["blocks.\(index)"] = layer.block.map(unpacked)
        }
        for (index, states) in states.enumerated() { tensors["states.\(index)"] = states }
        return tensors
    }

    /// - Throws: `InputError` that names the tensor that is missing or has a wrong shape; whether it fits a model is seen when
    ///   that reads on from it (`decodingState(after:)`).
    public init(tensors: [String: Tensor]) throws {
        guard let counts = tensors["layers"]?.values, counts.count == 2,
            counts.allSatisfy({ (0...65536).contains($0) })
        else { throw InputError("layers: expected the numbers of layers and of recurrent ones, [2]") }
        /// Reads a tensor of each layer, all of one shape; nil where there is none.
        func read(_ name: String, _ count: Int, rank: Int, _ expected: String) throws -> [Tensor?] {
            let found = (0..<count).map { tensors["\(name).\($0)"] }
            guard let index = found.firstIndex(where: { $0 != nil }), let first = found[index] else { return found }
            guard first.rank == rank, first.shape[rank - 3] == 1, rank == 3 || first.shape[0] == 2 else {
                throw InputError("\(name).\(index): expected \(expected), found \(first.shape)")
            }
            if let other = found.firstIndex(where: { $0?.shape != first.shape }) {
                let problem = found[other].map { "found \($0.shape)" } ?? "is missing"
                throw InputError("\(name).\(other): expected \(first.shape) as \(name).\(index), \(problem)")
            }
            return found
        }
        let count = Int(counts[0])
        let before = try read("memories", count, rank: 4, "[2, 1, n, d]")
        let blocks = try read("blocks", count, rank: 4, "[2, 1, n, d]")
        layers = zip(before, blocks).map { LayerMemory(before: $0.map(packed), block: $1.map(packed)) }
        states = try read("states", Int(counts[1]), rank: 3, "[1, s, m]")
    }
}
