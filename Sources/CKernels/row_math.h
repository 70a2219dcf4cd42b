// Reductions of one row, shared by sums, softmax and norms. They vectorize without -ffast-math: additions may be
// regrouped inside a block, and blocks are added in float64, so that the error does not grow with the row.
#ifndef AZ_ROW_MATH_H
#define AZ_ROW_MATH_H
#include "vector_math.h"

// Elements added in float32: over some 64 lanes, or one after another where the compiler does not vectorize.
#if !defined(__OPTIMIZE__) || __has_feature(undefined_behavior_sanitizer)
enum { AZ_BLOCK = 16 };
#else
enum { AZ_BLOCK = 1024 };
#endif

// Sum of EXPRESSION, which uses the index i, into the double TOTAL; `first` to `n`.
#define AZ_BLOCK_SUM(TOTAL, n, EXPRESSION)                                       \
    for (long block = 0; block < (n); block += AZ_BLOCK) {                       \
        const long block_end = az_min((n), block + AZ_BLOCK);                    \
        float block_sum = 0;                                                     \
        {                                                                        \
            _Pragma("clang fp reassociate(on)")                                  \
            AZ_VECTORIZE                                                         \
            for (long i = block; i < block_end; i++) block_sum += (EXPRESSION);  \
        }                                                                        \
        TOTAL += block_sum;                                                      \
    }

AZ_INLINE double az_row_sum(long n, const float *x) {
    double total = 0;
    AZ_BLOCK_SUM(total, n, x[i])
    return total;
}

// Largest number of a row, -inf for none. NaN is passed over.
AZ_INLINE float az_row_max(long n, const float *x) {
    enum { LANES = 16 };
    float best = -AZ_INFINITY;
    if (n >= LANES) {
        az_vector a, b;
        memcpy(&a, x + n - LANES, sizeof a);  // the end, which the loops below leave out (or read again)
        a = a > -AZ_INFINITY ? a : (az_vector)-AZ_INFINITY;
        az_vector c = a, d = a, e = a;
        long i = 0;
        for (; i + 4 * LANES <= n; i += 4 * LANES) {
            memcpy(&b, x + i, sizeof b);
            a = b > a ? b : a;
            memcpy(&b, x + i + LANES, sizeof b);
            c = b > c ? b : c;
            memcpy(&b, x + i + 2 * LANES, sizeof b);
            d = b > d ? b : d;
            memcpy(&b, x + i + 3 * LANES, sizeof b);
            e = b > e ? b : e;
        }
        for (; i + LANES <= n; i += LANES) {
            memcpy(&b, x + i, sizeof b);
            a = b > a ? b : a;
        }
        a = c > a ? c : a;
        d = e > d ? e : d;
        a = d > a ? d : a;
        for (int width = LANES / 2; width > 0; width /= 2) {
            // Lanes move down by `width`; the upper ones no longer matter.
            b = width == 8   ? __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
                : width == 4 ? __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15)
                : width == 2 ? __builtin_shufflevector(a, a, 2, 3, 0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
                             : __builtin_shufflevector(a, a, 1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            a = b > a ? b : a;
        }
        best = a[0];
    } else {
        for (long i = 0; i < n; i++) best = x[i] > best ? x[i] : best;
    }
    return best;
}
#endif
