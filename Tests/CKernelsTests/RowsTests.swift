import CKernels
import Foundation
import Testing

@Suite struct RowsTests {
    @Test("Rows are gathered and scattered", arguments: [(1, 1), (5, 3), (40, 17), (7, 1000)])
    func gatherAndScatter(_ n: Int, _ d: Int) {
        let rows = 6
        let table = values(rows * d)
        let indices = (0..<n).map { Int32(($0 * 5 + 2) % rows) }
        let gathered = output(n * d) { az_gather_rows(n, d, table, indices, $0) }
        expectSame(gathered, indices.flatMap { table[Int($0) * d..<(Int($0) + 1) * d] })
        // Whole numbers: sums are exact in any order.
        let x = values(n * d, seed: 4).map { ($0 * 100).rounded() }
        let start = table.map { ($0 * 100).rounded() }
        var expected = start
        for i in 0..<n { for j in 0..<d { expected[Int(indices[i]) * d + j] += x[i * d + j] } }
        expectSame(output(rows * d, initially: start) { az_scatter_add_rows(n, d, indices, x, $0) }, expected)
    }

    @Test("A bias is added, and its gradient is the sum of rows", arguments: [(1, 1), (3, 17), (100, 5), (130, 300)])
    func biasAndItsGradient(_ rows: Int, _ cols: Int) {
        let stride = cols + 3
        let panel = values(rows * stride).map { ($0 * 100).rounded() }
        let bias = values(cols, seed: 2).map { ($0 * 100).rounded() }
        let biased = output(panel.count, initially: panel) { az_add_bias(rows, cols, bias, $0, stride) }
        let expected = panel.enumerated().map { $0 % stride < cols ? $1 + bias[$0 % stride] : $1 }
        expectSame(biased, expected)
        let sums = output(cols, initially: bias) { az_sum_rows(rows, cols, panel, stride, $0) }
        expectSame(sums, (0..<cols).map { c in (0..<rows).reduce(bias[c]) { $0 + panel[$1 * stride + c] } })
    }

    // MARK: Gate

    static let gates: [(az_row_function, az_row_gradient_function)?] = [
        nil, (az_relu2_forward, az_relu2_backward), (az_gelu_forward, az_gelu_backward),
    ]

    /// The kernel is the functions' own results, multiplied: the same bits.
    @Test("A gate gives the bits of its function and product", arguments: [(1, 1), (3, 17), (5, 64)], gates.indices)
    func gate(_ size: (Int, Int), _ function: Int) {
        let ((rows, cols), gate) = (size, Self.gates[function])
        let (stride, dyStride) = (2 * cols + 3, cols + 1)
        let (z, dy) = (values(rows * stride), values(rows * dyStride, seed: 2))
        func rowsOf(_ x: [Float], _ stride: Int, from first: Int = 0) -> [Float] {
            (0..<rows).flatMap { x[$0 * stride + first..<$0 * stride + first + cols] }
        }
        let (a, g, d) = (rowsOf(z, stride), rowsOf(z, stride, from: cols), rowsOf(dy, dyStride))
        let value = gate.map { gate in output(rows * cols) { gate.0(rows * cols, g, $0) } } ?? g
        let product = zip(a, d).map(*)
        let dg = gate.map { gate in output(rows * cols) { gate.1(rows * cols, g, value, product, $0) } } ?? product
        z.withUnsafeBufferPointer { z in
            let gated = output(rows * dyStride) {
                az_gate_forward(rows, cols, gate?.0, z.baseAddress!, z.baseAddress! + cols, stride, $0, dyStride)
            }
            expectSame(rowsOf(gated, dyStride), zip(a, value).map(*))
            #expect((0..<gated.count).allSatisfy { $0 % dyStride < cols || gated[$0].isNaN })
        }
        var scratch = [Float](repeating: .nan, count: 2 * cols)
        // The gradients over a and g, y over dy; the gap of each stays as it was.
        var again: [Float] = []
        let dz = output(z.count, initially: z) { dz in
            again = output(dy.count, initially: dy) {
                az_gate_backward(
                    rows, cols, gate?.0, gate?.1, dz, dz + cols, stride, $0, dyStride, $0, dyStride, dz, dz + cols,
                    stride, &scratch)
            }
        }
        expectSame(rowsOf(dz, stride), zip(d, value).map(*), "da")
        expectSame(rowsOf(dz, stride, from: cols), dg, "dg")
        expectSame(rowsOf(again, dyStride), zip(a, value).map(*), "y")
        #expect(dz.indices.allSatisfy { $0 % stride < 2 * cols || dz[$0] == z[$0] })
        #expect(again.indices.allSatisfy { $0 % dyStride < cols || again[$0] == dy[$0] })
        // Apart from their arguments, and without y.
        let apart = output(rows * 2 * cols) { dz in
            z.withUnsafeBufferPointer {
                az_gate_backward(
                    rows, cols, gate?.0, gate?.1, $0.baseAddress!, $0.baseAddress! + cols, stride, dy, dyStride, nil, 0,
                    dz, dz + cols, 2 * cols, &scratch)
            }
        }
        expectSame(rowsOf(apart, 2 * cols), rowsOf(dz, stride), "da apart")
        expectSame(rowsOf(apart, 2 * cols, from: cols), rowsOf(dz, stride, from: cols), "dg apart")
    }

    // MARK: Rotation

    @Test(
        "Rotations by interleaved pairs agree with float64, both ways",
        arguments: [(1, 2, 2), (3, 17, 16), (5, 40, 12), (2, 7, 0)])
    func rotations(_ rows: Int, _ d: Int, _ rotated: Int) {
        let (stride, half) = (d + 3, rotated / 2)
        let x = values(rows * stride)
        let angles = values(rows * half, seed: 3).doubles
        let (cosines, sines) = (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
        for sign in [Float(1), -1] {
            var expected = [Double](repeating: .nan, count: rows * d)
            for i in expected.indices {
                let (r, c) = (i / d, i % d)
                let pair = r * half + min(c, max(rotated - 1, 0)) / 2
                let value = Double(x[r * stride + c])
                guard c < rotated else {
                    expected[i] = value
                    continue
                }
                let other = Double(x[r * stride + (c ^ 1)])
                let turn = Double(sign) * Double(sines[pair]) * (c % 2 == 0 ? -1 : 1)
                expected[i] = value * Double(cosines[pair]) + other * turn
            }
            let y = output(rows * d) { az_rotate_pairs(rows, d, rotated, sign, cosines, sines, x, stride, $0, d) }
            // Two products and a sum of numbers up to 2.
            expectClose(y, expected, absolute: 3e-7)
            let inPlace = output(x.count, initially: x) {
                az_rotate_pairs(rows, d, rotated, sign, cosines, sines, $0, stride, $0, stride)
            }
            expectSame((0..<rows).flatMap { inPlace[$0 * stride..<$0 * stride + d] }, y, "in place")
        }
    }

    // MARK: Convolution

    /// channels, length, kernel, stride, padding, dilation; outputs as in torch.nn.Conv1d, and some beyond the end.
    static let convolutions = [
        [1, 1, 1, 1, 0, 1], [2, 17, 3, 1, 1, 1], [3, 20, 4, 2, 3, 1], [1, 40, 3, 1, 4, 2], [2, 23, 5, 3, 0, 3],
        [2, 5, 7, 1, 6, 1], [1, 3, 2, 4, 5, 2],
    ]

    @Test("Unfolding takes the windows of a convolution, folding adds them back", arguments: convolutions)
    func unfoldAndFold(_ c: [Int]) {
        let (channels, length, kernel, stride, padding, dilation) = (c[0], c[1], c[2], c[3], c[4], c[5])
        let symmetric = max(1, (length + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1)
        for out in [symmetric, symmetric + 4] {
            let x = values(channels * length).map { ($0 * 100).rounded() }
            let count = channels * kernel * out
            /// The position in x that entry i of the columns stands for.
            func source(_ i: Int) -> Int? {
                let (row, o) = (i / out, i % out)
                let position = o * stride - padding + row % kernel * dilation
                return (0..<length).contains(position) ? row / kernel * length + position : nil
            }
            let columns = output(count) {
                az_unfold_1d(channels, length, kernel, stride, padding, dilation, out, x, $0)
            }
            expectSame(columns, (0..<count).map { source($0).map { x[$0] } ?? 0 }, "unfold")
            let gradient = values(count, seed: 8).map { ($0 * 100).rounded() }
            var expected = x
            for i in 0..<count { if let position = source(i) { expected[position] += gradient[i] } }
            let folded = output(x.count, initially: x) {
                az_fold_1d(channels, length, kernel, stride, padding, dilation, out, gradient, $0)
            }
            expectSame(folded, expected, "fold")
        }
    }
}
