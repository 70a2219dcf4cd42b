// Rows of length 1: the features of keys and queries whose writes to fast weights are no longer than their values.
#include "ckernels.h"
#include "../row_math.h"

AZ_KERNEL void az_unit_rows_forward(long rows, long d, float eps, az_row_function function, const float *x, long x_row,
                                    float *y) {
    for (long r = 0; r < rows; r++, x += x_row, y += d) {
        const float *value = x;
        if (function) {
            function(d, x, y);
            value = y;
        }
        double squares = 0;
        AZ_BLOCK_SUM(squares, d, value[i] * value[i])
        const float factor = 1 / az_sqrt((float)squares + eps);
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) y[i] = value[i] * factor;
    }
}

// With u = f(x), y = u s, s = (sum u^2 + eps)^-1/2: du = s (dy - y <y, dy>).
AZ_KERNEL void az_unit_rows_backward(long rows, long d, float eps, az_row_function function,
                                     az_row_gradient_function gradient, const float *x, long x_row, const float *dy,
                                     float *dx, long dx_row, float *scratch) {
    float *du = scratch + d;
    for (long r = 0; r < rows; r++, x += x_row, dy += d, dx += dx_row) {
        const float *value = x;
        if (function) {
            function(d, x, scratch);
            value = scratch;
        }
        double squares = 0, dot = 0;
        AZ_BLOCK_SUM(squares, d, value[i] * value[i])
        AZ_BLOCK_SUM(dot, d, value[i] * dy[i])
        const float factor = 1 / az_sqrt((float)squares + eps);
        const float mean = (float)dot * factor * factor;
        float *target = function ? du : dx;
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) target[i] = factor * (dy[i] - value[i] * mean);
        if (function) gradient(d, x, value, du, dx);
    }
}
