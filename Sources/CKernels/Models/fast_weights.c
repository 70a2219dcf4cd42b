// Fast weights' deterministic feature maps of keys and queries, and the substitution that an update rule with erasure comes to.
#include "ckernels.h"
#include "../vector_math.h"

// r = [relu(x), relu(-x)] at padded + nu, with its last nu elements once more before it: r[i - j] for i < j as well.
AZ_INLINE void az_rectify(long d, long nu, const float *x, float *padded) {
    float *r = padded + nu;
    AZ_VECTORIZE
    for (long i = 0; i < d; i++) r[i] = x[i] < 0 ? 0 : x[i];
    AZ_VECTORIZE
    for (long i = 0; i < d; i++) r[d + i] = x[i] > 0 ? 0 : -x[i];
    for (long j = 1; j <= nu; j++) r[-j] = r[2 * d - j];
}

AZ_KERNEL void az_dpfp_forward(long rows, long d, long nu, float eps, const float *x, long x_row, float *y,
                               float *scratch) {
    const long wide = 2 * d;
    const float *r = scratch + nu;
    for (long row = 0; row < rows; row++, x += x_row, y += wide * nu) {
        az_rectify(d, nu, x, scratch);
        float total = 0;
        for (long j = 1; j <= nu; j++) {
            float *block = y + (j - 1) * wide;
            const float *rolled = r - j;
            AZ_VECTORIZE
            for (long i = 0; i < wide; i++) {
                const float product = r[i] * rolled[i];
                block[i] = product;
                total += product;
            }
        }
        if (eps < 0) continue;
        const float factor = 1 / (total + eps);
        AZ_VECTORIZE
        for (long i = 0; i < wide * nu; i++) y[i] *= factor;
    }
}

AZ_KERNEL void az_dpfp_backward(long rows, long d, long nu, float eps, const float *x, long x_row, const float *dy,
                                float *dx, long dx_row, float *scratch) {
    const long wide = 2 * d;
    const float *r = scratch + nu;
    float *dr = scratch + wide + 2 * nu;  // as r, the part before it to be folded
    for (long row = 0; row < rows; row++, x += x_row, dy += wide * nu, dx += dx_row) {
        az_rectify(d, nu, x, scratch);
        float factor = 1, mean = 0;
        if (eps >= 0) {
            float total = 0, dot = 0;
            for (long j = 1; j <= nu; j++) {
                const float *g = dy + (j - 1) * wide, *rolled = r - j;
                AZ_VECTORIZE
                for (long i = 0; i < wide; i++) {
                    const float product = r[i] * rolled[i];
                    total += product;
                    dot += g[i] * product;
                }
            }
            factor = 1 / (total + eps);
            mean = dot * factor;
        }
        for (long i = -nu; i < wide; i++) dr[i] = 0;
        for (long j = 1; j <= nu; j++) {
            const float *g = dy + (j - 1) * wide, *rolled = r - j;
            float *earlier = dr - j;
            AZ_VECTORIZE
            for (long i = 0; i < wide; i++) dr[i] += (g[i] - mean) * factor * rolled[i];
            AZ_VECTORIZE
            for (long i = 0; i < wide; i++) earlier[i] += (g[i] - mean) * factor * r[i];
        }
        for (long j = 1; j <= nu; j++) dr[wide - j] += dr[-j];
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) dx[i] = (x[i] > 0 ? dr[i] : 0) - (x[i] < 0 ? dr[d + i] : 0);
    }
}

// y += a0 x0 + a1 x1 + a2 x2 + a3 x3
AZ_INLINE void az_add_four(long n, const float *a, const float *x, long x_row, float *y) {
#pragma clang fp contract(fast)
    const float a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
    const float *x0 = x, *x1 = x + x_row, *x2 = x + 2 * x_row, *x3 = x + 3 * x_row;
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) y[i] += a0 * x0[i] + a1 * x1[i] + (a2 * x2[i] + a3 * x3[i]);
}

AZ_INLINE void az_add_one(long n, float a, const float *x, float *y) {
#pragma clang fp contract(fast)
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) y[i] += a * x[i];
}

AZ_KERNEL void az_erasing_substitution_forward(long rows, long cols, const float *n, long n_row, const float *beta,
                                               long beta_step, const float *gamma, long gamma_step, const float *v,
                                               long v_row, float *e, float *u) {
    for (long i = 0; i < rows; i++) {
        float *sum = e + i * cols, *target = u + i * cols;
        const float *factors = n + i * n_row;
        long j = 0;
        for (; j + 4 <= i; j += 4) az_add_four(cols, factors + j, u + j * cols, cols, sum);
        for (; j < i; j++) az_add_one(cols, factors[j], u + j * cols, sum);
        const float b = beta[i * beta_step], g = gamma[i * gamma_step];
        const float *value = v + i * v_row;
        AZ_VECTORIZE
        for (long c = 0; c < cols; c++) target[c] = b * value[c] - g * sum[c];
    }
}

AZ_KERNEL void az_erasing_substitution_backward(long rows, long cols, const float *n, long n_row, const float *gamma,
                                                long gamma_step, float *r, float *x) {
    for (long i = rows - 1; i >= 0; i--) {
        float *sum = r + i * cols, *target = x + i * cols;
        long j = i + 1;
        for (; j + 4 <= rows; j += 4) {
            const float factors[4] = {n[j * n_row + i], n[(j + 1) * n_row + i], n[(j + 2) * n_row + i],
                                      n[(j + 3) * n_row + i]};
            az_add_four(cols, factors, x + j * cols, cols, sum);
        }
        for (; j < rows; j++) az_add_one(cols, n[j * n_row + i], x + j * cols, sum);
        const float g = gamma[i * gamma_step];
        AZ_VECTORIZE
        for (long c = 0; c < cols; c++) target[c] = -g * sum[c];
    }
}
