import CKernels
import Foundation
import Tensors

/// Rotary positions (RoFormer, 2104.09864) on pairs of column j and column j + d/2, with xpos's decay by distance
/// (2212.10554) if wanted.
///
/// Key: inv_freq [d / 2], 10000^(−2i/d) (buffer).
public struct RotaryHalves: Module {
    public let inverseFrequencies: Parameter
    /// xpos: every so many tokens, scores are decayed once; nil for none.
    public let scaleBase: Double?
    /// d
    public var dimension: Int { 2 * inverseFrequencies.count }

    /// - Parameter dimension: d, even.
    public init(_ dimension: Int, scaleBase: Double? = nil) {
        require(dimension % 2 == 0, "RotaryHalves: dimension \(dimension), expected an even number")
        inverseFrequencies = Parameter(Tensor(NN.inverseFrequencies(dimension)), .computed)
        self.scaleBase = scaleBase
    }

    public func collect(into state: inout StateCollector) { state.add("inv_freq", inverseFrequencies) }

    /// The rotation of rows at these positions. Angles are computed in float64, so that far positions are as exact as near
    /// ones.
    ///
    /// - Parameters:
    ///   - window: with xpos, distances within windows of so many tokens are part of the rotation, those between windows
    ///     are `windowFactors`: numbers stay near 1 however long the sequence is.
    ///   - decay: 1 for queries, −1 for keys.
    public func table(_ positions: [Int], window: Int = 1, decay: Double = 1) -> HalvesTable {
        let (half, n) = (inverseFrequencies.count, positions.count)
        let frequencies = inverseFrequencies.value.values.map(Double.init)
        let angles = Tensor(uninitialized: [n, half])
        let target = angles.mutablePointer
        for (row, position) in positions.enumerated() {
            for (column, frequency) in frequencies.enumerated() {
                let turns = Double(position) * frequency / (2 * .pi)
                target[row * half + column] = Float((turns - turns.rounded()) * 2 * .pi)
            }
        }
        let (cosines, sines) = withoutGradients { (cos(angles), sin(angles)) }
        guard let scaleBase else { return HalvesTable(cosines: cosines, sines: sines) }
        let places = positions.map { Double($0 % window) - Double(window) / 2 }
        let scales = Tensor(
            places.flatMap { place in (0..<half).map { Float(scale($0, decay * place / scaleBase)) } },
            shape: [n, half])
        return withoutGradients { HalvesTable(cosines: cosines * scales, sines: sines * scales) }
    }

    /// The decay between a query and keys of windows that lie `distances` windows before its own: [distances, d]. Nil
    /// without xpos.
    public func windowFactors(_ distances: [Int], window: Int) -> Tensor? {
        guard let scaleBase else { return nil }
        let half = inverseFrequencies.count
        return Tensor(
            distances.flatMap { distance in
                (0..<2 * half).map { Float(scale($0 % half, Double(distance * window) / scaleBase)) }
            }, shape: [distances.count, 2 * half])
    }

    /// ((2j + 0.4 d) / 1.4 d)^power
    private func scale(_ column: Int, _ power: Double) -> Double {
        let d = Double(dimension)
        return Foundation.pow((2 * Double(column) + 0.4 * d) / (1.4 * d), power)
    }
}

/// Cosines and sines (times a decay) of rows, [n, d / 2] each.
public struct HalvesTable: Sendable {
    let cosines: Tensor, sines: Tensor

    /// Rotates x [b, n, h, d], or [b, h, n, d] with `headsFirst`, token i by row i.
    public func rotate(_ x: Tensor, headsFirst: Bool = false) -> Tensor {
        let n = x.shape[headsFirst ? 2 : 1]
        require(
            x.rank == 4 && cosines.shape == [n, x.shape[3] / 2],
            "rotate: x \(x.shape) by a table \(cosines.shape), \(headsFirst ? "heads" : "tokens") first")
        return turned(x, headsFirst, sign: 1)
    }

    /// The rotation of some of the rows.
    public func rows(_ rows: Range<Int>) -> HalvesTable {
        HalvesTable(
            cosines: cosines.sliced(0, from: rows.lowerBound, to: rows.upperBound),
            sines: sines.sliced(0, from: rows.lowerBound, to: rows.upperBound))
    }

    /// Rotates all of several heads' rows by one row of the table, in place. x: [heads, d], dense.
    public func rotate(row: Int, heads: Int, _ x: UnsafeMutablePointer<Float>) {
        let half = cosines.shape[1]
        require(row >= 0 && row < cosines.shape[0], "rotate: row \(row) of a table \(cosines.shape)")
        let (cosine, sine) = (cosines.pointer + row * half, sines.pointer + row * half)
        for head in 0..<heads {
            az_rotate_halves(1, 2 * half, 1, cosine, sine, x + head * 2 * half, 2 * half, x + head * 2 * half, 2 * half)
        }
    }

    private func turned(_ x: Tensor, _ headsFirst: Bool, sign: Float) -> Tensor {
        let result = Tensor(uninitialized: x.shape)
        let (source, target) = (HeadRows(x, headsFirst: headsFirst), HeadRows(result, headsFirst: headsFirst))
        let (h, n, d) = headsFirst ? (x.shape[1], x.shape[2], x.shape[3]) : (x.shape[2], x.shape[1], x.shape[3])
        let panel = 256
        let panels = (n + panel - 1) / panel
        parallelFor(x.shape[0] * panels) { index in
            let (batch, first) = (index / panels, index % panels * panel)
            for head in 0..<h {
                az_rotate_halves(
                    min(panel, n - first), d, sign, cosines.pointer + first * (d / 2), sines.pointer + first * (d / 2),
                    source.row(batch, head, first), source.stride, target.target(batch, head, first), target.stride)
            }
        }
        return .record("rotate", result, (x, { turned($0, headsFirst, sign: -sign) }))
    }
}
