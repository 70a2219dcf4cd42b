import CKernels

// Functions of one argument. The kernels come in pairs: f, and dx = dy · f′ from x, y = f(x) and dy.

/// A kernel y = f(x): count, x, y.
package typealias UnaryKernel = @convention(c) (Int, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?) -> Void
/// A kernel dx = dy · f′: count, x, y, dy, dx.
package typealias UnaryGradientKernel =
    @convention(c) (
        Int, UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?
    ) -> Void

/// Elements a thread takes at a time in loops over whole buffers: 256 KB, which stays in the L2 cache.
let elementGrain = 1 << 16

private func elementwise(
    _ name: String, _ input: Tensor, _ kernels: (forward: UnaryKernel, backward: UnaryGradientKernel)
) -> Tensor {
    let x = input.contiguous()
    let y = Tensor(uninitialized: x.shape)
    let (source, target) = (x.pointer, y.mutablePointer)
    let (forward, backward) = kernels
    parallelRanges(x.count, grain: elementGrain) { forward($0.count, source + $0.lowerBound, target + $0.lowerBound) }
    return .record(
        name, y,
        (
            x,
            { gradient in
                let dy = gradient.contiguous()
                let dx = Tensor(uninitialized: x.shape)
                let (px, py, pdy, pdx) = (x.pointer, y.pointer, dy.pointer, dx.mutablePointer)
                parallelRanges(x.count, grain: elementGrain) {
                    let i = $0.lowerBound
                    backward($0.count, px + i, py + i, pdy + i, pdx + i)
                }
                return dx
            }
        ))
}

/// eˣ
public func exp(_ x: Tensor) -> Tensor { elementwise("exp", x, (az_exp_forward, az_exp_backward)) }
/// Natural logarithm; −∞ at 0, NaN below.
public func log(_ x: Tensor) -> Tensor { elementwise("log", x, (az_log_forward, az_log_backward)) }
/// Computes √x of each element.
public func sqrt(_ x: Tensor) -> Tensor { elementwise("sqrt", x, (az_sqrt_forward, az_sqrt_backward)) }
/// 1/√x
public func rsqrt(_ x: Tensor) -> Tensor { elementwise("rsqrt", x, (az_rsqrt_forward, az_rsqrt_backward)) }
/// Computes tanh x of each element.
public func tanh(_ x: Tensor) -> Tensor { elementwise("tanh", x, (az_tanh_forward, az_tanh_backward)) }
/// 1/(1 + e⁻ˣ)
public func sigmoid(_ x: Tensor) -> Tensor { elementwise("sigmoid", x, (az_sigmoid_forward, az_sigmoid_backward)) }
/// x · sigmoid(x) (Elfwing et al., 1702.03118)
public func silu(_ x: Tensor) -> Tensor { elementwise("silu", x, (az_silu_forward, az_silu_backward)) }
/// ln(1 + eˣ), a smooth relu (Glorot et al., 2011), to a few units in the last place also where it is small.
public func softplus(_ x: Tensor) -> Tensor {
    elementwise("softplus", x, (az_softplus_forward, az_softplus_backward))
}
/// x · Φ(x), exactly, by erf (Hendrycks and Gimpel, 1606.08415)
public func gelu(_ x: Tensor) -> Tensor { elementwise("gelu", x, (az_gelu_forward, az_gelu_backward)) }
/// Computes max(0, x) of each element.
public func relu(_ x: Tensor) -> Tensor { elementwise("relu", x, (az_relu_forward, az_relu_backward)) }
/// max(x, 0)² (Primer, 2109.08668)
public func reluSquared(_ x: Tensor) -> Tensor { elementwise("reluSquared", x, (az_relu2_forward, az_relu2_backward)) }
/// (1 + erf((x − μ)/(σ√2)))/2 with μ = √½ and σ = √(1/4π): a smooth stand-in for relu² (Mega, 2209.10655, eq. 20)
public func laplace(_ x: Tensor) -> Tensor { elementwise("laplace", x, (az_laplace_forward, az_laplace_backward)) }
/// Computes sin x of each element.
public func sin(_ x: Tensor) -> Tensor { elementwise("sin", x, (az_sin_forward, az_sin_backward)) }
/// Computes cos x of each element.
public func cos(_ x: Tensor) -> Tensor { elementwise("cos", x, (az_cos_forward, az_cos_backward)) }
/// Computes |x| of each element.
public func abs(_ x: Tensor) -> Tensor { elementwise("abs", x, (az_abs_forward, az_abs_backward)) }

extension Tensor {
    /// Elements limited to low … high; no gradient where they were outside.
    public func clamped(_ low: Float = -.infinity, _ high: Float = .infinity) -> Tensor {
        parametrized(
            "clamped", { az_clamp_forward($0, low, high, $1, $2) }, { az_clamp_backward($0, low, high, $1, $2, $3) })
    }

    /// Elements to a constant power.
    public func power(_ exponent: Float) -> Tensor {
        parametrized("power", { az_pow_forward($0, exponent, $1, $2) }, { az_pow_backward($0, exponent, $1, $2, $3) })
    }

    private func parametrized(
        _ name: String,
        _ forward: (Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void,
        _ backward:
            @escaping @Sendable (
                Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>
            ) -> Void
    ) -> Tensor {
        let x = contiguous()
        let y = Tensor(uninitialized: shape)
        parallelRanges(count, grain: elementGrain) {
            forward($0.count, x.pointer + $0.lowerBound, y.mutablePointer + $0.lowerBound)
        }
        return .record(
            name, y,
            (
                x,
                { gradient in
                    let dy = gradient.contiguous()
                    let dx = Tensor(uninitialized: x.shape)
                    parallelRanges(x.count, grain: elementGrain) {
                        let i = $0.lowerBound
                        backward($0.count, x.pointer + i, dy.pointer + i, dx.mutablePointer + i)
                    }
                    return dx
                }
            ))
    }
}
