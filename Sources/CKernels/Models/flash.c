// FLASH's loops over tiles and panels that stay in cache between two products.
#include "ckernels.h"
#include "../vector_math.h"

AZ_INLINE float silu_derivative(float x) {
    float s = az_sigmoid(x);
    return s * (1 + x * (1 - s));
}

AZ_KERNEL void az_affine_rows_forward(long rows, long cols, const float *x, const float *gain, const float *shift,
                                      float *y) {
    for (long r = 0; r < rows; r++, x += cols, y += cols) {
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) y[j] = x[j] * gain[j] + shift[j];
    }
}

AZ_KERNEL void az_affine_rows_backward(long rows, long cols, const float *x, const float *gain, const float *dy,
                                       float *dx, float *dgain, float *dshift) {
    for (long r = 0; r < rows; r++, x += cols, dy += cols, dx += cols) {
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            dx[j] += dy[j] * gain[j];
            dgain[j] += dy[j] * x[j];
            dshift[j] += dy[j];
        }
    }
}

AZ_KERNEL void az_silu_rows_forward(long rows, long cols, const float *x, long x_row, float *y, long y_row) {
    for (long r = 0; r < rows; r++, x += x_row, y += y_row) {
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) y[j] = az_silu(x[j]);
    }
}

AZ_KERNEL void az_silu_rows_backward(long rows, long cols, const float *x, long x_row, const float *dy, long dy_row,
                                     float *dx, long dx_row) {
    for (long r = 0; r < rows; r++, x += x_row, dy += dy_row, dx += dx_row) {
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) dx[j] = dy[j] * silu_derivative(x[j]);
    }
}

AZ_KERNEL void az_silu_gate_forward(long rows, long cols, const float *y, long y_row, const float *z, long z_row,
                                    float *out, long out_row) {
    for (long r = 0; r < rows; r++, y += y_row, z += z_row, out += out_row) {
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) out[j] = y[j] * az_silu(z[j]);
    }
}

AZ_KERNEL void az_silu_gate_backward(long rows, long cols, const float *y, long y_row, const float *z, long z_row,
                                     const float *dout, long dout_row, float *dy, long dy_row, float *dz, long dz_row) {
    for (long r = 0; r < rows; r++, y += y_row, z += z_row, dout += dout_row, dy += dy_row, dz += dz_row) {
        AZ_VECTORIZE
        for (long j = 0; j < cols; j++) {
            const float s = az_sigmoid(z[j]), g = dout[j];
            dy[j] = g * (z[j] * s);
            dz[j] = g * y[j] * (s * (1 + z[j] * (1 - s)));
        }
    }
}

// The columns of row r that take part: those up to the diagonal, which passes through column `diagonal` of row 0.
AZ_INLINE long visible_columns(long cols, long diagonal, long row) {
    long limit = diagonal + row + 1;
    return limit < 0 ? 0 : az_min(limit, cols);
}

AZ_KERNEL void az_masked_activation_forward(long rows, long cols, long diagonal, float scale, const float *bias,
                                            const float *mask, az_row_function function, const float *x, long x_row,
                                            float *y, long y_row) {
    for (long r = 0; r < rows; r++, x += x_row, y += y_row) {
        const long visible = visible_columns(cols, diagonal, r);
        if (bias) {
            const float *shifted = bias - r;
            AZ_VECTORIZE
            for (long j = 0; j < visible; j++) y[j] = x[j] * scale + shifted[j];
        } else {
            AZ_VECTORIZE
            for (long j = 0; j < visible; j++) y[j] = x[j] * scale;
        }
        function(visible, y, y);
        if (mask) {
            AZ_VECTORIZE
            for (long j = 0; j < visible; j++) y[j] = mask[j] != 0 ? y[j] : 0;
        }
        for (long j = visible; j < cols; j++) y[j] = 0;
    }
}

AZ_KERNEL void az_masked_activation_backward(long rows, long cols, long diagonal, float scale, const float *bias,
                                             const float *mask, az_row_function function,
                                             az_row_gradient_function gradient, const float *x, long x_row, float *dy,
                                             long dy_row, float *dbias, float *scratch) {
    float *z = scratch, *value = scratch + cols;
    for (long r = 0; r < rows; r++, x += x_row, dy += dy_row) {
        const long visible = visible_columns(cols, diagonal, r);
        AZ_VECTORIZE
        for (long j = 0; j < visible; j++) z[j] = x[j] * scale + (bias ? bias[j - r] : 0);
        function(visible, z, value);
        gradient(visible, z, value, dy, dy);
        if (mask) {
            AZ_VECTORIZE
            for (long j = 0; j < visible; j++) dy[j] = mask[j] != 0 ? dy[j] : 0;
        }
        if (dbias) {
            float *shifted = dbias - r;
            AZ_VECTORIZE
            for (long j = 0; j < visible; j++) shifted[j] += dy[j];
        }
        AZ_VECTORIZE
        for (long j = 0; j < visible; j++) dy[j] *= scale;
        for (long j = visible; j < cols; j++) dy[j] = 0;
    }
}
