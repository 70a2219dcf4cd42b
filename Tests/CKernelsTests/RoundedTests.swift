import CKernels
import Testing

/// A matrix as kernels take it, and the floats that it stands for.
private struct Rounded {
    /// Rows of floats hold whole groups.
    enum Format: CaseIterable { case float, bfloat16, int8 }

    let format: Format
    let cols: Int
    let stride: Int
    var halves: [UInt16] = []
    var bytes: [Int8] = []
    var scales: [Float] = []
    let floats: [Float]
    private var groups: Int { stride / Int(AZ_ROUNDED_GROUP) }

    /// Some bits of weights, zeros behind each row.
    init(_ format: Format, rows: Int, cols: Int) {
        let group = Int(AZ_ROUNDED_GROUP)
        (self.format, self.cols, stride) = (format, cols, (cols + group - 1) / group * group)
        var stream = TestStream(UInt64(rows * 1000 + cols))
        var floats: [Float] = []
        halves = [UInt16](repeating: 0, count: rows * stride)
        bytes = [Int8](repeating: 0, count: rows * stride)
        scales = (0..<rows * (stride / group)).map { 0.01 + 0.001 * Float($0 % 7) }
        for row in 0..<rows {
            for col in 0..<cols {
                switch format {
                case .float: floats.append(stream.value())
                case .bfloat16:
                    let half = UInt16(stream.value().bitPattern >> 16)
                    halves[row * stride + col] = half
                    floats.append(Float(bitPattern: UInt32(half) << 16))
                case .int8:
                    let byte = Int8(truncatingIfNeeded: stream.word())
                    bytes[row * stride + col] = byte
                    floats.append(scales[row * (stride / group) + col / group] * Float(byte))
                }
            }
        }
        self.floats = floats
    }

    /// The greatest part of an error that comes from taking a lone row of floats as whole multiples of its greatest size / 0x7f0000:
    /// half of one, and two roundings of the float itself.
    func digitError(rows: Int, _ alpha: Float, row output: Int, _ x: [Float], _ start: Int) -> Double {
        guard format == .int8 && rows == 1 else { return 0 }
        let inputs = x[start..<start + cols].map { Double(abs($0)) }
        let unit = inputs.max()! / Double(0x7f0000)
        let errors = inputs.map { unit / 2 + 0x1p-23 * $0 }
        return Double(abs(alpha))
            * zip(floats[output * cols..<(output + 1) * cols], errors).reduce(0) { $0 + Double(abs($1.0)) * $1.1 }
    }

    /// alpha x Wᵀ + beta y with rows `first ..< first + outputs` of the matrix.
    func product(
        rows: Int, from first: Int = 0, outputs: Int, alpha: Float, _ x: [Float], xRow: Int, beta: Float,
        _ y: UnsafeMutablePointer<Float>, yRow: Int
    ) {
        // What follows the scratch must be left alone.
        let size = max(2, min(rows, 8)) * stride
        let scratch = output(size) { scratch in
            switch format {
            case .float:
                floats.withUnsafeBufferPointer {
                    az_float_product(
                        rows, outputs, cols, alpha, $0.baseAddress! + first * stride, stride, x, xRow, beta, y, yRow,
                        scratch)
                }
            case .bfloat16:
                halves.withUnsafeBufferPointer {
                    az_bfloat16_product(
                        rows, outputs, cols, alpha, $0.baseAddress! + first * stride, stride, x, xRow, beta, y, yRow,
                        scratch)
                }
            case .int8:
                bytes.withUnsafeBufferPointer { bytes in
                    scales.withUnsafeBufferPointer {
                        az_int8_product(
                            rows, outputs, cols, alpha, bytes.baseAddress! + first * stride, stride,
                            $0.baseAddress! + first * groups, groups, x, xRow, beta, y, yRow, scratch)
                    }
                }
            }
        }
        #expect(scratch.count == size)
    }
}

@Suite struct RoundedTests {
    // MARK: Rounding

    @Test("Rounding to bfloat16 takes the nearest, ties to even")
    func bfloat16TakesTheNearest() {
        var x = specials + values(1000, seed: 4, scale: 100)
        // Ties, what lies beside them, denormals, and where infinity begins.
        for bits in [
            0x3f80_8000, 0x3f81_8000, 0x3f80_7fff, 0x3f80_8001, 0x0000_8000, 0x0001_8000, 0x0000_7fff,
            0x7f7f_7fff, 0x7f7f_8000, 0x7f80_0001, 0x7fff_ffff,
        ] as [UInt32] {
            x += [Float(bitPattern: bits), Float(bitPattern: bits | 0x8000_0000)]
        }
        let rounded = [UInt16](unsafeUninitializedCapacity: x.count) { buffer, count in
            az_float_to_bfloat16(x.count, x, buffer.baseAddress!)
            count = x.count
        }
        for (value, half) in zip(x, rounded) {
            let result = Float(bitPattern: UInt32(half) << 16)
            if value.isNaN {
                #expect(result.isNaN, "\(value)")
                continue
            }
            let below = value.bitPattern >> 16
            /// A neighbor's size, one beyond the greatest number being what infinity would be.
            func size(_ bits: UInt32) -> Double {
                let magnitude = bits & 0x7fff
                return magnitude == 0x7f80 ? 0x1p128 : Double(Float(bitPattern: magnitude << 16))
            }
            let (down, up) = (size(below), size(below + 1))
            let exact = min(abs(Double(value)), 0x1p128)
            let takesUp =
                value.isFinite && (up - exact < exact - down || (up - exact == exact - down && below & 1 == 1))
            #expect(half == UInt16(takesUp ? below + 1 : below), "\(value)")
        }
    }

    @Test("Rounding to int8 takes the nearest multiple of its group's scale", arguments: [1, 63, 64, 65, 200])
    func int8TakesTheNearestOfItsGroup(_ cols: Int) {
        let (rows, group) = (3, Int(AZ_ROUNDED_GROUP))
        let groups = (cols + group - 1) / group
        let stride = groups * group
        var x = values(rows * cols, seed: 5)
        for col in 0..<min(cols, group) { x[col] = 0 }  // a group of zeros
        for col in 0..<min(cols, group) { x[cols + col] = 0x1p-130 * Float(col) }  // numbers that are not normal
        if cols > 4 { (x[2 * cols], x[2 * cols + 1], x[2 * cols + 2], x[2 * cols + 3]) = (127, 0.5, 1.5, -2.5) }
        if cols > 4 { for col in 4..<min(cols, group) { x[2 * cols + col] = -Float(col) } }
        var scales = [Float](repeating: .nan, count: rows * groups)
        var bytes = [Int8](repeating: 99, count: rows * stride)
        az_float_to_int8(rows, cols, x, &bytes, stride, &scales, groups)
        for row in 0..<rows {
            for first in Swift.stride(from: 0, to: cols, by: group) {
                let columns = first..<min(cols, first + group)
                let greatest = columns.map { abs(x[row * cols + $0]) }.max()!
                let scale = greatest / 127 < .leastNormalMagnitude ? 0 : greatest / 127
                #expect(scales[row * groups + first / group] == scale)
                for col in columns {
                    let expected = scale == 0 ? 0 : (x[row * cols + col] / scale).rounded(.toNearestOrEven)
                    #expect(Float(bytes[row * stride + col]) == expected, "row \(row), column \(col)")
                }
            }
            // Behind the last column nothing is written.
            #expect(bytes[row * stride + cols..<(row + 1) * stride].allSatisfy { $0 == 99 })
        }
        // One scale is 127 / 127: halves go to the even neighbor.
        if cols > 4 { #expect(Array(bytes[2 * stride..<2 * stride + 4]) == [127, 0, 2, -2]) }
        let back = output(rows * cols) { az_int8_to_float(rows, cols, bytes, stride, scales, groups, $0, cols) }
        for row in 0..<rows {
            for col in 0..<cols {
                let scale = scales[row * groups + col / group]
                #expect(back[row * cols + col] == scale * Float(bytes[row * stride + col]))
            }
        }
    }

    // MARK: Products

    static let columns = [1, 7, 63, 64, 65, 128, 200]

    /// Every number of rows that a tile takes, and more; odd and even numbers of outputs.
    @Test("Products with rounded weights agree with plain loops", arguments: Rounded.Format.allCases, columns)
    private func productEqualsPlainLoops(_ format: Rounded.Format, _ cols: Int) {
        if format == .float && cols % Int(AZ_ROUNDED_GROUP) != 0 { return }
        for rows in [1, 2, 3, 4, 5, 6, 7, 8, 9, 19] {
            for outputs in [1, 2, 5] {
                let matrix = Rounded(format, rows: outputs, cols: cols)
                let (xRow, yRow) = (cols + 3, outputs + 2)
                let inside = values(rows * cols, seed: 2)
                // NaN between the rows, which nothing may read.
                let x = (0..<rows).flatMap { inside[$0 * cols..<($0 + 1) * cols] + [.nan, .nan, .nan] }
                let before = values(rows * yRow, seed: 3)
                for (alpha, beta) in [(1, 0), (1, 1), (-0.5, 0.75)] as [(Float, Float)] {
                    let start = beta == 0 ? [Float](repeating: .nan, count: rows * yRow) : before
                    let y = output(rows * yRow, initially: start) {
                        matrix.product(
                            rows: rows, outputs: outputs, alpha: alpha, x, xRow: xRow, beta: beta, $0, yRow: yRow)
                    }
                    for (r, o) in (0..<rows).flatMap({ r in (0..<yRow).map { (r, $0) } }) {
                        guard o < outputs else {
                            #expect(y[r * yRow + o].bitPattern == start[r * yRow + o].bitPattern)
                            continue
                        }
                        let terms = (0..<cols).map { Double(matrix.floats[o * cols + $0]) * Double(x[r * xRow + $0]) }
                        let old = beta == 0 ? 0 : Double(beta) * Double(before[r * yRow + o])
                        let expected = Double(alpha) * terms.reduce(0, +) + old
                        // Each of at most cols additions, and of the factors scale, alpha, beta and the last sum, rounds by
                        // 2⁻²⁴ of what the sizes add up to, in any order of the sum.
                        let size = abs(Double(alpha)) * terms.reduce(0) { $0 + abs($1) } + abs(old)
                        let bound =
                            Double(cols + 4) * 0x1p-24 * size
                            + matrix.digitError(rows: rows, alpha, row: o, x, r * xRow)
                        #expect(
                            abs(Double(y[r * yRow + o]) - expected) <= bound,
                            "rows \(rows), outputs \(outputs), alpha \(alpha): row \(r), output \(o)")
                    }
                }
            }
        }
    }

    /// Rows with and without numbers of 24 bits, and numbers at the ends of the digits.
    @Test(
        "A lone row of any size agrees with plain loops",
        arguments: [0, 0x1p-100, 0x1p-61, 0x1p-60, 1, 0x1p60, 0x1p61, 0x1p90] as [Float])
    private func sizesOfALoneRow(_ size: Float) {
        let (cols, outputs) = (150, 6)
        let matrix = Rounded(.int8, rows: outputs, cols: cols)
        var x = values(cols, seed: 6).map { $0 * size / 4 }
        // Whole numbers on both sides of where a digit changes, in units of the greatest / 0x7f0000.
        for (place, number) in [0x7f0000, -0x7f0000, 127, 128, 129, -128, -129, 32639, 32640, 32641, -32640, -32641]
            .enumerated()
        {
            x[place] = Float(number) / Float(0x7f0000) * size
        }
        let y = output(outputs) {
            matrix.product(rows: 1, outputs: outputs, alpha: 1, x, xRow: cols, beta: 0, $0, yRow: outputs)
        }
        for output in 0..<outputs {
            let terms = (0..<cols).map { Double(matrix.floats[output * cols + $0]) * Double(x[$0]) }
            let bound =
                Double(cols + 4) * 0x1p-24 * terms.reduce(0) { $0 + abs($1) }
                + matrix.digitError(rows: 1, 1, row: output, x, 0)
            #expect(abs(Double(y[output]) - terms.reduce(0, +)) <= bound, "output \(output)")
        }
    }

    /// So not on how threads share them.
    @Test("A row's bits do not depend on the outputs computed with it", arguments: Rounded.Format.allCases)
    private func eachOutputIsOnItsOwn(_ format: Rounded.Format) {
        let (outputs, cols) = (7, format == .float ? 192 : 200)
        let matrix = Rounded(format, rows: outputs, cols: cols)
        for rows in [1, 2, 3, 5, 8] {
            let x = values(rows * cols, seed: 2)
            func product(_ first: Int, _ count: Int) -> [Float] {
                output(rows * count) {
                    matrix.product(
                        rows: rows, from: first, outputs: count, alpha: 1, x, xRow: cols, beta: 0, $0, yRow: count)
                }
            }
            let whole = product(0, outputs)
            for first in 0..<outputs {
                for count in 1...outputs - first {
                    let part = product(first, count)
                    for row in 0..<rows {
                        expectSame(
                            Array(part[row * count..<(row + 1) * count]),
                            Array(whole[row * outputs + first..<row * outputs + first + count]))
                    }
                }
            }
        }
    }

    @Test("NaN and infinity stay in their row of inputs", arguments: Rounded.Format.allCases)
    private func specialValues(_ format: Rounded.Format) {
        let (rows, outputs, cols) = (5, 2, format == .float ? 128 : 70)
        let matrix = Rounded(format, rows: outputs, cols: cols)
        for special in [Float.nan, .infinity] {
            var x = values(cols, seed: 2)
            x[69] = special
            let y = output(outputs) {
                matrix.product(rows: 1, outputs: outputs, alpha: 1, x, xRow: cols, beta: 0, $0, yRow: outputs)
            }
            #expect(y.allSatisfy { special.isNaN ? $0.isNaN : $0.isInfinite })
        }
        var x = values(rows * cols, seed: 2)
        (x[cols + 69], x[3 * cols]) = (.nan, .infinity)
        let y = output(rows * outputs) {
            matrix.product(rows: rows, outputs: outputs, alpha: 1, x, xRow: cols, beta: 0, $0, yRow: outputs)
        }
        for (place, value) in y.enumerated() {
            switch place / outputs {
            case 1: #expect(value.isNaN)
            case 3: #expect(value.isInfinite)
            default: #expect(value.isFinite)
            }
        }
    }
}
