// Reductions of one row, shared by sums, softmax and norms. They vectorise without -ffast-math: additions may be regrouped
// inside a block, and blocks are added in float64, so that the error does not grow with the row.
#ifndef AZ_ROW_MATH_H
#define AZ_ROW_MATH_H
#include "vector_math.h"

enum { AZ_BLOCK = 1024 };  // elements added in float32, over some 64 lanes

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
    enum { LANES = 64 };
    float lanes[LANES];
    for (int j = 0; j < LANES; j++) lanes[j] = -AZ_INFINITY;
    long i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    for (int j = 0; i + j < n; j++) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int j = 0; j < width; j++) lanes[j] = lanes[j + width] > lanes[j] ? lanes[j + width] : lanes[j];
    return lanes[0];
}
#endif
