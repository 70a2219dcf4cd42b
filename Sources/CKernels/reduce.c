// Reductions and running sums over the middle axis of [outer, n, inner].
#include "ckernels.h"
#include "row_math.h"

enum { AZ_TILE = 256 };  // columns of a block that are reduced together; their float64 sums stay in the L1 cache

// MARK: Sums

// y[0..width) = sum of n rows: 64 at a time in float32, those in float64.
AZ_INLINE void az_sum_columns(long n, long width, const float *x, long x_row, float *y, const int add) {
    enum { ROWS = 64 };
    double totals[AZ_TILE];
    float sums[AZ_TILE];
    for (long j = 0; j < width; j++) totals[j] = 0;
    for (long k = 0; k < n; k += ROWS) {
        memset(sums, 0, sizeof(float) * (size_t)width);
        for (long i = k; i < az_min(n, k + ROWS); i++) {
            const float *row = x + i * x_row;
            AZ_VECTORIZE
            for (long j = 0; j < width; j++) sums[j] += row[j];
        }
        for (long j = 0; j < width; j++) totals[j] += sums[j];
    }
    for (long j = 0; j < width; j++) y[j] = (float)(add ? y[j] + totals[j] : totals[j]);
}

AZ_KERNEL void az_sum(long outer, long n, long inner, const float *x, float *y) {
    for (long o = 0; o < outer; o++) {
        const float *block = x + o * n * inner;
        if (inner == 1) {
            y[o] = (float)az_row_sum(n, block);
        } else {
            for (long j = 0; j < inner; j += AZ_TILE)
                az_sum_columns(n, az_min(AZ_TILE, inner - j), block + j, inner, y + o * inner + j, 0);
        }
    }
}

AZ_KERNEL void az_sum_rows(long rows, long cols, const float *x, long x_row, float *y) {
    for (long j = 0; j < cols; j += AZ_TILE)
        az_sum_columns(rows, az_min(AZ_TILE, cols - j), x + j, x_row, y + j, 1);
}

AZ_KERNEL double az_sum_squares(long n, const float *x) {
#pragma clang fp reassociate(on)
    double total = 0;
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) total += (double)x[i] * x[i];
    return total;
}

// Infinities and NaN are the floats whose exponent has all its bits set. Whole blocks are looked at first, without a
// branch in them, so that the search costs no more than reading.
AZ_KERNEL long az_first_not_finite(long n, const float *x) {
    enum { BLOCK = 1024 };
    const uint32_t exponent = 0x7f800000;
    for (long start = 0; start < n; start += BLOCK) {
        const long end = az_min(n, start + BLOCK);
        uint32_t found = 0;
        AZ_VECTORIZE
        for (long i = start; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, x + i, sizeof bits);
            found |= (bits & exponent) == exponent;
        }
        if (!found) continue;
        for (long i = start; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, x + i, sizeof bits);
            if ((bits & exponent) == exponent) return i;
        }
    }
    return n;
}

// MARK: Running sums, added in float64

AZ_INLINE void az_cumulative_columns(long n, long width, long stride, int reverse, const float *x, float *y) {
    double totals[AZ_TILE];
    for (long j = 0; j < width; j++) totals[j] = 0;
    for (long k = 0; k < n; k++) {
        const long offset = (reverse ? n - 1 - k : k) * stride;
        AZ_VECTORIZE
        for (long j = 0; j < width; j++) {
            totals[j] += x[offset + j];
            y[offset + j] = (float)totals[j];
        }
    }
}

AZ_KERNEL void az_cumulative_sum(long outer, long n, long inner, int reverse, const float *x, float *y) {
    for (long o = 0; o < outer; o++) {
        const long start = o * n * inner;
        if (inner == 1) {
            double total = 0;
            for (long k = 0; k < n; k++) {
                const long i = start + (reverse ? n - 1 - k : k);
                total += x[i];
                y[i] = (float)total;
            }
        } else {
            for (long j = 0; j < inner; j += AZ_TILE)
                az_cumulative_columns(n, az_min(AZ_TILE, inner - j), inner, reverse, x + start + j, y + start + j);
        }
    }
}

// MARK: Maxima

// First index of the row where x is `value`, or NaN when `value` is NaN.
AZ_INLINE long az_first_index(long n, const float *x, float value) {
    enum { BLOCK = 64 };
    const int nan = value != value;
    for (long i = 0; i < n; i += BLOCK) {
        const long end = az_min(n, i + BLOCK);
        int found = 0;
        for (long j = i; j < end; j++) found |= nan ? x[j] != x[j] : x[j] == value;
        if (!found) continue;
        for (long j = i; j < end; j++)
            if (nan ? x[j] != x[j] : x[j] == value) return j;
    }
    return 0;
}

AZ_INLINE int az_has_nan(long n, const float *x) {
    int found = 0;
    for (long i = 0; i < n; i++) found |= x[i] != x[i];
    return found;
}

AZ_KERNEL static void az_max_row(long n, const float *x, float *y, int32_t *index) {
    *y = az_has_nan(n, x) ? AZ_NAN : az_row_max(n, x);
    if (index) *index = (int32_t)az_first_index(n, x, *y);
}

// best: [inner] values with their indices, compared with row after row.
AZ_KERNEL static void az_max_columns(long n, long inner, const float *x, float *best, int32_t *index) {
    memcpy(best, x, sizeof(float) * (size_t)inner);
    if (index) memset(index, 0, sizeof(int32_t) * (size_t)inner);
    for (long k = 1; k < n; k++) {
        const float *row = x + k * inner;
        if (index) {
            AZ_VECTORIZE
            for (long j = 0; j < inner; j++) {
                // Larger, or the first NaN.
                const int better = (row[j] > best[j]) | ((row[j] != row[j]) & (best[j] == best[j]));
                best[j] = better ? row[j] : best[j];
                index[j] = better ? (int32_t)k : index[j];
            }
        } else {
            AZ_VECTORIZE
            for (long j = 0; j < inner; j++) {
                const int keep = (best[j] >= row[j]) | (best[j] != best[j]);
                best[j] = keep ? best[j] : row[j];
            }
        }
    }
}

void az_max(long outer, long n, long inner, const float *x, float *y, int32_t *index) {
    for (long o = 0; o < outer; o++) {
        const float *block = x + o * n * inner;
        int32_t *block_index = index ? index + o * inner : 0;
        if (inner == 1) az_max_row(n, block, y + o, block_index);
        else az_max_columns(n, inner, block, y + o * inner, block_index);
    }
}
