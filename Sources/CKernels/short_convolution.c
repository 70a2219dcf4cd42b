// A causal convolution of each channel over its last few tokens, with an activation: y_t = f(z_t), z_t = b + sum over j of
// w_j x_(t - kernel + 1 + j).
#include "ckernels.h"
#include "vector_math.h"

// The tokens' rows, the first of which lie in the history.
typedef struct {
    long kernel;
    const float *history, *x;
    long history_row, x_row;
} az_tokens;

AZ_INLINE const float *az_token(const az_tokens *tokens, long t) {
    return t < 0 ? tokens->history + (t + tokens->kernel - 1) * tokens->history_row : tokens->x + t * tokens->x_row;
}

// y = start + sum over j of w_j row_j for up to four rows; start may be y.
AZ_INLINE void az_taps(long n, long count, const float *w, long w_row, const float *const *rows, const float *start,
                       float *y) {
#pragma clang fp contract(fast)
    const float *r0 = rows[0], *w0 = w;
    if (count == 4) {
        const float *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
        const float *w1 = w + w_row, *w2 = w + 2 * w_row, *w3 = w + 3 * w_row;
        AZ_VECTORIZE
        for (long i = 0; i < n; i++)
            y[i] = start[i] + (w0[i] * r0[i] + w1[i] * r1[i]) + (w2[i] * r2[i] + w3[i] * r3[i]);
        return;
    }
    for (long j = 0; j < count; j++) {
        const float *row = rows[j], *factor = w + j * w_row;
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) y[i] = start[i] + factor[i] * row[i];
        start = y;
    }
}

// z of token t.
AZ_INLINE void az_convolve(long n, const az_tokens *tokens, long t, const float *w, long w_row, const float *bias,
                           float *z) {
    const long kernel = tokens->kernel;
    for (long j = 0; j < kernel; j += 4) {
        const float *rows[4];
        const long count = az_min(4, kernel - j);
        for (long i = 0; i < count; i++) rows[i] = az_token(tokens, t - kernel + 1 + j + i);
        az_taps(n, count, w + j * w_row, w_row, rows, j == 0 ? bias : z, z);
    }
}

AZ_KERNEL void az_short_convolution_forward(long n, long channels, long kernel, az_row_function function,
                                            const float *w, long w_row, const float *bias, const float *history,
                                            long history_row, const float *x, long x_row, float *y, long y_row) {
    const az_tokens tokens = {kernel, history, x, history_row, x_row};
    for (long t = 0; t < n; t++, y += y_row) {
        az_convolve(channels, &tokens, t, w, w_row, bias, y);
        if (function) function(channels, y, y);
    }
}

// dw_j += dz row_j for up to four rows.
AZ_INLINE void az_add_taps(long n, long count, const float *dz, const float *const *rows, float *dw, long dw_row) {
#pragma clang fp contract(fast)
    if (count == 4) {
        const float *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
        float *w0 = dw, *w1 = dw + dw_row, *w2 = dw + 2 * dw_row, *w3 = dw + 3 * dw_row;
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) {
            const float d = dz[i];
            w0[i] += d * r0[i];
            w1[i] += d * r1[i];
            w2[i] += d * r2[i];
            w3[i] += d * r3[i];
        }
        return;
    }
    for (long j = 0; j < count; j++) {
        const float *row = rows[j];
        float *target = dw + j * dw_row;
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) target[i] += dz[i] * row[i];
    }
}

// Adds dz_t to dw and dbias.
AZ_INLINE void az_add_token(long n, const az_tokens *tokens, long t, const float *dz, float *dw, long dw_row,
                            float *dbias) {
    const long kernel = tokens->kernel;
    for (long j = 0; j < kernel; j += 4) {
        const float *rows[4];
        const long count = az_min(4, kernel - j);
        for (long i = 0; i < count; i++) rows[i] = az_token(tokens, t - kernel + 1 + j + i);
        az_add_taps(n, count, dz, rows, dw + j * dw_row, dw_row);
    }
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) dbias[i] += dz[i];
}

// dx of token t, to which later tokens contribute: the sum over j of w_j dz_(t + kernel - 1 - j). Slot s of the ring holds
// dz of the latest token that is s modulo the kernel.
AZ_INLINE void az_collect(long n, long kernel, long t, const float *w, long w_row, const float *ring, const float *zeros,
                          float *dx) {
    for (long j = 0; j < kernel; j += 4) {
        const float *rows[4];
        const long count = az_min(4, kernel - j);
        for (long i = 0; i < count; i++) {
            const long later = t + 2 * kernel - 1 - j - i;  // a kernel more, so that it is not negative
            rows[i] = ring + later % kernel * n;
        }
        az_taps(n, count, w + j * w_row, w_row, rows, j == 0 ? zeros : dx, dx);
    }
}

AZ_KERNEL void az_short_convolution_backward(long n, long later, long channels, long kernel, az_row_function function,
                                             az_row_gradient_function gradient, const float *w, long w_row,
                                             const float *bias, const float *history, long history_row, const float *x,
                                             long x_row, const float *y, long y_row, const float *dy, long dy_row,
                                             float *dhistory, float *dx, long dx_row, float *dw, long dw_row,
                                             float *dbias, float *scratch) {
    const az_tokens tokens = {kernel, history, x, history_row, x_row};
    float *ring = scratch, *z = ring + kernel * channels, *zeros = z + channels;
    memset(scratch, 0, sizeof(float) * (size_t)((kernel + 2) * channels));
    for (long t = 0; t < n + kernel - 1; t++) {
        float *dz = ring + t % kernel * channels;
        if (t >= n + later) {
            memset(dz, 0, sizeof(float) * (size_t)channels);
        } else if (function) {
            az_convolve(channels, &tokens, t, w, w_row, bias, z);
            gradient(channels, z, y + t * y_row, dy + t * dy_row, dz);
        } else {
            memcpy(dz, dy + t * dy_row, sizeof(float) * (size_t)channels);
        }
        if (t < n) az_add_token(channels, &tokens, t, dz, dw, dw_row, dbias);
        const long complete = t - kernel + 1;
        if (complete >= 0) {
            az_collect(channels, kernel, complete, w, w_row, ring, zeros, dx + complete * dx_row);
        } else if (dhistory) {
            az_collect(channels, kernel, complete, w, w_row, ring, zeros, dhistory + t * dx_row);
        }
    }
}
