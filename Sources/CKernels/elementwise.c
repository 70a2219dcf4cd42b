// Functions of one argument. A function is its value and its gradient dx from (x, y = f(x), dy); the macro makes the
// loops.
#include "ckernels.h"
#include "vector_math.h"
#include <math.h>

#define AZ_UNARY(name)                                                                              \
    AZ_KERNEL void az_##name##_forward(long n, const float *x, float *y) {                          \
        AZ_VECTORIZE                                                                                \
        for (long i = 0; i < n; i++) y[i] = name##_value(x[i]);                                     \
    }                                                                                               \
    AZ_KERNEL void az_##name##_backward(long n, const float *x, const float *y, const float *dy, float *dx) { \
        AZ_VECTORIZE                                                                                \
        for (long i = 0; i < n; i++) dx[i] = name##_gradient(x[i], y[i], dy[i]);                    \
    }

// MARK: Exponential, logarithm, roots

AZ_INLINE float exp_value(float x) { return az_exp(x); }
AZ_INLINE float exp_gradient(float x, float y, float dy) { return dy * y; }
AZ_UNARY(exp)

AZ_INLINE float log_value(float x) { return az_log(x); }
AZ_INLINE float log_gradient(float x, float y, float dy) { return dy / x; }
AZ_UNARY(log)

AZ_INLINE float sqrt_value(float x) { return az_sqrt(x); }
AZ_INLINE float sqrt_gradient(float x, float y, float dy) { return 0.5f * dy / y; }
AZ_UNARY(sqrt)

AZ_INLINE float rsqrt_value(float x) { return 1 / az_sqrt(x); }
AZ_INLINE float rsqrt_gradient(float x, float y, float dy) { return -0.5f * dy * (y * y * y); }
AZ_UNARY(rsqrt)

// MARK: Activations

AZ_INLINE float tanh_value(float x) { return az_tanh(x); }
AZ_INLINE float tanh_gradient(float x, float y, float dy) { return dy * (1 - y * y); }
AZ_UNARY(tanh)

AZ_INLINE float sigmoid_value(float x) { return az_sigmoid(x); }
AZ_INLINE float sigmoid_gradient(float x, float y, float dy) { return dy * (y * (1 - y)); }
AZ_UNARY(sigmoid)

AZ_INLINE float silu_value(float x) { return az_silu(x); }
AZ_INLINE float silu_gradient(float x, float y, float dy) {
    float s = az_sigmoid(x);
    return dy * (s * (1 + x * (1 - s)));
}
AZ_UNARY(silu)

// max(x, 0) + ln(1 + e^-|x|)
AZ_INLINE float softplus_value(float x) {
    return (x < 0 ? 0 : x) + az_log1p(az_exp_nonpositive(-__builtin_fabsf(x)));
}
AZ_INLINE float softplus_gradient(float x, float y, float dy) { return dy * az_sigmoid(x); }
AZ_UNARY(softplus)

// NaN at -inf (-inf times 0) and so is the derivative at both infinities, as in PyTorch.
AZ_INLINE float gelu_value(float x) { return x * az_normal_cdf(x, az_normal_tail(x)); }
AZ_INLINE float gelu_gradient(float x, float y, float dy) {
    az_normal_parts parts = az_normal_tail(x);
    return dy * (az_normal_cdf(x, parts) + x * (parts.bell * 0x1.988454p-2f));  // 1 / sqrt(2 pi)
}
AZ_UNARY(gelu)

// NaN stays and passes its gradient, as in PyTorch.
AZ_INLINE float relu_value(float x) { return x < 0 ? 0 : x; }
AZ_INLINE float relu_gradient(float x, float y, float dy) { return x <= 0 ? 0 : dy; }
AZ_UNARY(relu)

AZ_INLINE float relu2_value(float x) {
    float positive = relu_value(x);
    return positive * positive;
}
AZ_INLINE float relu2_gradient(float x, float y, float dy) { return 2 * relu_value(x) * dy; }
AZ_UNARY(relu2)

// Phi(z), z = (x - mu) / sigma with mu = sqrt(1/2), sigma = sqrt(1 / (4 pi)); the derivative is sqrt 2 e^(-z^2 / 2).
AZ_INLINE float laplace_argument(float x) { return (x - 0x1.6a09e6p-1f) * 0x1.c5bf8ap1f; }
AZ_INLINE float laplace_value(float x) {
    float z = laplace_argument(x);
    return az_normal_cdf(z, az_normal_tail(z));
}
AZ_INLINE float laplace_gradient(float x, float y, float dy) {
    float z = laplace_argument(x);
    return dy * (0x1.6a09e6p0f * az_exp_nonpositive(-0.5f * z * z));
}
AZ_UNARY(laplace)

AZ_INLINE float elu_plus_one_value(float x) {
    float power = az_exp(x > 0 ? 0 : x);
    return x > 0 ? x + 1 : power;
}
AZ_INLINE float elu_plus_one_gradient(float x, float y, float dy) { return x > 0 ? dy : dy * y; }
AZ_UNARY(elu_plus_one)

AZ_INLINE float abs_value(float x) { return __builtin_fabsf(x); }
AZ_INLINE float abs_gradient(float x, float y, float dy) {
    float sign = x > 0 ? 1.0f : x;  // 0 for 0, NaN for NaN
    return dy * (x < 0 ? -1.0f : sign);
}
AZ_UNARY(abs)

// MARK: Trigonometry, by the C library: exact argument reduction, not vectorized

void az_sin_forward(long n, const float *x, float *y) {
    for (long i = 0; i < n; i++) y[i] = sinf(x[i]);
}
void az_sin_backward(long n, const float *x, const float *y, const float *dy, float *dx) {
    for (long i = 0; i < n; i++) dx[i] = dy[i] * cosf(x[i]);
}
void az_cos_forward(long n, const float *x, float *y) {
    for (long i = 0; i < n; i++) y[i] = cosf(x[i]);
}
void az_cos_backward(long n, const float *x, const float *y, const float *dy, float *dx) {
    for (long i = 0; i < n; i++) dx[i] = -dy[i] * sinf(x[i]);
}

// MARK: Clamp

AZ_KERNEL void az_clamp_forward(long n, float low, float high, const float *x, float *y) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) {
        float above = x[i] < low ? low : x[i];
        y[i] = above > high ? high : above;
    }
}

AZ_KERNEL void az_clamp_backward(long n, float low, float high, const float *x, const float *dy, float *dx) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) {
        float above = x[i] >= low ? dy[i] : 0;
        dx[i] = x[i] <= high ? above : 0;
    }
}

// MARK: Powers. Common exponents are products and roots, which vectorize; the rest is the C library's.

// pow(-0, 1/2) is +0 and pow(-inf, 1/2) is +inf, unlike the root.
AZ_INLINE float power_root(float x) {
    float root = az_sqrt(x + 0.0f);
    return x == -AZ_INFINITY ? AZ_INFINITY : root;
}

// LOOP(f) is expanded with the vectorisable form of x^exponent as f, or with powf.
#define AZ_POWER_CASES(exponent, LOOP)                \
    if ((exponent) == 0) { LOOP(1.0f) }               \
    else if ((exponent) == 1) { LOOP(v) }             \
    else if ((exponent) == 2) { LOOP(v * v) }         \
    else if ((exponent) == 3) { LOOP(v * v * v) }     \
    else if ((exponent) == -1) { LOOP(1 / v) }        \
    else if ((exponent) == -2) { LOOP(1 / (v * v)) }  \
    else if ((exponent) == 0.5f) { LOOP(power_root(v)) } \
    else if ((exponent) == -0.5f) { LOOP(1 / power_root(v)) }

AZ_KERNEL void az_pow_forward(long n, float exponent, const float *x, float *y) {
#define AZ_LOOP(value)                \
    AZ_VECTORIZE                      \
    for (long i = 0; i < n; i++) {    \
        const float v = x[i];         \
        (void)v;                      \
        y[i] = value;                 \
    }
    AZ_POWER_CASES(exponent, AZ_LOOP)
    else for (long i = 0; i < n; i++) y[i] = powf(x[i], exponent);
#undef AZ_LOOP
}

AZ_KERNEL void az_pow_backward(long n, float exponent, const float *x, const float *dy, float *dx) {
#define AZ_LOOP(value)                        \
    AZ_VECTORIZE                              \
    for (long i = 0; i < n; i++) {            \
        const float v = x[i];                 \
        (void)v;                              \
        dx[i] = dy[i] * (exponent * (value)); \
    }
    const float reduced = exponent - 1;
    if (exponent == 0) {
        memset(dx, 0, (size_t)n * sizeof *dx);  // also where x is 0 and x^-1 infinite
        return;
    }
    AZ_POWER_CASES(reduced, AZ_LOOP)
    else for (long i = 0; i < n; i++) dx[i] = dy[i] * (exponent * powf(x[i], reduced));
#undef AZ_LOOP
}
