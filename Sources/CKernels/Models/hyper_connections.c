// Hyper-connections' loops over a few vectors for each row: weighted sums of them, dot products between them, and weights that depend on them. The
// first two are each other's gradients. Vectors are long and few, so the loops run along them with the results of up to
// four outputs in registers; four at a time, then two, then one covers any number.
#include "ckernels.h"
#include "../row_math.h"

enum { LANES = 16 };

AZ_INLINE const float *vector_of(az_vectors vectors, long row) { return vectors.first + row * vectors.row; }

// MARK: Weighted sums

// Columns i to i + 16 * N of T outputs of one row. The next row is fetched meanwhile: many sources are too many streams
// for the processor to foresee.
AZ_INLINE void mix_columns(const int T, const int N, long i, long d, long row, long sources, const az_vectors *x,
                           const float *weight, long source, long output, const float *base, long next_base, float *y) {
    az_vector sum[4][2], value[2];
    for (int t = 0; t < T; t++) {
        for (int n = 0; n < N; n++) {
            sum[t][n] = 0;
            if (!base) continue;
            memcpy(&sum[t][n], base + t * d + i + n * LANES, sizeof sum[t][n]);
            __builtin_prefetch(base + next_base + t * d + i + n * LANES);
        }
    }
    for (long p = 0; p < sources; p++) {
        const float *from = vector_of(x[p], row) + i;
        for (int n = 0; n < N; n++) {
            memcpy(&value[n], from + n * LANES, sizeof value[n]);
            __builtin_prefetch(from + x[p].row + n * LANES);
        }
        for (int t = 0; t < T; t++) {
            const float w = weight[p * source + t * output];
            for (int n = 0; n < N; n++) sum[t][n] += w * value[n];
        }
    }
    for (int t = 0; t < T; t++) {
        for (int n = 0; n < N; n++) memcpy(y + t * d + i + n * LANES, &sum[t][n], sizeof sum[t][n]);
    }
}

// T outputs of one row.
AZ_INLINE void mix_row(const int T, long d, long row, long sources, const az_vectors *x, const float *weight,
                       long source, long output, const float *base, long next_base, float *y) {
    long i = 0;
    for (; i + 2 * LANES <= d; i += 2 * LANES) {
        mix_columns(T, 2, i, d, row, sources, x, weight, source, output, base, next_base, y);
    }
    for (; i + LANES <= d; i += LANES) {
        mix_columns(T, 1, i, d, row, sources, x, weight, source, output, base, next_base, y);
    }
    for (; i < d; i++) {
        float sum[4];
        for (int t = 0; t < T; t++) sum[t] = base ? base[t * d + i] : 0;
        for (long p = 0; p < sources; p++) {
            const float value = vector_of(x[p], row)[i];
            for (int t = 0; t < T; t++) sum[t] += weight[p * source + t * output] * value;
        }
        for (int t = 0; t < T; t++) y[t * d + i] = sum[t];
    }
}

AZ_KERNEL void az_mix_rows(long rows, long d, long sources, long outputs, const az_vectors *x, const float *weights,
                           long weight_row, long weight_source, long weight_output, const float *base, float *y) {
    for (long r = 0; r < rows; r++, y += outputs * d) {
        const float *w = weights + r * weight_row, *b = base ? base + r * outputs * d : base;
        long t = 0;
#define AZ_OUTPUTS(T)                                                                                            \
    mix_row(T, d, r, sources, x, w + t * weight_output, weight_source, weight_output, b ? b + t * d : b, \
            outputs * d, y + t * d)
        for (; t + 4 <= outputs; t += 4) AZ_OUTPUTS(4);
        if (t + 2 <= outputs) {
            AZ_OUTPUTS(2);
            t += 2;
        }
        if (t < outputs) AZ_OUTPUTS(1);
#undef AZ_OUTPUTS
    }
}

// MARK: Dot products

// The sum of the lanes is left in lane 0.
AZ_INLINE void add_lanes(az_vector *x) {
    az_vector a = *x;
    a += __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    a += __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    a += __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    a += __builtin_shufflevector(a, a, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    *x = a;
}

// N vectors a with M vectors b of one row: y[n * y_row + m]; squares (may be null): [n].
AZ_INLINE void dot_block(const int N, const int M, long d, long row, const az_vectors *a, const az_vectors *b, float *y,
                         long y_row, float *squares) {
    const float *from[4], *with[4];
    az_vector sum[4][4], own[4];
    for (int n = 0; n < N; n++) {
        from[n] = vector_of(a[n], row);
        own[n] = 0;
        for (int m = 0; m < M; m++) sum[n][m] = 0;
    }
    for (int m = 0; m < M; m++) with[m] = vector_of(b[m], row);
    long i = 0;
    for (; i + LANES <= d; i += LANES) {
        az_vector value[4], other;
        for (int n = 0; n < N; n++) memcpy(&value[n], from[n] + i, sizeof value[n]);
        for (int m = 0; m < M; m++) {
            memcpy(&other, with[m] + i, sizeof other);
            for (int n = 0; n < N; n++) sum[n][m] += value[n] * other;
        }
        if (squares) {
            for (int n = 0; n < N; n++) own[n] += value[n] * value[n];
        }
    }
    for (; i < d; i++) {
        for (int n = 0; n < N; n++) {
            for (int m = 0; m < M; m++) sum[n][m][0] += from[n][i] * with[m][i];
            own[n][0] += from[n][i] * from[n][i];
        }
    }
    for (int n = 0; n < N; n++) {
        for (int m = 0; m < M; m++) {
            add_lanes(&sum[n][m]);
            y[n * y_row + m] = sum[n][m][0];
        }
        if (squares) {
            add_lanes(&own[n]);
            squares[n] = own[n][0];
        }
    }
}

// N vectors a with all m vectors b of one row.
AZ_INLINE void dot_row(const int N, long d, long row, long m, const az_vectors *a, const az_vectors *b, float *y,
                       float *squares) {
    long j = 0;
    for (; j + 4 <= m; j += 4) dot_block(N, 4, d, row, a, b + j, y + j, m, j ? (float *)0 : squares);
    if (j + 2 <= m) {
        dot_block(N, 2, d, row, a, b + j, y + j, m, j ? (float *)0 : squares);
        j += 2;
    }
    if (j < m) dot_block(N, 1, d, row, a, b + j, y + j, m, j ? (float *)0 : squares);
}

AZ_KERNEL void az_dot_rows(long rows, long d, long n, long m, const az_vectors *a, const az_vectors *b, float *y,
                           float *squares) {
    for (long r = 0; r < rows; r++, y += n * m) {
        float *s = squares ? squares + r * n : squares;
        long i = 0;
        for (; i + 4 <= n; i += 4) dot_row(4, d, r, m, a + i, b, y + i * m, s ? s + i : s);
        if (i + 2 <= n) {
            dot_row(2, d, r, m, a + i, b, y + i * m, s ? s + i : s);
            i += 2;
        }
        if (i < n) dot_row(1, d, r, m, a + i, b, y + i * m, s ? s + i : s);
    }
}

// MARK: Small products

// T columns of one row's product.
AZ_INLINE void product_columns(const int T, long m, long k, const float *a, long a_m, long a_k, const float *b, long b_k,
                               float *y, long y_m) {
    for (long i = 0; i < m; i++) {
        float sum[4] = {0};
        for (long l = 0; l < k; l++) {
            const float value = a[i * a_m + l * a_k];
            for (int t = 0; t < T; t++) sum[t] += value * b[l * b_k + t];
        }
        for (int t = 0; t < T; t++) y[i * y_m + t] = sum[t];
    }
}

AZ_KERNEL void az_small_products(long rows, long m, long k, long n, const float *a, long a_row, long a_m, long a_k,
                                 const float *b, long b_row, long b_k, float *y, long y_row, long y_m) {
    for (long r = 0; r < rows; r++, a += a_row, b += b_row, y += y_row) {
        long j = 0;
        for (; j + 4 <= n; j += 4) product_columns(4, m, k, a, a_m, a_k, b + j, b_k, y + j, y_m);
        if (j + 2 <= n) {
            product_columns(2, m, k, a, a_m, a_k, b + j, b_k, y + j, y_m);
            j += 2;
        }
        if (j < n) product_columns(1, m, k, a, a_m, a_k, b + j, b_k, y + j, y_m);
    }
}

// MARK: Weights from dot products

AZ_KERNEL void az_cosine_weights_forward(long rows, long n, long c, float eps, const float *squares, const float *gain,
                                         const float *shift, float *dots, float *inverse, float *y) {
    AZ_VECTORIZE
    for (long i = 0; i < rows * n; i++) {
        const float length = az_sqrt(squares[i]);
        inverse[i] = length < eps ? -1 / eps : 1 / length;
    }
    for (long r = 0; r < rows; r++, inverse += n, dots += n * c, y += n * c) {
        for (long i = 0; i < n; i++) {
            const float scale = __builtin_fabsf(inverse[i]);
            for (long j = 0; j < c; j++) dots[i * c + j] *= scale;
        }
        AZ_VECTORIZE
        for (long j = 0; j < n * c; j++) y[j] = az_tanh(dots[j]) * gain[j] + shift[j];
    }
}

// With s = |inverse|, u = <x, g_j>, a = s u and f' = gain (1 - tanh(a)^2):   dx = sum_j dy_j f'_j (s g_j - s^2 a_j x),
// where the length's part is missing in clamped rows, and dg_j = dy_j f'_j s x.
AZ_KERNEL void az_cosine_weights_backward(long rows, long n, long c, const float *x, const float *inverse,
                                          const float *gain, const float *dy, float *slope, float *mix, long mix_row,
                                          float *dgain, float *dshift) {
    for (long r = 0; r < rows; r++, x += n * c, inverse += n, dy += n * c, slope += n * c, mix += mix_row) {
        AZ_VECTORIZE
        for (long j = 0; j < n * c; j++) {
            const float t = az_tanh(x[j]);
            dgain[j] += dy[j] * t;
            dshift[j] += dy[j];
            slope[j] = dy[j] * gain[j] * (1 - t * t);
        }
        for (long i = 0; i < n * n; i++) mix[c * n + i] = 0;
        for (long i = 0; i < n; i++) {
            const float scale = __builtin_fabsf(inverse[i]);
            float along = 0;
            for (long j = 0; j < c; j++) {
                along += slope[i * c + j] * x[i * c + j];
                slope[i * c + j] *= scale;
                mix[j * n + i] = slope[i * c + j];
            }
            mix[(c + i) * n + i] = inverse[i] < 0 ? 0 : -scale * scale * along;
        }
    }
}
