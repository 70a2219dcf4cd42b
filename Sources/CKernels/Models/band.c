// Products of attention's tiles whose rows each see a range of columns, both bounds growing with the row: a band. Only the
// blocks of the band are multiplied. Eight rows share the reading of two or three vectors of the right-hand side, whose
// rows are read in place: that of the scores is transposed, so nothing is summed across a vector.
#include "ckernels.h"
#include "../row_math.h"

enum { AZ_BAND_ROWS = 8, AZ_BAND_VECTORS = 3 };

// y [R, n] = (y +) alpha a b of the V vectors of columns, the last of which ends at column n, so may overlap the one before.
// a: [R, k] by strides; b: [k, n].
AZ_INLINE void az_band_block(const int R, const int V, long n, long k, float alpha, const float *a, long a_row,
                             long a_col, const float *b, long b_row, const int adds, float *y, long y_row) {
#pragma clang fp contract(fast)
    az_vector sums[AZ_BAND_ROWS * AZ_BAND_VECTORS];
    const long last = n - 16;
#pragma unroll
    for (int i = 0; i < R * V; i++) sums[i] = 0.0f;
    for (long p = 0; p < k; p++, a += a_col, b += b_row) {
        az_vector row[AZ_BAND_VECTORS];
#pragma unroll
        for (int v = 0; v < V; v++) row[v] = AZ_LOAD(b + (v == V - 1 ? last : 16 * v));
#pragma unroll
        for (int i = 0; i < R; i++) {
            const float factor = a[i * a_row];
#pragma unroll
            for (int v = 0; v < V; v++) sums[i * V + v] += row[v] * factor;
        }
    }
#pragma unroll
    for (int i = 0; i < R; i++) {
        az_vector before[AZ_BAND_VECTORS];
        float *target = y + i * y_row;
#pragma unroll
        for (int v = 0; v < V; v++) {
            if (adds) before[v] = AZ_LOAD(target + (v == V - 1 ? last : 16 * v));
            else before[v] = 0.0f;
        }
#pragma unroll
        for (int v = 0; v < V; v++)
            *(az_unaligned *)(target + (v == V - 1 ? last : 16 * v)) = before[v] + sums[i * V + v] * alpha;
    }
}

// All columns of R rows: pairs of vectors, at the end three or one; fewer than 16 columns one by one.
AZ_INLINE void az_band_rows(const int R, long n, long k, float alpha, const float *a, long a_row, long a_col,
                            const float *b, long b_row, const int adds, float *y, long y_row) {
    if (n < 16) {
        for (int i = 0; i < R; i++) {
            for (long c = 0; c < n; c++) {
                float sum = 0;
                for (long p = 0; p < k; p++) sum += a[i * a_row + p * a_col] * b[p * b_row + c];
                y[i * y_row + c] = (adds ? y[i * y_row + c] : 0) + alpha * sum;
            }
        }
        return;
    }
    for (; n > 48; n -= 32, b += 32, y += 32)
        az_band_block(R, 2, 32, k, alpha, a, a_row, a_col, b, b_row, adds, y, y_row);
    if (n > 32) az_band_block(R, 3, n, k, alpha, a, a_row, a_col, b, b_row, adds, y, y_row);
    else if (n > 16) az_band_block(R, 2, n, k, alpha, a, a_row, a_col, b, b_row, adds, y, y_row);
    else az_band_block(R, 1, n, k, alpha, a, a_row, a_col, b, b_row, adds, y, y_row);
}

// Rows that share the reading of the right-hand side, as many as there are registers for.
static long az_band_rows_at_once(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") ? AZ_BAND_ROWS : 2;
#else
    return AZ_BAND_ROWS / 2;
#endif
}

// Calls BODY(R) with the constant R of as many of the rows left as are taken together; BODY uses `count` for their number.
#define AZ_BAND_BLOCKS(rows, BODY)                                  \
    {                                                               \
        const long most = az_band_rows_at_once();                   \
        for (long done = 0, count; done < (rows); done += count) {  \
            const long left = az_min(most, (rows) - done);          \
            if (left >= 8) {                                        \
                count = 8;                                          \
                BODY(8)                                             \
            } else if (left >= 4) {                                 \
                count = 4;                                          \
                BODY(4)                                             \
            } else if (left >= 2) {                                 \
                count = 2;                                          \
                BODY(2)                                             \
            } else {                                                \
                count = 1;                                          \
                BODY(1)                                             \
            }                                                       \
        }                                                           \
    }

AZ_KERNEL void az_band_scores(long rows, long d, const int32_t *first, const int32_t *last, float alpha, const float *q,
                              long q_row, const float *keys, long keys_row, float *scores, long scores_row) {
#define AZ_SCORES(R)                                                                                       \
    const long from = first[done] / 16 * 16, to = (last[done + R - 1] + 15) / 16 * 16;                     \
    if (from < to)                                                                                         \
        az_band_rows(R, to - from, d, alpha, q + done * q_row, q_row, 1, keys + from, keys_row, 0,         \
                     scores + done * scores_row + from, scores_row);
    AZ_BAND_BLOCKS(rows, AZ_SCORES)
#undef AZ_SCORES
}

AZ_KERNEL void az_band_apply(long rows, long e, const int32_t *first, const int32_t *last, float alpha, const float *p,
                             long p_row, const float *x, long x_row, int adds, float *y, long y_row) {
#define AZ_APPLY(R)                                                                                          \
    const long from = first[done], seen = last[done + R - 1] > from ? last[done + R - 1] - from : 0;         \
    const float *weights = p + done * p_row + from, *rows_seen = x + from * x_row;                           \
    if (adds) az_band_rows(R, e, seen, alpha, weights, p_row, 1, rows_seen, x_row, 1, y + done * y_row, y_row); \
    else az_band_rows(R, e, seen, alpha, weights, p_row, 1, rows_seen, x_row, 0, y + done * y_row, y_row);
    AZ_BAND_BLOCKS(rows, AZ_APPLY)
#undef AZ_APPLY
}

AZ_KERNEL void az_band_transposed(long rows, long e, long from, long to, const int32_t *first, const int32_t *last,
                                  float alpha, const float *p, long p_row, const float *x, long x_row, float *y,
                                  long y_row) {
    long start = 0, end = 0;
#define AZ_COLUMNS(R)                                                                                           \
    const long column = from + done;                                                                            \
    while (start < rows && last[start] <= column) start++;                                                      \
    while (end < rows && first[end] < column + R) end++;                                                        \
    if (start < end)                                                                                            \
        az_band_rows(R, e, end - start, alpha, p + start * p_row + column, 1, p_row, x + start * x_row, x_row, 1, \
                     y + done * y_row, y_row);
    AZ_BAND_BLOCKS(to - from, AZ_COLUMNS)
#undef AZ_COLUMNS
}
