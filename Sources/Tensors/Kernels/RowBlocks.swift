import CKernels

/// The rows of a matrix in blocks that threads take one after another, small enough that several arrays of a block stay in
/// the second-level cache. The division depends on the shape alone, so sums of blocks have the same bits for any number of
/// threads.
public struct RowBlocks: Sendable {
    /// The number of rows.
    public let rows: Int
    /// Rows in each block but the last.
    public let height: Int
    /// The number of blocks.
    public var count: Int { (rows + height - 1) / height }

    /// - Parameter width: the elements of a row.
    public init(rows: Int, width: Int) {
        require(rows >= 0 && width >= 0, "RowBlocks: \(rows) rows of \(width) elements")
        (self.rows, height) = (rows, max(1, Self.elements / max(width, 1)))
    }

    /// Elements of one array in a block: 64 KB.
    private static let elements = 1 << 14

    /// Calls `body` with the rows and the number of each block, on `Threads.count` threads. Bodies must write to places of
    /// their own. Do not nest.
    public func parallel(_ body: (_ rows: Range<Int>, _ block: Int) -> Void) {
        parallelRanges(rows, grain: height) { body($0, $0.lowerBound / height) }
    }

    /// The same with memory for `floats` floats of the call's own, which hold anything.
    public func parallel(
        scratch floats: Int,
        _ body: (_ rows: Range<Int>, _ block: Int, _ scratch: UnsafeMutablePointer<Float>) -> Void
    ) {
        parallel { rows, block in
            let memory = Tensor(uninitialized: [floats])
            withExtendedLifetime(memory) { body(rows, block, memory.mutablePointer) }
        }
    }

    /// Makes zeros that the gradient of a parameter which all rows share is summed in.
    /// - Parameter width: the elements of the parameter.
    public func sums(width: Int) -> BlockSums { BlockSums(blocks: count, width: width) }
}

/// The gradient of a parameter that all rows share: a sum for each block, which threads write by themselves and which are
/// added in the order of the blocks.
public struct BlockSums: Sendable {
    private let parts: Tensor

    fileprivate init(blocks: Int, width: Int) { parts = .zeros([blocks, width]) }

    /// The sum of a block, to be added to.
    public func pointer(_ block: Int) -> UnsafeMutablePointer<Float> {
        parts.mutablePointer + block * parts.shape[1]
    }

    /// Adds the sum of all blocks to the gradient of an input with as many elements.
    public func add(to slot: InputGradient) {
        slot.accumulate { pointer, beta in write(to: GradientDestination(pointer: pointer, beta: beta)) }
    }

    /// Writes the sum of all blocks where the gradient of an input with as many elements is wanted.
    public func write(to destination: GradientDestination) {
        let (blocks, width) = (parts.shape[0], parts.shape[1])
        if destination.beta == 0 { az_fill(width, 0, destination.pointer) }
        az_sum_rows(blocks, width, parts.pointer, width, destination.pointer)
    }
}
