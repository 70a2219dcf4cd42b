// Inline mathematics of the kernels. Plain float arithmetic with selects instead of branches, and no calls, so that a
// loop over any of these functions is vectorized. Coefficients are minimax fits (Remez by linear programming, in 40
// digits, then rounded to float one by one); the error of each is stated. Without -ffast-math: NaN and infinity pass as
// in IEEE.
#ifndef AZ_VECTOR_MATH_H
#define AZ_VECTOR_MATH_H
#include <stdint.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define AZ_THREAD_SANITIZER 1
#endif
#endif

// A kernel is compiled once per instruction set and the loader picks one (an ELF feature). Elsewhere, and on arm64
// where NEON is always there, the baseline is used; under the thread sanitizer as well, whose calls in the functions
// that pick would run before the sanitizer has started. x86-64-v3 is AVX2 with FMA, asked for by feature: "arch=haswell"
// would be that one model alone, and leave all others with AVX2, AMD's too, to SSE2.
#if defined(__x86_64__) && defined(__linux__) && !defined(AZ_THREAD_SANITIZER)
#define AZ_KERNEL __attribute__((target_clones("avx512f", "arch=x86-64-v3", "default")))
#else
#define AZ_KERNEL
#endif

// Always inlined, so that helpers are compiled with the instruction set of the kernel that calls them.
#define AZ_INLINE static inline __attribute__((always_inline))

// Placed before a loop whose iterations are independent. Arrays may then be the same one (y = x): without it the
// compiler takes the scalar loop as soon as two arrays overlap.
#define AZ_VECTORIZE _Pragma("clang loop vectorize(assume_safety)")

AZ_INLINE uint32_t az_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

AZ_INLINE float az_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

AZ_INLINE long az_min(long a, long b) { return a < b ? a : b; }

// Sixteen floats, split by the compiler where registers are narrower. Kept out of parameters: their convention differs
// between instruction sets.
typedef float az_vector __attribute__((ext_vector_type(16)));
typedef float az_unaligned __attribute__((ext_vector_type(16), aligned(4)));
#define AZ_LOAD(p) (*(const az_unaligned *)(p))

// Sets total to the sum of a vector's elements, pairwise.
#define AZ_SUM(total, vector)                                        \
    {                                                                \
        const az_vector all = vector;                                \
        const __typeof__(all.lo) eight = all.lo + all.hi;            \
        const __typeof__(eight.lo) four = eight.lo + eight.hi;       \
        const __typeof__(four.lo) two = four.lo + four.hi;           \
        total = two.x + two.y;                                       \
    }

#define AZ_INFINITY __builtin_inff()
#define AZ_NAN __builtin_nanf("")

// sqrtf sets errno, which would stop vectorisation.
AZ_INLINE float az_sqrt(float x) { return __builtin_elementwise_sqrt(x); }

// MARK: Exponential

// x = n ln 2 + r with |r| <= ln(2) / 2; n is left in the low bits of `shifted` (a float of 1.5 * 2^23 + n).
typedef struct {
    float shifted, n, r;
} az_exp_parts;

AZ_INLINE az_exp_parts az_exp_reduce(float x) {
    const float round = 0x1.8p23f;
    az_exp_parts parts;
    parts.shifted = x * 0x1.715476p0f + round;
    parts.n = parts.shifted - round;
    // The leading part of ln 2 has 9 bits: its product with n is exact without a fused multiply-add as well.
    parts.r = x - parts.n * 0x1.63p-1f;
    parts.r = parts.r - parts.n * -0x1.bd0106p-13f;
    return parts;
}

// e^r - 1 for |r| <= ln(2) / 2, relative error 3e-9 of e^r before rounding.
AZ_INLINE float az_expm1_polynomial(float r) {
    float q = 0x1.6a4ecep-10f;
    q = q * r + 0x1.12399cp-7f;
    q = q * r + 0x1.5558bp-5f;
    q = q * r + 0x1.555492p-3f;
    q = q * r + 0x1.fffffcp-2f;
    return q * (r * r) + r;
}

// 2^n, by its bits, for -126 <= n <= 127 (infinity for 128).
AZ_INLINE float az_exp_scale(az_exp_parts parts) { return az_from_bits((az_bits(parts.shifted) << 23) + 0x3f800000u); }

// e^x within 1 ulp; results below the smallest normal number are 0.
AZ_INLINE float az_exp(float x) {
    az_exp_parts parts = az_exp_reduce(x);
    float p = az_expm1_polynomial(parts.r) + 1;
    // Added to the exponent, which reaches 2^128 - as p may be below 1 there - where a factor of 2^n does not.
    float y = az_from_bits(az_bits(p) + (az_bits(parts.shifted) << 23));
    y = x >= -0x1.5d589ep6f ? y : 0;                      // ln of the smallest normal number
    return x <= 0x1.62e42ep6f ? y : x * AZ_INFINITY;      // ln of the largest; NaN stays
}

// e^x for x <= 0, results below the smallest normal number 0.
AZ_INLINE float az_exp_nonpositive(float x) {
    az_exp_parts parts = az_exp_reduce(x);
    float scale = az_exp_scale(parts);
    float y = az_expm1_polynomial(parts.r) * scale + scale;
    return x < -0x1.5d589ep6f ? 0 : y;                    // NaN stays: it is in the polynomial
}

// MARK: Logarithm

// ln x within 1 ulp; ln 0 = -inf, ln(x < 0) = NaN, denormal arguments included (where the thread does not flush them).
AZ_INLINE float az_log(float x) {
    int denormal = x < 0x1p-126f;
    float scaled = denormal ? x * 0x1p23f : x;
    // x = 2^e m, m in [sqrt(1/2), sqrt 2)
    int32_t offset = (int32_t)(az_bits(scaled) - 0x3f3504f3u);
    float e = (float)((offset >> 23) - (denormal ? 23 : 0));
    float f = az_from_bits(((uint32_t)offset & 0x7fffffu) + 0x3f3504f3u) - 1;
    // (ln(1 + f) - f + f^2 / 2) / f^3, error 6e-9 of ln(1 + f)
    float p = -0x1.38e29ap-4f;
    p = p * f + 0x1.056cccp-3f;
    p = p * f + -0x1.0d8448p-3f;
    p = p * f + 0x1.22d752p-3f;
    p = p * f + -0x1.54721cp-3f;
    p = p * f + 0x1.99a02cp-3f;
    p = p * f + -0x1.000228p-2f;
    p = p * f + 0x1.555554p-2f;
    float square = f * f;
    float tail = p * f * square + e * -0x1.bd0106p-13f;
    tail = tail - 0.5f * square;
    float y = (tail + f) + e * 0x1.63p-1f;
    y = x < AZ_INFINITY ? y : x;  // infinity and NaN are their own logarithms
    y = x == 0 ? -AZ_INFINITY : y;
    return x < 0 ? AZ_NAN : y;
}

// ln(1 + u) for 0 <= u <= 1, also where u is lost beside 1: ln w of the rounded w = 1 + u, times u / (w - 1).
AZ_INLINE float az_log1p(float u) {
    float w = 1 + u;
    return w == 1 ? u : az_log(w) * (u / (w - 1));
}

// MARK: Sigmoid and hyperbolic tangent

// 1 + e^-x, infinity where the reciprocal would not be a normal number.
AZ_INLINE float az_one_plus_exp_negative(float x) {
    float z = -x;
    z = z > 89 ? 89 : z;    // 2^n is infinity from 88.4 on; comparisons in this order let NaN pass
    z = z < -87 ? -87 : z;
    az_exp_parts parts = az_exp_reduce(z);
    return (az_expm1_polynomial(parts.r) + 1) * az_exp_scale(parts) + 1;
}

// Relative error below 2.5e-7.
AZ_INLINE float az_sigmoid(float x) { return 1 / az_one_plus_exp_negative(x); }

// x sigmoid(x), 0 below -88.4; NaN at -inf (-inf times 0), as in PyTorch.
AZ_INLINE float az_silu(float x) { return x / az_one_plus_exp_negative(x); }

// tanh |x| = -m / (2 + m) with m = e^(-2 |x|) - 1; relative error below 3e-7, also towards 0.
AZ_INLINE float az_tanh(float x) {
    float u = -2 * __builtin_fabsf(x);
    u = u < -20 ? -20 : u;
    az_exp_parts parts = az_exp_reduce(u);
    float scale = az_exp_scale(parts);
    float m = az_expm1_polynomial(parts.r) * scale + (scale - 1);
    return __builtin_copysignf(m / (2 + m), x);
}

// MARK: Normal distribution

// The pair Phi(-|z|) and e^(-z^2 / 2). The tail is a polynomial in t = 1 / (1 + 0.34375 |z|) times the exponential, so
// it keeps its relative accuracy (2.4e-8 before rounding) where 1 + erf(z / sqrt 2) would cancel.
typedef struct {
    float tail, bell;
} az_normal_parts;

AZ_INLINE az_normal_parts az_normal_tail(float z) {
    float t = 1 / (1 + 0.34375f * __builtin_fabsf(z));
    float p = -0x1.c62e74p-6f;
    p = p * t + 0x1.25c47cp-3f;
    p = p * t + -0x1.156b46p-2f;
    p = p * t + 0x1.85403ap-3f;
    p = p * t + -0x1.3d791ep-5f;
    p = p * t + 0x1.cc8d36p-4f;
    p = p * t + 0x1.de6144p-4f;
    p = p * t + 0x1.19ac4ep-3f;
    p = p * t + 0x1.18d262p-3f;
    az_normal_parts parts;
    parts.bell = az_exp_nonpositive(-0.5f * z * z);
    parts.tail = p * t * parts.bell;
    return parts;
}

// Phi(z) = (1 + erf(z / sqrt 2)) / 2, absolute error below 1e-7.
AZ_INLINE float az_normal_cdf(float z, az_normal_parts parts) { return z > 0 ? 1 - parts.tail : parts.tail; }

// MARK: Turns

// sin(2 pi t) for a turn given as t = bits / 2^32 (any quarter, wrapping), absolute error below 2e-7.
AZ_INLINE float az_sin_turn(uint32_t bits) {
    // sin(2 pi t) = -sin(2 pi (|t'| - 1/4)) with t' = t - 1/4 in [-1/2, 1/2)
    float a = __builtin_fabsf((float)(int32_t)(bits - 0x40000000u) * 0x1p-32f) - 0.25f;
    float square = a * a;
    float p = 0x1.3912a8p5f;
    p = p * square + -0x1.31fbf4p6f;
    p = p * square + 0x1.466504p6f;
    p = p * square + -0x1.4abba2p5f;
    p = p * square + 0x1.921fb4p2f;
    return -a * p;
}
#endif
