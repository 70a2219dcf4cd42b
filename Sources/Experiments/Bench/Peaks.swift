import CKernels
import Tensors

/// The machine's best rates, which the rest is measured by.
enum Peaks {
    /// The best product, in GF/s, on `Threads.count` threads.
    static func product() -> Double {
        let (m, n, k) = (2048, 2048, 512)
        let a = Tensor.normal([m, k], key: RandomKey(seed: 1))
        let b = Tensor.normal([k, n], key: RandomKey(seed: 2))
        let c = Tensor(uninitialized: [m, n])
        return 2 * Double(m * n * k) / fastest { matrixProduct(a, b, into: c) } / 1e9
    }

    /// A copy of large arrays, in GB/s read and written.
    static func copy() -> Double {
        let n = 1 << 25
        let x = Tensor.ones([n])
        let y = Tensor(uninitialized: [n])
        let (source, target) = (x.pointer, y.mutablePointer)
        let seconds = fastest {
            parallelRanges(n, grain: 1 << 16) {
                az_scale($0.count, 1, source + $0.lowerBound, target + $0.lowerBound)
            }
        }
        withExtendedLifetime((x, y)) {}
        return 8 * Double(n) / seconds / 1e9
    }
}
