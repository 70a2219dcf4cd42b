import CKernels
import Tensors

/// What the rows of keys and queries become before a fast weight memory sees them, d columns → features, chunk by chunk
/// inside `deltaRule`: maps that cost less to compute again than to store.
public enum RowFeatures: Sendable, Hashable {
    /// What they are.
    case identity
    /// DPFP-ν (2102.11174, section 5.3), divided by its sum + ε unless ε is nil.
    case dpfp(nu: Int, epsilon: Float?)

    /// Columns of rows that had d.
    func width(_ d: Int) -> Int {
        switch self {
        case .identity: d
        case .dpfp(let nu, _): 2 * d * nu
        }
    }

    /// Stops where rows of d columns cannot be mapped.
    func check(_ d: Int) {
        guard case .dpfp(let nu, let epsilon) = self else { return }
        require(
            nu > 0 && nu < 2 * d,
            "DPFP: nu \(nu) for rows of \(d) columns; expected at least 1 and less than \(2 * d)")
        require(epsilon == nil || epsilon! >= 0, "DPFP: epsilon \(epsilon!); expected at least 0")
    }

    /// Floats that `forward` and `backward` work in.
    func scratch(_ d: Int) -> Int {
        switch self {
        case .identity: 0
        case .dpfp(let nu, _): 2 * (2 * d + nu)
        }
    }

    /// x: [count, d], rows `stride` apart → y: [count, width], dense.
    func forward(
        _ count: Int, _ d: Int, _ x: UnsafePointer<Float>, stride: Int, _ y: UnsafeMutablePointer<Float>,
        scratch: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .identity: az_copy_2d(count, d, x, stride, 1, y, d, 1)
        case .dpfp(let nu, let epsilon): az_dpfp_forward(count, d, nu, epsilon ?? -1, x, stride, y, scratch)
        }
    }

    /// The gradient of x from that of y.
    func backward(
        _ count: Int, _ d: Int, _ x: UnsafePointer<Float>, stride: Int, _ dy: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>, dxStride: Int, scratch: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .identity: az_copy_2d(count, d, dy, d, 1, dx, dxStride, 1)
        case .dpfp(let nu, let epsilon):
            az_dpfp_backward(count, d, nu, epsilon ?? -1, x, stride, dy, dx, dxStride, scratch)
        }
    }
}
