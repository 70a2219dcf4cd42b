import CKernels
import Foundation
import Testing

typealias Binary =
    @Sendable (
        Int, Int, UnsafePointer<Float>?, Int, Int, UnsafePointer<Float>?, Int, Int, UnsafeMutablePointer<Float>?
    ) -> Void

struct BinaryCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let kernel: Binary
    let reference: @Sendable (Float, Float) -> Float
    /// Relative to the reference in float32; 0 where IEEE prescribes the result.
    let relative: Double

    init(
        _ name: String, _ kernel: @escaping Binary, relative: Double = 0,
        _ f: @escaping @Sendable (Float, Float) -> Float
    ) {
        testDescription = name
        self.kernel = kernel
        reference = f
        self.relative = relative
    }
}

private let binaryCases: [BinaryCase] = [
    .init("add", az_add) { $0 + $1 },
    .init("subtract", az_subtract) { $0 - $1 },
    .init("multiply", az_multiply) { $0 * $1 },
    .init("divide", az_divide) { $0 / $1 },
    .init("maximum", az_maximum) { $0.isNaN || $1.isNaN ? .nan : $0 > $1 ? $0 : $1 },
    .init("minimum", az_minimum) { $0.isNaN || $1.isNaN ? .nan : $0 < $1 ? $0 : $1 },
    // Two roundings of a product, or an ulp of the C library.
    .init("power", az_power, relative: 2.4e-7) { Float(pow(Double($0), Double($1))) },
    .init("equal", az_equal) { $0 == $1 ? 1 : 0 },
    .init("less", az_less) { $0 < $1 ? 1 : 0 },
    .init("less_equal", az_less_equal) { $0 <= $1 ? 1 : 0 },
]

/// The ways in which an argument can lie in memory: its strides for a block of `cols` columns.
enum Layout: CaseIterable {
    case dense, padded, row, column, scalar, stridedColumn

    func strides(cols: Int) -> (row: Int, col: Int) {
        switch self {
        case .dense: (cols, 1)
        case .padded: (cols + 3, 1)
        case .row: (0, 1)
        case .column: (1, 0)
        case .scalar: (0, 0)
        case .stridedColumn: (5, 0)
        }
    }
}

@Suite struct BinaryTests {
    @Test("Broadcast operands of any layout agree with float64", arguments: binaryCases)
    func broadcasting(_ binary: BinaryCase) {
        for (rows, cols) in [(1, 1), (3, 17), (17, 3), (40, 1), (1, 1000), (5, 64)] {
            let extent = rows * (cols + 5)
            // Halves, so that equal numbers meet.
            let a = values(extent, seed: 2).map { ($0 * 4).rounded() / 2 }
            let b = values(extent, seed: 3).map { ($0 * 4).rounded() / 2 }
            for (left, right) in Layout.allCases.flatMap({ a in Layout.allCases.map { (a, $0) } }) {
                let (p, q) = (left.strides(cols: cols), right.strides(cols: cols))
                let y = output(rows * cols) { binary.kernel(rows, cols, a, p.row, p.col, b, q.row, q.col, $0) }
                let expected = (0..<rows * cols).map { i in
                    let (r, c) = (i / cols, i % cols)
                    return binary.reference(a[r * p.row + c * p.col], b[r * q.row + c * q.col])
                }
                expectClose(y, expected.doubles, relative: binary.relative, "\(rows)x\(cols), \(left) and \(right)")
            }
        }
    }

    @Test("Infinities, zeros, and NaN follow IEEE 754", arguments: binaryCases)
    func specialValues(_ binary: BinaryCase) {
        let count = specials.count
        let y = output(count * count) { binary.kernel(count, count, specials, 1, 0, specials, 0, 1, $0) }
        let expected = specials.flatMap { a in specials.map { binary.reference(a, $0) } }
        expectClose(y, expected.doubles, relative: binary.relative, absolute: binary.relative * 1e-30)
    }

    @Test("Empty blocks write nothing")
    func emptyBlocks() {
        for binary in binaryCases {
            let y = output(0) { binary.kernel(0, 3, [1], 3, 1, [1], 3, 1, $0) }
            #expect(y.isEmpty)
        }
    }

    @Test("Where chooses by a condition, NaN counting as true")
    func whereChooses() {
        for count in [1, 3, 17, 1000] {
            let condition = values(count).enumerated().map {
                $0.offset % 3 == 0 ? 0 : $0.offset % 7 == 0 ? .nan : $0.element
            }
            let (a, b) = (Array((values(count) + specials).suffix(count)), values(count, seed: 5))
            let y = output(count) { az_where(count, condition, a, b, $0) }
            expectSame(y, (0..<count).map { condition[$0] != 0 ? a[$0] : b[$0] })
        }
    }
}
