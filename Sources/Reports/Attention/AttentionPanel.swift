import Tensors

/// The weights of one head as they are drawn: averaged over areas where there are more of them than dots.
struct AttentionPanel {
    let rows: Int, columns: Int
    private let values: [Float]
    /// Dots a value: a whole number, so that each is as large as the next.
    private let dotsAcross: Int, dotsDown: Int

    var width: Int { columns * dotsAcross }
    var height: Int { rows * dotsDown }

    /// - Parameters:
    ///   - weights: [n, m], of at least one element.
    ///   - size: of the picture in dots, at most; at least half of it is used.
    init(_ weights: Tensor, size: Int) {
        let (n, m) = (weights.shape[0], weights.shape[1])
        let (rows, columns) = (min(n, size), min(m, size))
        values = withoutGradients {
            let across = columns < m ? matrixProduct(weights, Self.averages(m, columns), transposeB: true) : weights
            return (rows < n ? matrixProduct(Self.averages(n, rows), across) : across).values
        }
        (self.rows, self.columns) = (rows, columns)
        (dotsAcross, dotsDown) = (size / columns, size / rows)
    }

    /// The matrix that takes means of equal stretches of n numbers, which may end between two: [count, n].
    static func averages(_ n: Int, _ count: Int) -> Tensor {
        let matrix = Tensor.zeros([count, n])
        let (target, length) = (matrix.mutablePointer, Double(n) / Double(count))
        for row in 0..<count {
            let (start, end) = (Double(row) * length, Double(row + 1) * length)
            for column in Int(start)..<min(Int(end.rounded(.up)), n) {
                let share = min(end, Double(column + 1)) - max(start, Double(column))
                target[row * n + column] = Float(max(share, 0) / length)
            }
        }
        return matrix
    }

    /// The least and the greatest value that is drawn; nil where none is finite.
    var range: ClosedRange<Float>? {
        let finite = values.lazy.filter(\.isFinite)
        guard let least = finite.min(), let greatest = finite.max() else { return nil }
        return least...greatest
    }

    /// Draws it with the top left at (x, y), the range from end to end of the colors.
    func draw(on raster: inout Raster, x: Int, y: Int, range: ClosedRange<Float>?, _ colors: ColorMap) {
        let least = Double(range?.lowerBound ?? 0)
        let span = Double(range?.upperBound ?? 0) - least
        for row in 0..<rows {
            let down = y + row * dotsDown..<y + (row + 1) * dotsDown
            for column in 0..<columns {
                let value = Double(values[row * columns + column])
                // All the same is the least, as where there is nothing to see.
                let color = colors(span > 0 ? (value - least) / span : value.isFinite ? 0 : .nan)
                raster.fill(x: x + column * dotsAcross..<x + (column + 1) * dotsAcross, y: down, color)
            }
        }
    }
}
