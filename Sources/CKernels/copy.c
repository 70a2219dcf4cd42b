// Whole-buffer loops and strided copies.
#include "ckernels.h"
#include "vector_math.h"

AZ_KERNEL void az_fill(long n, float value, float *y) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) y[i] = value;
}

AZ_KERNEL void az_scale(long n, float alpha, const float *x, float *y) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) y[i] = alpha * x[i];
}

AZ_KERNEL void az_scale_add(long n, float alpha, const float *x, float beta, float *y) {
    if (beta == 0) {
        az_scale(n, alpha, x, y);
        return;
    }
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) y[i] = alpha * x[i] + beta * y[i];
}

AZ_KERNEL void az_add_scalar(long n, float value, const float *x, float *y) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) y[i] = x[i] + value;
}

// MARK: Strided blocks

AZ_INLINE void az_store(float *y, float x, const int add) { *y = add ? *y + x : x; }

// In tiles, so that the cache lines of both sides are used whole.
AZ_INLINE void az_block_tiled(long rows, long cols, const float *x, long x_row, long x_col, float *y, long y_row,
                              long y_col, const int add) {
    enum { TILE = 16 };
    for (long r = 0; r < rows; r += TILE)
        for (long c = 0; c < cols; c += TILE)
            for (long i = r; i < az_min(rows, r + TILE); i++)
                for (long j = c; j < az_min(cols, c + TILE); j++)
                    az_store(y + i * y_row + j * y_col, x[i * x_row + j * x_col], add);
}

AZ_KERNEL void az_copy_2d(long rows, long cols, const float *x, long x_row, long x_col, float *y, long y_row,
                          long y_col) {
    if (x_col == 1 && y_col == 1) {
        for (long r = 0; r < rows; r++) memcpy(y + r * y_row, x + r * x_row, (size_t)cols * sizeof *y);
    } else {
        az_block_tiled(rows, cols, x, x_row, x_col, y, y_row, y_col, 0);
    }
}

AZ_KERNEL void az_add_2d(long rows, long cols, const float *x, long x_row, long x_col, float *y, long y_row,
                         long y_col) {
    if (x_col == 1 && y_col == 1) {
        for (long r = 0; r < rows; r++) {
            const float *row_x = x + r * x_row;
            float *row_y = y + r * y_row;
            AZ_VECTORIZE
            for (long j = 0; j < cols; j++) row_y[j] += row_x[j];
        }
    } else {
        az_block_tiled(rows, cols, x, x_row, x_col, y, y_row, y_col, 1);
    }
}
