// Rows by index, and a bias on a panel. (az_sum_rows is a reduction: reduce.c.)
#include "ckernels.h"
#include "vector_math.h"

void az_gather_rows(long n, long d, const float *table, const int32_t *indices, float *y) {
    for (long i = 0; i < n; i++) memcpy(y + i * d, table + indices[i] * d, (size_t)d * sizeof *y);
}

AZ_KERNEL void az_scatter_add_rows(long n, long d, const int32_t *indices, const float *x, float *table) {
    for (long i = 0; i < n; i++, x += d) {
        float *row = table + indices[i] * d;
        AZ_VECTORIZE
        for (long j = 0; j < d; j++) row[j] += x[j];
    }
}

AZ_KERNEL void az_add_bias(long rows, long cols, const float *bias, float *y, long y_row) {
    for (long r = 0; r < rows; r++, y += y_row) {
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) y[j] += bias[j];
    }
}
