import CKernels

/// A matrix of weights in 16 or 8 bits each, for inference: reading the weights is what a generated token waits for.
///
/// Products take a weight as the float that it stands for, and sum in float32. A value: nothing writes to it once it is made.
public struct RoundedMatrix: Sendable {
    /// A format that weights are rounded to.
    public enum Format: String, Sendable, CaseIterable, Codable {
        /// The upper half of a float, to nearest, ties to even: 8 bits of precision.
        case bfloat16
        /// A whole number from −127 to 127 times the scale of its group, 1/127 of the greatest weight in it: 64 weights of a
        /// row share one, the last of a row those that are left.
        case int8

        /// Returns true if the format has a finite number for a weight.
        func holds(_ weight: Float) -> Bool {
            switch self {
            case .bfloat16: abs(weight) < 0x1.ffp127  // from here on the nearest is infinity
            case .int8: weight.isFinite
            }
        }

        fileprivate var bytes: Int { self == .bfloat16 ? 2 : 1 }
    }

    /// The format of the weights.
    public let format: Format
    /// [rows, columns]
    public let shape: [Int]
    /// Weights, and the scales of int8.
    private let weights: Storage, scales: Storage?
    /// The offset of the first row from the beginning of the memory.
    private let first: Int

    /// Columns that share a scale; rows are padded to a multiple of it.
    static let group = Int(AZ_ROUNDED_GROUP)

    /// Rounds a matrix.
    /// - Parameter matrix: [rows, columns], numbers that `format` can hold.
    public init(_ matrix: Tensor, _ format: Format) {
        require(matrix.rank == 2, "RoundedMatrix: shape \(matrix.shape); expected two axes")
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        let groups = (columns + Self.group - 1) / Self.group
        self.format = format
        shape = matrix.shape
        first = 0
        weights = Storage(count: (rows * groups * Self.group * format.bytes + 3) / 4)
        scales = format == .int8 ? Storage(count: rows * groups) : nil
        let source = matrix.detached().contiguous()
        az_fill(weights.count, 0, weights.pointer)
        let target = view
        parallelRanges(rows, grain: max(1, elementGrain / max(columns, 1))) {
            target.advanced(rows: $0.lowerBound).round($0.count, source.pointer + $0.lowerBound * columns)
        }
        withExtendedLifetime(source) {}
    }

    private init(_ other: RoundedMatrix, rows: Range<Int>) {
        format = other.format
        shape = [rows.count, other.shape[1]]
        (weights, scales, first) = (other.weights, other.scales, other.first + rows.lowerBound)
    }

    /// Some of the rows, in the same memory.
    func rows(_ range: Range<Int>) -> RoundedMatrix { RoundedMatrix(self, rows: range) }

    /// The floats that the weights stand for, [rows, columns].
    public func expanded() -> Tensor {
        let result = Tensor(uninitialized: shape)
        let (source, target, columns) = (view, result.mutablePointer, shape[1])
        parallelRanges(shape[0], grain: max(1, elementGrain / max(columns, 1))) {
            source.advanced(rows: $0.lowerBound).expand($0.count, target + $0.lowerBound * columns)
        }
        return result
    }

    /// Rows by number, as floats. tokens: [...], each in 0 ..< rows. Returns [..., columns].
    func taking(_ tokens: TokenTensor) -> Tensor {
        let result = Tensor(uninitialized: tokens.shape + [shape[1]])
        let (target, columns) = (result.mutablePointer, shape[1])
        for (place, token) in tokens.values.enumerated() {
            view.advanced(rows: Int(token)).expand(1, target + place * columns)
        }
        return result
    }

    /// A view of the rows, valid while the matrix is alive.
    var view: RoundedRows {
        let stride = (shape[1] + Self.group - 1) / Self.group * Self.group
        return RoundedRows(
            format: format, weights: UnsafeMutableRawPointer(weights.pointer), scales: scales?.pointer,
            columns: shape[1], rowStride: stride
        ).advanced(rows: first)
    }
}

/// Rows of a rounded matrix in memory, as kernels take them.
struct RoundedRows: @unchecked Sendable {
    let format: RoundedMatrix.Format
    let weights: UnsafeMutableRawPointer
    let scales: UnsafeMutablePointer<Float>?
    let columns: Int
    /// Weights from one row to the next, a multiple of the group.
    let rowStride: Int

    private var groups: Int { rowStride / RoundedMatrix.group }
    private var halves: UnsafeMutablePointer<UInt16> { weights.assumingMemoryBound(to: UInt16.self) }
    private var bytes: UnsafeMutablePointer<Int8> { weights.assumingMemoryBound(to: Int8.self) }

    /// The rows from a number on.
    func advanced(rows: Int) -> RoundedRows {
        RoundedRows(
            format: format, weights: weights + rows * rowStride * format.bytes,
            scales: scales.map { $0 + rows * groups },
            columns: columns, rowStride: rowStride)
    }

    /// Writes the first rows. source: [count, columns]
    fileprivate func round(_ count: Int, _ source: UnsafePointer<Float>) {
        switch format {
        case .bfloat16:
            for row in 0..<count { az_float_to_bfloat16(columns, source + row * columns, halves + row * rowStride) }
        case .int8:
            if let scales { az_float_to_int8(count, columns, source, bytes, rowStride, scales, groups) }
        }
    }

    /// The first rows as floats, [count, columns].
    func expand(_ count: Int, _ target: UnsafeMutablePointer<Float>) {
        switch format {
        case .bfloat16:
            for row in 0..<count { az_bfloat16_to_float(columns, halves + row * rowStride, target + row * columns) }
        case .int8:
            if let scales { az_int8_to_float(count, columns, bytes, rowStride, scales, groups, target, columns) }
        }
    }

    /// Rows of x up to which the weights are read as they are, eight at a time; for more a panel of them is expanded once.
    private static let few = 16

    /// C = alpha x Wᵀ + beta C with the first `n` rows of the matrix, on the calling thread. x: [m, columns], C: [m, n].
    func multiply(
        _ m: Int, _ n: Int, alpha: Float, _ x: BLAS.Operand, beta: Float, into c: UnsafeMutablePointer<Float>,
        stride cRow: Int
    ) {
        require(!x.isTransposed && x.rounded == nil, "BLAS.multiply: rows of a rounded matrix times columns")
        if m > Self.few {
            return multiplyExpanded(m, n, alpha: alpha, x, beta: beta, into: c, stride: cRow)
        }
        let capacity = max(2, min(m, 8)) * rowStride * MemoryLayout<Float>.stride
        withUnsafeTemporaryAllocation(byteCount: capacity, alignment: MemoryPool.alignment) { memory in
            guard let scratch = memory.bindMemory(to: Float.self).baseAddress else { return }
            switch format {
            case .bfloat16:
                az_bfloat16_product(
                    m, n, columns, alpha, halves, rowStride, x.pointer, x.stride, beta, c, cRow, scratch)
            case .int8:
                guard let scales else { return }
                az_int8_product(
                    m, n, columns, alpha, bytes, rowStride, scales, groups, x.pointer, x.stride, beta, c, cRow, scratch)
            }
        }
    }

    /// The same by panels of floats that stay in the L2 cache.
    private func multiplyExpanded(
        _ m: Int, _ n: Int, alpha: Float, _ x: BLAS.Operand, beta: Float, into c: UnsafeMutablePointer<Float>,
        stride cRow: Int
    ) {
        let panel = max(16, (1 << 16) / max(columns, 1))
        let floats = Tensor(uninitialized: [min(panel, n), columns])
        let target = floats.mutablePointer
        for first in stride(from: 0, to: n, by: panel) {
            let count = min(panel, n - first)
            advanced(rows: first).expand(count, target)
            BLAS.multiply(
                m, count, columns, alpha: alpha, x, BLAS.Operand(target, stride: columns, transposed: true), beta: beta,
                c + first, stride: cRow)
        }
        withExtendedLifetime(floats) {}
    }
}
