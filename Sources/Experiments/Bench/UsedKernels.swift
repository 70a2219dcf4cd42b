import Tensors

/// The kernels that a benchmark's products were made with: as much a part of a figure as the processor.
package struct UsedKernels: Encodable {
    /// OpenBLAS's name for them, such as SkylakeX.
    package let name = BLAS.kernels
    /// True if they compute less widely than the processor could, so that figures are not the processor's.
    package let isBelowProcessor = BLAS.selection.isBelowProcessor

    enum CodingKeys: String, CodingKey {
        case name
        case isBelowProcessor = "below_processor"
    }
}
