// A matrix times a vector, for decoding: every element of the matrix is used once (or changed and used), so memory sets
// the pace.
#include "ckernels.h"
#include "vector_math.h"

// Elements to fetch ahead: the hardware's own prefetching stops at the end of a page.
enum { AZ_AHEAD = 1024 };


// The products of x with two rows: two streams from memory are faster than one.
AZ_INLINE void az_two_dots(long n, const float *p, const float *q, const float *x, float *first, float *second) {
#pragma clang fp contract(fast)
    az_vector p0 = 0.0f, p1 = 0.0f, q0 = 0.0f, q1 = 0.0f;
    long j = 0;
    for (; j + 32 <= n; j += 32) {
        for (int line = 0; line < 32; line += 16) {
            __builtin_prefetch(p + j + line + AZ_AHEAD);
            __builtin_prefetch(q + j + line + AZ_AHEAD);
        }
        const az_vector x0 = AZ_LOAD(x + j), x1 = AZ_LOAD(x + j + 16);
        p0 += AZ_LOAD(p + j) * x0;
        p1 += AZ_LOAD(p + j + 16) * x1;
        q0 += AZ_LOAD(q + j) * x0;
        q1 += AZ_LOAD(q + j + 16) * x1;
    }
    float a = 0, b = 0;
    for (; j < n; j++) {
        a += p[j] * x[j];
        b += q[j] * x[j];
    }
    float wide_a, wide_b;
    AZ_SUM(wide_a, p0 + p1)
    AZ_SUM(wide_b, q0 + q1)
    *first = a + wide_a;
    *second = b + wide_b;
}

AZ_INLINE void az_put(float alpha, float product, float beta, float *y) {
    *y = alpha * product + (beta == 0 ? 0 : beta * *y);
}

AZ_KERNEL void az_matrix_vector(long rows, long cols, float alpha, const float *w, long w_row, const float *x,
                                float beta, float *y) {
    const long half = (rows + 1) / 2;
    for (long r = 0; r < half; r++) {
        const long other = r + half < rows ? r + half : r;  // an odd row is its own partner
        float a, b;
        az_two_dots(cols, w + r * w_row, w + other * w_row, x, &a, &b);
        az_put(alpha, a, beta, y + r);
        if (other != r) az_put(alpha, b, beta, y + other);
    }
}

AZ_KERNEL void az_outer_matrix_vector(long rows, long cols, const float *u, long u_step, const float *v, float *w,
                                      long w_row, float alpha, const float *x, float *y) {
#pragma clang fp reassociate(on) contract(fast)
    for (long r = 0; r < rows; r++, u += u_step, w += w_row) {
        const float factor = *u;
        float total = 0;
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            const float changed = w[j] + factor * v[j];
            w[j] = changed;
            total += changed * x[j];
        }
        y[r] = alpha * total;
    }
}

AZ_KERNEL void az_outer_vector_matrix(long rows, long cols, const float *u, long u_step, const float *v, float *w,
                                      long w_row, const float *x, float *y) {
#pragma clang fp contract(fast)
    AZ_VECTORIZE
    for (long j = 0; j < cols; j++) y[j] = 0;
    for (long r = 0; r < rows; r++, u += u_step, w += w_row) {
        const float factor = *u, weight = x[r];
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            const float changed = w[j] + factor * v[j];
            w[j] = changed;
            y[j] += weight * changed;
        }
    }
}

AZ_KERNEL void az_fading_vector_matrix(long rows, long cols, float decay, const float *u, long u_step, const float *v,
                                       float *w, long w_row, const float *x, float *y) {
#pragma clang fp contract(fast)
    AZ_VECTORIZE
    for (long j = 0; j < cols; j++) y[j] = 0;
    for (long r = 0; r < rows; r++, u += u_step, w += w_row) {
        const float factor = *u, weight = x[r];
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            const float changed = decay * w[j] + factor * v[j];
            w[j] = changed;
            y[j] += weight * changed;
        }
    }
}
