import NN
import Tensors

// b rows, w tokens in a block, d columns of a head, s states, m width of the model

/// Keys and values of a layer, beside each other and without positions.
struct LayerMemory: Sendable {
    /// Of the tokens before the block, compressed ones first: [b, n, 2 d]; nil where there are none.
    var before: Tensor?
    /// Of the block's tokens so far, where it is not complete: [b, n, 2 d].
    var block: Tensor?

    /// Tokens of the block so far.
    var offset: Int { block?.shape[1] ?? 0 }
}

/// What the next segment of a text is given: the memories of every layer and the states of the recurrent ones, at the size
/// of a block, however much has been read.
///
/// As a `SegmentCarry`, and in a file, it is of one row: memories.i and blocks.i [2, 1, n, d], keys and values of layer i, of
/// the tokens before the block and of those in it; states.j [1, s, m].
public struct RecurrentMemory: Sendable {
    var layers: [LayerMemory]
    /// Of each recurrent layer, from the lowest, [b, s, m]; nil while they are the initial ones.
    var states: [Tensor?]

    /// Tokens of the block so far.
    var offset: Int { layers.first?.offset ?? 0 }

    /// Keys and values of the tokens before the block of every layer, as block-recurrent-transformer-pytorch has them: [2,
    /// b, n, d]. Empty where nothing is remembered.
    public var xlMemories: [Tensor] { layers.compactMap(\.before).map(unpacked) }

    /// The states of the recurrent layers, from the lowest: [b, s, m]. Empty where nothing was written.
    public var recurrentStates: [Tensor] { states.compactMap { $0 } }

    /// Without gradients, and without holding on to a whole segment's keys and values.
    func detached() -> RecurrentMemory {
        func alone(_ x: Tensor?) -> Tensor? { x.map { $0.detached().contiguous().owned() } }
        return RecurrentMemory(
            layers: layers.map { LayerMemory(before: alone($0.before), block: alone($0.block)) },
            states: states.map(alone))
    }

    // MARK: Forgetting

    /// What may be forgotten by itself: "states", and the "memories" of the blocks before. Keys and values of a block that
    /// is not complete stay.
    public static let parts = ["states", "memories"]

    /// Without some of its `parts`; nil where nothing is left.
    public func forgetting(_ parts: Set<String>) -> RecurrentMemory? {
        var rest = self
        if parts.contains("memories") { for index in layers.indices { rest.layers[index].before = nil } }
        if parts.contains("states") { rest.states = states.map { _ in nil } }
        let isEmpty =
            rest.layers.allSatisfy { $0.before == nil && $0.block == nil } && rest.states.allSatisfy { $0 == nil }
        return isEmpty ? nil : rest
    }

    // MARK: Rows

    /// What must agree for rows to be read together.
    struct Form: Hashable {
        let before: [Int], offset: Int, states: [Bool]
    }

    var form: Form {
        Form(
            before: layers.map { $0.before?.shape[1] ?? 0 }, offset: offset,
            states: states.map { $0 != nil })
    }

    /// Rows of one form together.
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

    /// One row.
    func row(_ index: Int) -> RecurrentMemory {
        func take(_ x: Tensor?) -> Tensor? { x.map { $0.sliced(0, from: index, to: index + 1).owned() } }
        return RecurrentMemory(
            layers: layers.map { LayerMemory(before: take($0.before), block: take($0.block)) },
            states: states.map(take))
    }
}

extension Tensor {
    /// The same elements in memory of their own.
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

// MARK: In files

extension RecurrentMemory: SegmentCarry {
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
        /// Of each layer, all alike or none.
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
