import CKernels

/// A function of one argument that there is a vector loop for, with its gradient.
public enum VectorFunction: String, Sendable, CaseIterable {
    case exp, log, sqrt, rsqrt, tanh, sigmoid, silu, softplus, gelu, relu, reluSquared, laplace, sin, cos, abs

    /// f, and dx = dy · f′.
    var kernels: (forward: UnaryKernel, backward: UnaryGradientKernel) {
        switch self {
        case .exp: (az_exp_forward, az_exp_backward)
        case .log: (az_log_forward, az_log_backward)
        case .sqrt: (az_sqrt_forward, az_sqrt_backward)
        case .rsqrt: (az_rsqrt_forward, az_rsqrt_backward)
        case .tanh: (az_tanh_forward, az_tanh_backward)
        case .sigmoid: (az_sigmoid_forward, az_sigmoid_backward)
        case .silu: (az_silu_forward, az_silu_backward)
        case .softplus: (az_softplus_forward, az_softplus_backward)
        case .gelu: (az_gelu_forward, az_gelu_backward)
        case .relu: (az_relu_forward, az_relu_backward)
        case .reluSquared: (az_relu2_forward, az_relu2_backward)
        case .laplace: (az_laplace_forward, az_laplace_backward)
        case .sin: (az_sin_forward, az_sin_backward)
        case .cos: (az_cos_forward, az_cos_backward)
        case .abs: (az_abs_forward, az_abs_backward)
        }
    }
}
