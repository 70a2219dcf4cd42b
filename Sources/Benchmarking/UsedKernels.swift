import Tensors

/// The kernels that a benchmark's products were made with: as much a part of a figure as the processor.
public struct UsedKernels: Encodable {
    /// OpenBLAS's name for them, such as SkylakeX.
    public let name = BLAS.kernels
    /// True if they compute less widely than the processor could, so that figures are not the processor's.
    public let isBelowProcessor = BLAS.selection.isBelowProcessor

    enum CodingKeys: String, CodingKey {
        case name
        case isBelowProcessor = "below_processor"
    }
}
