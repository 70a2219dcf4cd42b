// FAVOR+'s exponentials in pairs of opposite sign: positive random features.
#include "ckernels.h"
#include "../row_math.h"

AZ_INLINE float az_row_half_square(long d, const float *x) {
#pragma clang fp reassociate(on)
    float total = 0;
    AZ_VECTORIZE
    for (long i = 0; i < d; i++) total += x[i] * x[i];
    return total / 2;
}

AZ_KERNEL void az_exponential_pairs_forward(long rows, long d, long m, float scale, const float *x, const float *u,
                                            float *y) {
    for (long r = 0; r < rows; r++, x += d, u += m, y += 2 * m) {
        const float h = az_row_half_square(d, x);
        AZ_VECTORIZE
        for (long j = 0; j < m; j++) {
            y[j] = scale * az_exp(u[j] - h);
            y[m + j] = scale * az_exp(-u[j] - h);
        }
    }
}

// d/du gives the two halves with opposite signs, d/dh both with a minus; h = |x|^2 / 2 passes it on times x.
AZ_KERNEL void az_exponential_pairs_backward(long rows, long d, long m, const float *x, const float *y,
                                             const float *dy, float beta, float *dx, float *du) {
#pragma clang fp reassociate(on)
    for (long r = 0; r < rows; r++, y += 2 * m, dy += 2 * m) {
        if (du) {
            AZ_VECTORIZE
            for (long j = 0; j < m; j++) du[j] = dy[j] * y[j] - dy[m + j] * y[m + j];
            du += m;
        }
        if (dx) {
            float total = 0;
            AZ_VECTORIZE
            for (long j = 0; j < 2 * m; j++) total += dy[j] * y[j];
            az_scale_add(d, -total, x, beta, dx);
            dx += d;
            x += d;
        }
    }
}
