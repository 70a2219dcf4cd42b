import Foundation
import NN
import Tensors

/// The recurrent states of a stream, block by block: how alike they are, and which of them the tokens read.
///
/// States that have become alike hold one vector, however many there are: their mean cosine is 1, their effective rank 1, and
/// all tokens read the same.
public struct StateHistory: Sendable {
    /// The number of tokens read up to the end of each block.
    public let tokens: [Int]
    /// The states that each layer writes, from the lowest, as each block has left them.
    public internal(set) var written: [[States]] = []
    /// What each layer reads of states, in the order of the layers.
    public internal(set) var reads: [Read] = []

    /// The states of a layer at one time.
    public struct States: Sendable {
        /// The cosine of each pair of states: [s][s].
        public let cosines: [[Double]]
        /// exp of the entropy of the squared singular values' shares: 1 for multiples of one vector, up to s.
        public let rank: Double

        /// The mean cosine of two different states; 1 for a single one.
        public var meanCosine: Double {
            let s = cosines.count
            return s < 2 ? 1 : (cosines.joined().reduce(0, +) - Double(s)) / Double(s * (s - 1))
        }

        /// - Parameter states: [s, m].
        /// - Throws: `InputError` for states that are not finite.
        init(_ states: Tensor) throws {
            let unit = states.l2Normalized()
            let products = matrixProduct(unit, unit, transposeB: true)
            cosines = (0..<states.shape[0]).map { products.at(0, $0).values.map(Double.init) }
            let squares = try singularValues(states).map { Double($0) * Double($0) }
            let total = squares.reduce(0, +)
            let shares = squares.map { $0 / total }.filter { $0 > 0 }
            rank = exp(shares.reduce(0) { $0 - $1 * log($1) })
        }
    }

    /// What a layer's tokens read of the states before their block.
    public struct Read: Sendable {
        /// The layer's name, with the number of the states where it reads several.
        public let name: String
        /// By block, the share of each state, the mean over tokens and heads.
        public internal(set) var shares: [[Double]] = []
    }

    /// Reads a text in blocks, after each of which the model writes its states; what follows the last full block is left
    /// out.
    /// - Parameter block: tokens of a block.
    /// - Throws: `InputError` where the model has no states, or the text no full block.
    public init(_ model: some LanguageModel, _ text: [Int32], block: Int) throws {
        tokens = Array(stride(from: block, through: text.count, by: block))
        if tokens.isEmpty {
            throw InputError("states: expected a block of \(block) tokens at least, found \(text.count)")
        }
        var carries = [type(of: model).noCarry]
        for end in tokens {
            let recorder = AttentionRecorder()
            let row = TokenTensor(Array(text[end - block..<end]), shape: [1, block])
            carries = withoutGradients { model.logits(row, carries: carries, mode: .recording(recorder)).carries }
            let states = (carries[0] as? any RecurrentCarry)?.recurrentStates ?? []
            try append(states, recorder.layers.filter { $0.name.contains(": states") })
        }
        if written.isEmpty { throw InputError("states: the model has none; expected a block-recurrent transformer") }
    }

    private mutating func append(_ carried: [Tensor], _ read: [AttentionRecorder.Layer]) throws {
        for (index, states) in carried.enumerated() {
            if index == written.count { written.append([]) }
            written[index].append(try States(states.at(0, 0)))
        }
        for (index, layer) in read.enumerated() {
            if index == reads.count { reads.append(Read(name: layer.name)) }
            let count = Double(layer.weights.shape[1] * layer.weights.shape[2])
            reads[index].shares.append(layer.weights.sum(axes: [0, 1, 2]).values.map { Double($0) / count })
        }
    }
}

extension LanguageModel {
    fileprivate static var noCarry: Carry? { nil }
}
