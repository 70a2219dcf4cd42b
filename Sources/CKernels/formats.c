// Number formats of checkpoints, by their bits: exact, and no denormal float32 arises on the way that a thread might
// flush.
#include "ckernels.h"
#include "vector_math.h"

AZ_KERNEL void az_half_to_float(long n, const uint16_t *x, float *y) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) {
        const uint32_t half = x[i], exponent = half >> 10 & 31, mantissa = half & 1023;
        const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
        const uint32_t normal = wide << 23 | mantissa << 13;
        const uint32_t small = az_bits((float)(int32_t)mantissa * 0x1p-24f);  // exponent 0: denormals and 0
        y[i] = az_from_bits((exponent == 0 ? small : normal) | (half & 0x8000) << 16);
    }
}

AZ_KERNEL void az_bfloat16_to_float(long n, const uint16_t *x, float *y) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) y[i] = az_from_bits((uint32_t)x[i] << 16);
}
