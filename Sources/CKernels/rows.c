// Rows by index, and a bias and a gate on a panel. (az_sum_rows is a reduction: reduce.c.)
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

AZ_KERNEL void az_gate_forward(long rows, long cols, az_row_function function, const float *a, const float *g,
                               long z_row, float *y, long y_row) {
    for (long r = 0; r < rows; r++, a += z_row, g += z_row, y += y_row) {
        if (function) function(cols, g, y);
        const float *value = function ? y : g;
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) y[j] = a[j] * value[j];
    }
}

AZ_KERNEL void az_gate_backward(long rows, long cols, az_row_function function, az_row_gradient_function gradient,
                                const float *a, const float *g, long z_row, const float *dy, long dy_row, float *y,
                                long y_row, float *da, float *dg, long dz_row, float *scratch) {
    float *value = scratch, *product = scratch + cols;
    for (long r = 0; r < rows; r++, a += z_row, g += z_row, dy += dy_row, da += dz_row, dg += dz_row) {
        if (function) function(cols, g, value);
        else memcpy(value, g, (size_t)cols * sizeof *value);
        if (y) {
            float *row = y + r * y_row;
            AZ_VECTORIZE
            for (long j = 0; j < cols; j++) {
                const float d = dy[j], factor = a[j];
                product[j] = d * factor;
                row[j] = factor * value[j];
                da[j] = d * value[j];
            }
        } else {
            AZ_VECTORIZE
            for (long j = 0; j < cols; j++) {
                const float d = dy[j];
                product[j] = d * a[j];
                da[j] = d * value[j];
            }
        }
        if (gradient) gradient(cols, g, value, product, dg);
        else memcpy(dg, product, (size_t)cols * sizeof *dg);
    }
}
