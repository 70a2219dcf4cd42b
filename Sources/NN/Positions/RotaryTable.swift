import CKernels
import Tensors

/// The rotation of some positions: cosines and sines, times a decay with xpos, [n, d / 2] each.
public struct RotaryTable: Sendable {
    let cosines: Tensor, sines: Tensor
    let pairs: RotaryPairs
    /// d, the columns that are turned.
    private var dimension: Int { 2 * cosines.shape[1] }

    /// Turns the first d columns of each row, token i by row i of the table: of a pair (x, y) it makes
    /// (x cos − y sin, y cos + x sin).
    /// - Parameters:
    ///   - x: [b, n, c] or [b, n, h, c], c ≥ d; with `headsFirst` [b, h, n, c].
    /// - Returns: the shape of x.
    public func rotate(_ x: Tensor, headsFirst: Bool = false, implementation: Implementation = .fused) -> Tensor {
        let n = x.rank >= 3 ? x.shape[headsFirst ? 2 : 1] : -1
        require(
            (x.rank == 4 || x.rank == 3 && !headsFirst) && cosines.shape[0] == n && x.shape[x.rank - 1] >= dimension,
            "rotate: x \(x.shape) by a table \(cosines.shape), \(headsFirst ? "heads" : "tokens") first")
        switch implementation {
        case .plain: return plain(x, headsFirst: headsFirst)
        case .fused: return x.rank == 3 ? turned(x.unsqueezed(2)).squeezed(2) : turned(x, headsFirst: headsFirst)
        }
    }

    /// Returns the rotation of some of the rows.
    public func rows(_ rows: Range<Int>) -> RotaryTable {
        RotaryTable(
            cosines: cosines.sliced(0, from: rows.lowerBound, to: rows.upperBound),
            sines: sines.sliced(0, from: rows.lowerBound, to: rows.upperBound), pairs: pairs)
    }

    // MARK: Forms

    /// Computes `rotate` in tensor operations.
    private func plain(_ x: Tensor, headsFirst: Bool) -> Tensor {
        let d = dimension
        let (cosines, sines) =
            x.rank == 4 && !headsFirst
            ? (self.cosines.unsqueezed(1), self.sines.unsqueezed(1)) : (self.cosines, self.sines)
        let (low, high) =
            switch pairs {
            case .interleaved: (x.sliced(-1, to: d, by: 2), x.sliced(-1, from: 1, to: d, by: 2))
            case .halves: (x.sliced(-1, to: d / 2), x.sliced(-1, from: d / 2, to: d))
            }
        let turned = [low * cosines - high * sines, high * cosines + low * sines]
        let columns =
            switch pairs {
            case .interleaved: stack(turned, axis: x.rank).reshaped(x.shape.dropLast() + [d])
            case .halves: concatenate(turned, axis: -1)
            }
        return concatenate([columns, x.sliced(-1, from: d)], axis: -1)
    }

    /// Computes `rotate` as one operation; sign −1 turns back. x: [b, n, h, c] or [b, h, n, c].
    private func turned(_ x: Tensor, headsFirst: Bool = false, sign: Float = 1) -> Tensor {
        let result = Tensor(uninitialized: x.shape)
        let (source, target) = (HeadRows(x, headsFirst: headsFirst), HeadRows(result, headsFirst: headsFirst))
        let (h, n) = headsFirst ? (x.shape[1], x.shape[2]) : (x.shape[2], x.shape[1])
        let panel = 256
        let panels = (n + panel - 1) / panel
        parallelFor(x.shape[0] * panels) { index in
            let (batch, first) = (index / panels, index % panels * panel)
            for head in 0..<h {
                rotate(
                    rows: min(panel, n - first), from: first, sign: sign, width: x.shape[3],
                    source.row(batch, head, first), stride: source.stride,
                    into: target.target(batch, head, first), stride: target.stride)
            }
        }
        return .record("rotate", result, (x, { turned($0, headsFirst: headsFirst, sign: -sign) }))
    }

    // MARK: On memory

    /// Rotates dense rows in place, the first of them by row `first` of the table. x: [rows, width]
    /// - Parameter sign: −1 turns back, as gradients are.
    package func rotate(
        _ x: UnsafeMutablePointer<Float>, rows: Int, width: Int, from first: Int, sign: Float = 1
    ) {
        rotate(rows: rows, from: first, sign: sign, width: width, x, stride: width, into: x, stride: width)
    }

    /// Rotates the rows of some heads by one row of the table, in place. x: [heads, d]
    package func rotate(_ x: UnsafeMutablePointer<Float>, heads: Int, row: Int) {
        for head in 0..<heads { rotate(x + head * dimension, rows: 1, width: dimension, from: row) }
    }

    private func rotate(
        rows: Int, from first: Int, sign: Float, width: Int, _ x: UnsafePointer<Float>, stride: Int,
        into y: UnsafeMutablePointer<Float>, stride target: Int
    ) {
        let half = cosines.shape[1]
        require(
            first >= 0 && first + rows <= cosines.shape[0],
            "rotate: rows \(first)..<\(first + rows) of a table \(cosines.shape)")
        let kernel = pairs == .interleaved ? az_rotate_pairs : az_rotate_halves
        kernel(
            rows, width, 2 * half, sign, cosines.pointer + first * half, sines.pointer + first * half, x, stride, y,
            target)
    }
}
