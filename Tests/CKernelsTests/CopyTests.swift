import CKernels
import Testing

/// A strided view of a buffer: element (r, c) is at start + r * row + c * col.
private struct View: CustomStringConvertible {
    let start, row, col, extent: Int
    let description: String

    static func all(_ rows: Int, _ cols: Int) -> [View] {
        [
            .init("dense", cols, 1, rows, cols), .init("transposed", 1, rows, rows, cols),
            .init("padded", cols + 3, 1, rows, cols), .init("padded transposed", 1, rows + 2, rows, cols),
            .init("stepped", 2 * cols, 2, rows, cols), .init("stepped transposed", 3, 3 * rows, rows, cols),
            .init("rows reversed", -cols, 1, rows, cols), .init("columns reversed", cols, -1, rows, cols),
        ]
    }

    static func broadcast(_ rows: Int, _ cols: Int) -> [View] {
        [.init("row", 0, 1, rows, cols), .init("column", 1, 0, rows, cols), .init("scalar", 0, 0, rows, cols)]
    }

    private init(_ name: String, _ row: Int, _ col: Int, _ rows: Int, _ cols: Int) {
        (self.row, self.col) = (row, col)
        start = max(0, -row * (rows - 1)) + max(0, -col * (cols - 1))
        extent = start + max(0, row * (rows - 1)) + max(0, col * (cols - 1)) + 1
        description = name
    }

    func index(_ r: Int, _ c: Int) -> Int { start + r * row + c * col }
}

@Suite struct CopyTests {
    static let sizes = [(1, 1), (3, 17), (17, 3), (16, 16), (33, 50), (64, 1), (1, 64), (48, 32)]

    @Test("Any view is copied into any other", arguments: sizes)
    func copies(_ rows: Int, _ cols: Int) {
        for from in View.all(rows, cols) + View.broadcast(rows, cols) {
            for to in View.all(rows, cols) {
                let x = values(from.extent)
                let old = values(to.extent, seed: 5)
                var expected = old
                for r in 0..<rows { for c in 0..<cols { expected[to.index(r, c)] = x[from.index(r, c)] } }
                let y = output(to.extent, initially: old) { y in
                    x.withUnsafeBufferPointer {
                        az_copy_2d(
                            rows, cols, $0.baseAddress! + from.start, from.row, from.col, y + to.start, to.row, to.col)
                    }
                }
                expectSame(y, expected, "\(rows)x\(cols) \(from) to \(to)")
            }
        }
    }

    @Test("Any view is added into any other, broadcast ones summing", arguments: sizes)
    func additions(_ rows: Int, _ cols: Int) {
        for from in View.all(rows, cols) + View.broadcast(rows, cols) {
            for to in View.all(rows, cols) + View.broadcast(rows, cols) {
                // Whole numbers: sums are exact in any order.
                let x = values(from.extent).map { ($0 * 100).rounded() }
                let old = values(to.extent, seed: 5).map { ($0 * 100).rounded() }
                var expected = old
                for r in 0..<rows { for c in 0..<cols { expected[to.index(r, c)] += x[from.index(r, c)] } }
                let y = output(to.extent, initially: old) { y in
                    x.withUnsafeBufferPointer {
                        az_add_2d(
                            rows, cols, $0.baseAddress! + from.start, from.row, from.col, y + to.start, to.row, to.col)
                    }
                }
                expectClose(y, expected.doubles, "\(rows)x\(cols) \(from) to \(to)")
            }
        }
    }

    @Test("Whole buffers are filled, scaled, and added")
    func wholeBuffers() {
        for count in [1, 3, 17, 1000] {
            let x = Array((values(count) + specials).suffix(count))
            let old = values(count, seed: 3)
            expectSame(output(count) { az_fill(count, 2.5, $0) }, [Float](repeating: 2.5, count: count), "fill")
            expectSame(output(count) { az_scale(count, -1.5, x, $0) }, x.map { -1.5 * $0 }, "scale")
            expectSame(output(count, initially: x) { az_scale(count, 3, $0, $0) }, x.map { 3 * $0 }, "scale in place")
            expectSame(output(count) { az_add_scalar(count, 0.25, x, $0) }, x.map { $0 + 0.25 }, "add_scalar")
            let mixed = output(count, initially: old) { az_scale_add(count, 1.5, x, -0.5, $0) }
            // One product may or may not be rounded before the sum.
            expectClose(mixed, zip(x.doubles, old.doubles).map { 1.5 * $0 - 0.5 * $1 }, relative: 6e-8, absolute: 3e-7)
            let written = output(count) { az_scale_add(count, 2, x, 0, $0) }
            expectSame(written, x.map { 2 * $0 }, "beta 0 reads no y, which is NaN here")
        }
    }
}
