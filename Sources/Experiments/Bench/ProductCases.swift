import Foundation
import Tensors

/// Matrix products, dense and batched, against three nested loops.
enum ProductCases {
    static var all: [KernelCase] {
        [
            product(64, 64, 64), product(256, 256, 128), product(1024, 512, 512),
            product(512, 512, 512, transposeB: true), product(512, 512, 512, transposeA: true),
            batched(16, m: 256, n: 256, k: 128), vector(2048, 512), fusedLinear(1024, 512, 1024),
        ]
    }

    private static func random(_ shape: [Int], _ seed: Int) -> Tensor {
        .normal(shape, key: RandomKey(seed: UInt64(seed)))
    }

    /// Element (i, j) of a matrix that may be read transposed.
    private static func loops(
        _ a: [Float], _ b: [Float], m: Int, n: Int, k: Int, transposeA: Bool = false, transposeB: Bool = true
    ) -> [Float] {
        var c = [Float](repeating: 0, count: m * n)
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                for i in 0..<m {
                    for j in 0..<n {
                        var sum: Float = 0
                        for p in 0..<k {
                            sum += a[transposeA ? p * m + i : i * k + p] * b[transposeB ? j * k + p : p * n + j]
                        }
                        c[i * n + j] = sum
                    }
                }
            }
        }
        return c
    }

    private static func product(
        _ m: Int, _ n: Int, _ k: Int, transposeA: Bool = false, transposeB: Bool = false
    ) -> KernelCase {
        let a = random(transposeA ? [k, m] : [m, k], 1)
        let b = random(transposeB ? [n, k] : [k, n], 2)
        let (x, y) = (a.values, b.values)
        return KernelCase(
            name: "product" + (transposeA ? " of transposed" : "") + (transposeB ? " with transposed" : ""),
            size: "\(m) x \(n) x \(k)", work: .operations(2 * Double(m * n * k)), tolerance: 1e-5,
            ours: { matrixProduct(a, b, transposeA: transposeA, transposeB: transposeB) },
            naive: { loops(x, y, m: m, n: n, k: k, transposeA: transposeA, transposeB: transposeB) })
    }

    private static func batched(_ batch: Int, m: Int, n: Int, k: Int) -> KernelCase {
        let a = random([batch, m, k], 3)
        let b = random([batch, n, k], 4)
        let (x, y) = (a.values, b.values)
        return KernelCase(
            name: "batched with transposed", size: "\(batch) x \(m) x \(n) x \(k)",
            work: .operations(2 * Double(batch * m * n * k)), tolerance: 1e-5,
            ours: { matrixProduct(a, b, transposeB: true) },
            naive: {
                (0..<batch).flatMap { i in
                    loops(
                        Array(x[i * m * k..<(i + 1) * m * k]), Array(y[i * n * k..<(i + 1) * n * k]), m: m, n: n, k: k)
                }
            })
    }

    /// One row: what generation does. The matrix is read once, so memory bounds it.
    private static func vector(_ n: Int, _ k: Int) -> KernelCase {
        let x = random([1, k], 5)
        let w = random([n, k], 6)
        let (a, b) = (x.values, w.values)
        return KernelCase(
            name: "vector times matrix", size: "\(n) x \(k)", work: .bytes(4 * Double(n * k)), tolerance: 1e-5,
            ours: { matrixProduct(x, w, transposeB: true) }, naive: { loops(a, b, m: 1, n: n, k: k) })
    }

    private static func fusedLinear(_ rows: Int, _ inputs: Int, _ outputs: Int) -> KernelCase {
        let x = random([rows, inputs], 7)
        let w = random([outputs, inputs], 8)
        let bias = random([outputs], 9)
        let (a, b, c) = (x.values, w.values, bias.values)
        return KernelCase(
            name: "linear + bias + silu", size: "\(rows) x \(outputs) x \(inputs)",
            work: .operations(2 * Double(rows * inputs * outputs)), tolerance: 1e-5,
            ours: { linear(x, weight: w, bias: bias, activation: .silu) },
            naive: {
                loops(a, b, m: rows, n: outputs, k: inputs).enumerated().map { index, z in
                    let sum = z + c[index % outputs]
                    return sum / (1 + Foundation.exp(-sum))
                }
            })
    }
}
