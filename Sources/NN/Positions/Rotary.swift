import Foundation
import Tensors

/// The columns that rotary positions turn together.
public enum RotaryPairs: Sendable {
    /// Columns 2j and 2j + 1 (RoFormer, 2104.09864, equation 34).
    case interleaved
    /// Columns j and j + d/2, as GPT-NeoX has them.
    case halves
}

/// Rotary positions (RoFormer, 2104.09864): pairs of the first d columns of queries and keys are turned by angles that grow
/// with the position, so that scores go by distance. With xpos (2212.10554) they also decay with it.
///
/// Key: inv_freq [d / 2], or another name; 10000^(−2i/d) (buffer).
public struct Rotary: Module {
    /// The precision of angles.
    public enum Angles: Sendable {
        /// Computed in float64 and less whole turns: far positions are as exact as near ones.
        case reduced
        /// Products of float32, as most packages compute them.
        case single
    }

    /// The angle of each pair by which a position differs from the one before: [d / 2]
    public let frequencies: Parameter
    /// The columns that are rotated together.
    public let pairs: RotaryPairs
    /// The precision of the angles.
    public let angles: Angles
    /// xpos: every so many tokens, scores are decayed once; nil for none.
    public let scaleBase: Double?
    /// d, the columns that are turned.
    public var dimension: Int { 2 * frequencies.count }
    private let name: String
    private let cache = RotaryCache()

    /// Computes the frequencies.
    /// - Parameters:
    ///   - dimension: d, even.
    ///   - name: the key of the frequencies in state dicts.
    public init(
        _ dimension: Int, pairs: RotaryPairs = .halves, angles: Angles = .reduced, scaleBase: Double? = nil,
        name: String = "inv_freq"
    ) {
        require(dimension % 2 == 0, "Rotary: dimension \(dimension), expected an even number")
        frequencies = Parameter(Tensor(inverseFrequencies(dimension)), .computed)
        (self.pairs, self.angles, self.scaleBase, self.name) = (pairs, angles, scaleBase, name)
    }

    public func collect(into state: inout StateCollector) { state.add(name, frequencies) }

    // MARK: Tables

    /// Returns the rotation of rows at some positions.
    /// - Parameters:
    ///   - window: with xpos, distances within windows of so many tokens are part of the rotation, those between windows
    ///     are `windowFactors`: numbers stay near 1 however long the sequence is.
    ///   - decay: with xpos, 1 for queries, −1 for keys.
    ///   - isKept: keeps the table of consecutive positions for the next call, as layers of a forward pass want it;
    ///     decoding, whose memory must not grow with the text, does not.
    public func table(
        _ positions: [Int], window: Int = 1, decay: Double = 1, isKept: Bool = false
    ) -> RotaryTable {
        func make() -> RotaryTable { makeTable(positions, window: window, decay: decay) }
        let first = positions.first ?? 0
        guard isKept, positions.count > 1, positions.enumerated().allSatisfy({ $1 == first + $0 }) else {
            return make()
        }
        return cache.table(first..<first + positions.count, window: window, decay: decay, make)
    }

    private func makeTable(_ positions: [Int], window: Int, decay: Double) -> RotaryTable {
        withoutGradients {
            let turns = angles(of: positions)  // [n, d / 2]
            guard let scaleBase else { return RotaryTable(cosines: cos(turns), sines: sin(turns), pairs: pairs) }
            let half = frequencies.count
            let places = positions.map { Double($0 % window) - Double(window) / 2 }
            let scales = Tensor(
                places.flatMap { place in (0..<half).map { Float(scale($0, decay * place / scaleBase)) } },
                shape: [positions.count, half])
            return RotaryTable(cosines: cos(turns) * scales, sines: sin(turns) * scales, pairs: pairs)
        }
    }

    /// Computes position · frequency: [n, d / 2].
    private func angles(of positions: [Int]) -> Tensor {
        let (half, n) = (frequencies.count, positions.count)
        switch angles {
        case .single: return Tensor(positions.map(Float.init)).reshaped([n, 1]) * frequencies.value
        case .reduced:
            let rates = frequencies.value.values.map(Double.init)
            let result = Tensor(uninitialized: [n, half])
            let target = result.mutablePointer
            for (row, position) in positions.enumerated() {
                for (column, rate) in rates.enumerated() {
                    let turns = Double(position) * rate / (2 * .pi)
                    target[row * half + column] = Float((turns - turns.rounded()) * 2 * .pi)
                }
            }
            return result
        }
    }

    /// Computes the decay between a query and keys of windows that lie `distances` windows before its own: [distances, d].
    /// Nil without xpos.
    public func windowFactors(_ distances: [Int], window: Int) -> Tensor? {
        guard let scaleBase else { return nil }
        let half = frequencies.count
        return Tensor(
            distances.flatMap { distance in
                (0..<2 * half).map { Float(scale($0 % half, Double(distance * window) / scaleBase)) }
            }, shape: [distances.count, 2 * half])
    }

    /// Computes ((2j + 0.4 d) / 1.4 d)^power.
    private func scale(_ column: Int, _ power: Double) -> Double {
        let d = Double(dimension)
        return Foundation.pow((2 * Double(column) + 0.4 * d) / (1.4 * d), power)
    }
}

/// The last tables of consecutive positions: layers and training steps ask for the same ones.
private final class RotaryCache: Sendable {
    private struct Entry: Sendable {
        let positions: Range<Int>
        let window: Int
        let decay: Double
        let table: RotaryTable
    }
    private let entries = Guarded<[Entry]>([])
    /// Tables that are kept, those of queries and of keys in training and in evaluation.
    private static let most = 4
    /// Cosines that a table that is kept has at most.
    private static let largest = 1 << 21

    /// Returns the table of some positions, which may be part of a kept one, or makes it.
    func table(_ positions: Range<Int>, window: Int, decay: Double, _ make: () -> RotaryTable) -> RotaryTable {
        let found = entries.withLock { entries in
            entries.first {
                $0.window == window && $0.decay == decay && $0.positions.lowerBound <= positions.lowerBound
                    && positions.upperBound <= $0.positions.upperBound
            }
        }
        if let found {
            let first = positions.lowerBound - found.positions.lowerBound
            return positions == found.positions ? found.table : found.table.rows(first..<first + positions.count)
        }
        let table = make()
        guard table.cosines.count <= Self.largest, !Outline.isActive else { return table }
        entries.withLock { entries in
            entries.removeAll {
                $0.window == window && $0.decay == decay && positions.lowerBound <= $0.positions.lowerBound
                    && $0.positions.upperBound <= positions.upperBound
            }
            if entries.count == Self.most { entries.removeFirst() }
            entries.append(Entry(positions: positions, window: window, decay: decay, table: table))
        }
        return table
    }
}
