// Rotation of pairs of columns (rotary positions: Su et al. 2021, RoFormer).
#include "ckernels.h"
#include "vector_math.h"

AZ_KERNEL void az_rotate_pairs(long rows, long d, long rotated, float sign, const float *cosines, const float *sines,
                               const float *x, long x_row, float *y, long y_row) {
    const long pairs = rotated / 2;
    for (long r = 0; r < rows; r++, x += x_row, y += y_row, cosines += pairs, sines += pairs) {
        AZ_VECTORIZE
        for (long j = 0; j < pairs; j++) {
            const float even = x[2 * j], odd = x[2 * j + 1], c = cosines[j], s = sign * sines[j];
            y[2 * j] = even * c - odd * s;
            y[2 * j + 1] = odd * c + even * s;
        }
        if (x != y) memcpy(y + rotated, x + rotated, (size_t)(d - rotated) * sizeof *y);
    }
}

AZ_KERNEL void az_rotate_halves(long rows, long d, long rotated, float sign, const float *cosines, const float *sines,
                                const float *x, long x_row, float *y, long y_row) {
    const long half = rotated / 2;
    for (long r = 0; r < rows; r++, x += x_row, y += y_row, cosines += half, sines += half) {
        AZ_VECTORIZE
        for (long j = 0; j < half; j++) {
            const float low = x[j], high = x[j + half], c = cosines[j], s = sign * sines[j];
            y[j] = low * c - high * s;
            y[j + half] = high * c + low * s;
        }
        if (x != y) memcpy(y + rotated, x + rotated, (size_t)(d - rotated) * sizeof *y);
    }
}
