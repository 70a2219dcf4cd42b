import CKernels
import COpenBLAS
import Synchronization

/// The one door to BLAS: every product of the package goes through here, so another engine can be put behind it and the
/// floating-point operations are counted in one place.
public enum BLAS {
    private static let operations = Atomic<Int>(0)

    /// Floating-point operations (a multiply-add is two) of all products so far.
    public static var operationCount: Int { operations.load(ordering: .relaxed) }

    /// The processor whose kernels OpenBLAS multiplies with, such as Haswell or SkylakeX.
    public static var kernels: String { selection.used }

    /// The choice of OpenBLAS's kernels and the result of their check, the same for the whole process.
    public static let selection = {
        requireMemory()
        return KernelSelection()
    }()

    /// Ends the program (`OutOfMemory`) where OpenBLAS cannot have the memory of a product: it would ask for ever.
    static func requireMemory() { _ = hasMemory }

    private static let hasMemory: Void = {
        guard az_openblas_report().pointee.starved != 0 else { return }
        let room = MemoryLimits.room
        OutOfMemory.end(
            "out of memory: OpenBLAS needs \(Int(AZ_OPENBLAS_BUFFER).byteText) of address space for its products; there are"
                + " \(room.bytes.byteText), \(room.reason)")
    }()

    /// A matrix operand: where it starts, the step between its rows in memory, and whether it is read transposed.
    public struct Operand {
        /// The first element.
        public let pointer: UnsafePointer<Float>
        /// The step from one stored row to the next.
        public let stride: Int
        /// True if the stored rows are the matrix's columns.
        public let isTransposed: Bool
        /// The rows of a rounded matrix in place of floats, read transposed: a right-hand side.
        let rounded: RoundedRows?

        /// Creates an operand of rows `stride` apart.
        public init(_ pointer: UnsafePointer<Float>, stride: Int, transposed: Bool = false) {
            self.pointer = pointer
            self.stride = stride
            isTransposed = transposed
            rounded = nil
        }

        /// Wᵀ of a rounded W.
        init(_ rows: RoundedRows) {
            pointer = UnsafePointer(rows.weights.assumingMemoryBound(to: Float.self))  // never read
            stride = rows.rowStride
            isTransposed = true
            rounded = rows
        }

        /// The operand from row (or, for a right-hand side, column) `index` of its logical matrix on.
        func advanced(rows index: Int) -> Operand {
            Operand(pointer + index * (isTransposed ? 1 : stride), stride: stride, transposed: isTransposed)
        }
        func advanced(columns index: Int) -> Operand {
            if let rounded { return Operand(rounded.advanced(rows: index)) }
            return Operand(pointer + index * (isTransposed ? stride : 1), stride: stride, transposed: isTransposed)
        }
    }

    /// C = alpha · A · B + beta · C on the calling thread. A: [m, k], B: [k, n], C: [m, n] with the given row stride.
    /// With beta = 0, C may hold anything.
    public static func multiply(
        _ m: Int, _ n: Int, _ k: Int, alpha: Float = 1, _ a: Operand, _ b: Operand, beta: Float = 0,
        _ c: UnsafeMutablePointer<Float>, stride: Int
    ) {
        if m == 0 || n == 0 { return }
        operations.wrappingAdd(2 * m * n * k, ordering: .relaxed)
        if k > 0, let weights = b.rounded {
            return weights.multiply(m, n, alpha: alpha, a, beta: beta, into: c, stride: stride)
        }
        if k > 0 && m == 1 && b.isTransposed && (!a.isTransposed || a.stride == 1) {
            az_matrix_vector(n, k, alpha, b.pointer, b.stride, a.pointer, beta, c)
            return
        }
        if (2...8).contains(m) && b.isTransposed && !a.isTransposed && n >= 64 && k > 0 && k % RoundedMatrix.group == 0
        {
            // Few rows: a general product would pack B, which takes longer than to read it.
            withUnsafeTemporaryAllocation(
                byteCount: m * k * MemoryLayout<Float>.stride, alignment: MemoryPool.alignment
            ) { scratch in
                az_float_product(
                    m, n, k, alpha, b.pointer, b.stride, a.pointer, a.stride, beta, c, stride,
                    scratch.bindMemory(to: Float.self).baseAddress)
            }
            return
        }
        require(max(m, n, k, a.stride, b.stride, stride) < 1 << 31, "BLAS.multiply: \(m) × \(n) × \(k) is too large")
        if k > 0 && m == 1 && (b.isTransposed || n >= 16) {
            // One row: a matrix-vector product reads B once, where a general product would first pack it.
            requireMemory()
            az_sgemv(
                b.isTransposed ? 0 : 1, b.isTransposed ? n : k, b.isTransposed ? k : n, alpha, b.pointer, b.stride,
                a.pointer, a.isTransposed ? a.stride : 1, beta, c)
            return
        }
        requireMemory()
        az_sgemm(
            a.isTransposed ? 1 : 0, b.isTransposed ? 1 : 0, m, n, k, alpha, a.pointer, a.stride, b.pointer, b.stride,
            beta, c, stride)
    }

    /// The same product split over threads: by rows of C where there are enough of them, else by columns.
    public static func multiplyInParallel(
        _ m: Int, _ n: Int, _ k: Int, alpha: Float = 1, _ a: Operand, _ b: Operand, beta: Float = 0,
        _ c: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let threads = Threads.count
        if threads == 1 || m * n * k < smallest {
            multiply(m, n, k, alpha: alpha, a, b, beta: beta, c, stride: stride)
        } else if m >= threads * 16 {
            parallelRanges(m, grain: grain(m, threads)) { rows in
                multiply(
                    rows.count, n, k, alpha: alpha, a.advanced(rows: rows.lowerBound), b, beta: beta,
                    c + rows.lowerBound * stride, stride: stride)
            }
        } else {
            parallelRanges(n, grain: columnGrain(m, n, k)) { columns in
                multiply(
                    m, columns.count, k, alpha: alpha, a, b.advanced(columns: columns.lowerBound), beta: beta,
                    c + columns.lowerBound, stride: stride)
            }
        }
    }

    /// Products below this many multiply-adds are not worth waking another thread for.
    private static let smallest = 1 << 16

    /// Columns of C a thread takes where a product of few rows is split; all of them where that is not worth it.
    static func columnGrain(_ m: Int, _ n: Int, _ k: Int) -> Int {
        let threads = Threads.count
        if threads == 1 || m * n * k < smallest { return n }
        if m > 8 { return grain(n, threads) }
        // A row is read as fast as memory gives it, and threads begin at different times: several pieces for each.
        let pieces = max(threads, min(8 * threads, n * k / smallestPiece) / threads * threads)
        return min(512, ((n + pieces - 1) / pieces + 15) / 16 * 16)
    }

    /// Weights that take longer to read than it takes to go and get the next piece.
    private static let smallestPiece = 1 << 15

    /// Pieces of at most 512, a multiple of 16, the same number for each thread.
    private static func grain(_ length: Int, _ threads: Int) -> Int {
        let rounds = (length + threads * 512 - 1) / (threads * 512)
        let piece = (length + threads * rounds - 1) / (threads * rounds)
        return (piece + 15) / 16 * 16
    }
}
