// Sums that fade from row to row, each column by its own factor: what slots that forget hold of the rows of a chunk. A
// weight of row i at row t is a product of factors, never a quotient of two such products: it may become 0, but no
// intermediate number overflows, and a factor of 0 is a number like others.
#include "ckernels.h"
#include "../row_math.h"

// Columns are taken in groups of vectors that stay in registers while rows go by.
enum { LANES = 16, GROUP = 4 };

// The first `width` floats of a vector, the others 0.
AZ_INLINE void load_part(const float *x, long width, az_vector *y) {
    if (width >= LANES) {
        *y = AZ_LOAD(x);
        return;
    }
    float all[LANES] = {0};
    for (long j = 0; j < width; j++) all[j] = x[j];
    memcpy(y, all, sizeof all);
}

AZ_INLINE void store_part(const az_vector *x, long width, float *y) {
    memcpy(y, x, sizeof(float) * (size_t)az_min(width, LANES));
}

AZ_KERNEL void az_fading_factors(long rows, long cols, const float *log_kept, long row, float *kept, float *written,
                                 long wide) {
    for (long t = 0; t < rows; t++, log_kept += row, kept += wide, written += wide) {
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            const float x = log_kept[j];
            const az_exp_parts parts = az_exp_reduce(x);
            const float scale = az_exp_scale(parts);
            const float change = az_expm1_polynomial(parts.r) * scale + (scale - 1);
            kept[j] = az_exp(x);
            written[j] = x < -80 ? 1 : -change;
        }
        for (long j = cols; j < wide; j++) kept[j] = written[j] = 0;
    }
}

// y <- kept_i y + s[t, i] written_i, from y = x_t and i = 0 on; four rows t at a time, which share the factors.
AZ_KERNEL void az_fading_sums_forward(long rows, long cols, const float *kept, const float *written, long wide,
                                      const float *s, long s_row, float *x) {
#pragma clang fp contract(fast)
    enum { ROWS = 4 };
    for (long j = 0; j < cols; j += LANES) {
        const float *a = kept + j, *w = written + j;
        for (long t = 0; t < rows; t += ROWS) {
            const long count = az_min(ROWS, rows - t);
            az_vector y[ROWS] = {0};
            const float *weights[ROWS];
            for (long r = 0; r < ROWS; r++) weights[r] = s + (t + az_min(r, count - 1)) * s_row;
            for (long r = 0; r < count; r++) load_part(x + (t + r) * cols + j, cols - j, y + r);
            for (long i = 0; i <= t; i++) {
                const az_vector left = AZ_LOAD(a + i * wide), share = AZ_LOAD(w + i * wide);
                for (long r = 0; r < ROWS; r++) y[r] = left * y[r] + weights[r][i] * share;
            }
            for (long r = 1; r < count; r++)
                for (long i = t + 1; i <= t + r; i++)
                    y[r] = AZ_LOAD(a + i * wide) * y[r] + weights[r][i] * AZ_LOAD(w + i * wide);
            for (long r = 0; r < count; r++) store_part(y + r, cols - j, x + (t + r) * cols + j);
        }
    }
}

// The columns of some vectors of one row, back from row t: s[t, i] of these, and x_t faded by all of its rows.
AZ_INLINE void transpose_group(const long vectors, long t, const float *kept, const float *written, long wide, float *x,
                               long width, int is_first, float *s) {
#pragma clang fp contract(fast)
    az_vector z[GROUP];
    for (long v = 0; v < vectors; v++) load_part(x + v * LANES, width - v * LANES, z + v);
    for (long i = t; i >= 0; i--) {
        const float *left = kept + i * wide, *share = written + i * wide;
        az_vector products = z[0] * AZ_LOAD(share);
        for (long v = 1; v < vectors; v++) products += z[v] * AZ_LOAD(share + v * LANES);
        for (long v = 0; v < vectors; v++) z[v] *= AZ_LOAD(left + v * LANES);
        float total;
        AZ_SUM(total, products)
        s[i] = is_first ? total : s[i] + total;
    }
    for (long v = 0; v < vectors; v++) store_part(z + v, width - v * LANES, x + v * LANES);
}

AZ_KERNEL void az_fading_sums_transpose(long rows, long cols, const float *kept, const float *written, long wide,
                                        float *x, float *s, long s_row) {
    for (long t = 0; t < rows; t++) {
        float *row = x + t * cols, *sums = s + t * s_row;
        for (long i = t + 1; i < rows; i++) sums[i] = 0;
        for (long j = 0; j < cols; j += GROUP * LANES) {
            const long left = (cols - j + LANES - 1) / LANES;
#define AZ_CALL(count) transpose_group(count, t, kept + j, written + j, wide, row + j, cols - j, j == 0, sums)
            if (left >= 4) AZ_CALL(4);
            else if (left == 3) AZ_CALL(3);
            else if (left == 2) AZ_CALL(2);
            else AZ_CALL(1);
#undef AZ_CALL
        }
    }
}

// With y_i the sum after row i, dy its gradient at row t: the factor kept_i = e^l_i of y_{i-1} and the share
// written_i = 1 - e^l_i of s[t, i] give l_i the gradient kept_t ... kept_i dy (y_{i-1} - s[t, i]).
AZ_INLINE void backward_group(const long vectors, long t, const float *kept, const float *written, long wide,
                              const float *s, const float *x, float *dy, long width, int is_first, float *ds,
                              float *d_log, float *scratch) {
#pragma clang fp contract(fast)
    az_vector y[GROUP];
    for (long v = 0; v < vectors; v++) load_part(x + v * LANES, width - v * LANES, y + v);
    for (long i = 0; i <= t; i++) {
        for (long v = 0; v < vectors; v++) {
            const az_vector change = y[v] - s[i];
            memcpy(scratch + (i * GROUP + v) * LANES, &change, sizeof change);
            y[v] = AZ_LOAD(kept + i * wide + v * LANES) * y[v] + s[i] * AZ_LOAD(written + i * wide + v * LANES);
        }
    }
    for (long v = 0; v < vectors; v++) load_part(dy + v * LANES, width - v * LANES, y + v);
    for (long i = t; i >= 0; i--) {
        const float *left = kept + i * wide, *share = written + i * wide;
        az_vector products = y[0] * AZ_LOAD(share);
        for (long v = 1; v < vectors; v++) products += y[v] * AZ_LOAD(share + v * LANES);
        for (long v = 0; v < vectors; v++) {
            y[v] *= AZ_LOAD(left + v * LANES);
            float *place = d_log + i * wide + v * LANES;
            const az_vector sum = AZ_LOAD(place) + y[v] * AZ_LOAD(scratch + (i * GROUP + v) * LANES);
            memcpy(place, &sum, sizeof sum);
        }
        float total;
        AZ_SUM(total, products)
        ds[i] = is_first ? total : ds[i] + total;
    }
    for (long v = 0; v < vectors; v++) store_part(y + v, width - v * LANES, dy + v * LANES);
}

AZ_KERNEL void az_fading_sums_backward(long rows, long cols, const float *kept, const float *written, long wide,
                                       const float *s, long s_row, const float *x, float *dy, float *ds, long ds_row,
                                       float *d_log, float *scratch) {
    for (long t = 0; t < rows; t++) {
        const float *weights = s + t * s_row, *start = x + t * cols;
        float *row = dy + t * cols, *slopes = ds + t * ds_row;
        for (long i = t + 1; i < rows; i++) slopes[i] = 0;
        for (long j = 0; j < cols; j += GROUP * LANES) {
            const long left = (cols - j + LANES - 1) / LANES;
#define AZ_CALL(count)                                                                                               \
    backward_group(count, t, kept + j, written + j, wide, weights, start + j, row + j, cols - j, j == 0, slopes,     \
                   d_log + j, scratch)
            if (left >= 4) AZ_CALL(4);
            else if (left == 3) AZ_CALL(3);
            else if (left == 2) AZ_CALL(2);
            else AZ_CALL(1);
#undef AZ_CALL
        }
    }
}

AZ_KERNEL void az_fading_total_forward(long rows, long cols, const float *kept, const float *written, long wide,
                                       float *lasting, float *whole) {
    AZ_VECTORIZE
    for (long j = 0; j < cols; j++) whole[j] = 1;
    for (long i = rows - 1; i >= 0; i--) {
        const float *left = kept + i * wide, *share = written + i * wide;
        float *row = lasting + i * cols;
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            row[j] = whole[j] * share[j];
            whole[j] *= left[j];
        }
    }
}

AZ_KERNEL void az_fading_total_backward(long rows, long cols, const float *kept, const float *written, long wide,
                                        float *reads, float *sums, float *d_log) {
    for (long i = 0; i < rows; i++) {
        const float *left = kept + i * wide, *share = written + i * wide;
        float *row = reads + i * cols;
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            const float before = sums[j], read = row[j];
            sums[j] = left[j] * before + share[j] * read;
            row[j] = before - read;
        }
    }
    AZ_VECTORIZE
    for (long j = 0; j < cols; j++) sums[j] = 1;
    for (long i = rows - 1; i >= 0; i--) {
        const float *left = kept + i * wide, *row = reads + i * cols;
        float *target = d_log + i * wide;
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            sums[j] *= left[j];
            target[j] += sums[j] * row[j];
        }
    }
}

// One token in place: w <- kept w + (1 - kept) v by row, then y = alpha w x.
AZ_KERNEL void az_fading_rows_matrix_vector(long rows, long cols, const float *kept, const float *written, const float *v,
                                            float *w, float alpha, const float *x, float *y) {
#pragma clang fp reassociate(on) contract(fast)
    for (long r = 0; r < rows; r++, w += cols) {
        const float left = kept[r], share = written[r];
        float total = 0;
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            const float changed = left * w[j] + share * v[j];
            w[j] = changed;
            total += changed * x[j];
        }
        y[r] = alpha * total;
    }
}

// The same, then y = w^T x.
AZ_KERNEL void az_fading_rows_vector_matrix(long rows, long cols, const float *kept, const float *written, const float *v,
                                            float *w, const float *x, float *y) {
#pragma clang fp contract(fast)
    AZ_VECTORIZE
    for (long j = 0; j < cols; j++) y[j] = 0;
    for (long r = 0; r < rows; r++, w += cols) {
        const float left = kept[r], share = written[r], weight = x[r];
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            const float changed = left * w[j] + share * v[j];
            w[j] = changed;
            y[j] += weight * changed;
        }
    }
}
