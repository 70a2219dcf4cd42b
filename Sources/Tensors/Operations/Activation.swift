import CKernels

/// The functions that fused operations can apply to a product while it is in cache.
public enum Activation: String, Sendable, CaseIterable {
    case identity, silu, gelu, relu, reluSquared, laplace, sigmoid, tanh

    /// The function as an operation of its own.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        switch self {
        case .identity: x
        case .silu: Tensors.silu(x)
        case .gelu: Tensors.gelu(x)
        case .relu: Tensors.relu(x)
        case .reluSquared: Tensors.reluSquared(x)
        case .laplace: Tensors.laplace(x)
        case .sigmoid: Tensors.sigmoid(x)
        case .tanh: Tensors.tanh(x)
        }
    }

    /// f, and dx = dy · f′; nil for the identity.
    package var kernels: (forward: UnaryKernel, backward: UnaryGradientKernel)? {
        switch self {
        case .identity: nil
        case .silu: (az_silu_forward, az_silu_backward)
        case .gelu: (az_gelu_forward, az_gelu_backward)
        case .relu: (az_relu_forward, az_relu_backward)
        case .reluSquared: (az_relu2_forward, az_relu2_backward)
        case .laplace: (az_laplace_forward, az_laplace_backward)
        case .sigmoid: (az_sigmoid_forward, az_sigmoid_backward)
        case .tanh: (az_tanh_forward, az_tanh_backward)
        }
    }
}
