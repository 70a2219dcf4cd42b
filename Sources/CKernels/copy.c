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

// Any strides, element after element: where y has a stride of 0, its sums are right.
AZ_INLINE void az_block_strided(long rows, long cols, const float *x, long x_row, long x_col, float *y, long y_row,
                                long y_col, const int add) {
    for (long r = 0; r < rows; r++)
        for (long c = 0; c < cols; c++) az_store(y + r * y_row + c * y_col, x[r * x_row + c * x_col], add);
}

// Rows of unit stride on the side of y; on that of x a stride of 1, or 0 (one value for the row).
AZ_INLINE void az_block_rows(long rows, long cols, const float *x, long x_row, long x_col, float *y, long y_row,
                             const int add) {
    for (long r = 0; r < rows; r++) {
        const float *row_x = x + r * x_row;
        float *row_y = y + r * y_row;
        if (x_col == 0) {
            const float value = *row_x;
            AZ_VECTORIZE
            for (long c = 0; c < cols; c++) az_store(row_y + c, value, add);
        } else if (add) {
            AZ_VECTORIZE
            for (long c = 0; c < cols; c++) row_y[c] += row_x[c];
        } else {
            memcpy(row_y, row_x, (size_t)cols * sizeof *row_y);
        }
    }
}

enum { AZ_TILE = 16 };

// y[i, j] = x[j, i] of one tile, rows of both of unit stride. Four rounds interleave row i with row i + 8.
AZ_INLINE void az_transpose_tile(const float *x, long x_row, float *y, long y_row, const int add) {
    az_vector a[AZ_TILE], b[AZ_TILE];
#pragma clang loop unroll(full)
    for (int i = 0; i < AZ_TILE; i++) memcpy(&a[i], x + i * x_row, sizeof a[i]);
#pragma clang loop unroll(full)
    for (int round = 0; round < 4; round++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < AZ_TILE / 2; i++) {
            b[2 * i] = __builtin_shufflevector(a[i], a[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            b[2 * i + 1] =
                __builtin_shufflevector(a[i], a[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < AZ_TILE; i++) a[i] = b[i];
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < AZ_TILE; i++) {
        az_vector row = a[i];
        if (add) {
            memcpy(&row, y + i * y_row, sizeof row);
            row += a[i];
        }
        memcpy(y + i * y_row, &row, sizeof row);
    }
}

// y[r, c] = x[r + c * x_col], rows of y and columns of x of unit stride: whole tiles, then the edges.
AZ_INLINE void az_block_transposed(long rows, long cols, const float *x, long x_col, float *y, long y_row,
                                   const int add) {
    const long whole_rows = rows - rows % AZ_TILE, whole_cols = cols - cols % AZ_TILE;
    for (long r = 0; r < whole_rows; r += AZ_TILE)
        for (long c = 0; c < whole_cols; c += AZ_TILE)
            az_transpose_tile(x + r + c * x_col, x_col, y + r * y_row + c, y_row, add);
    az_block_strided(whole_rows, cols - whole_cols, x + whole_cols * x_col, 1, x_col, y + whole_cols, y_row, 1, add);
    az_block_strided(rows - whole_rows, cols, x + whole_rows, 1, x_col, y + whole_rows * y_row, y_row, 1, add);
}

AZ_INLINE void az_block(long rows, long cols, const float *x, long x_row, long x_col, float *y, long y_row, long y_col,
                        const int add) {
    // Swapping rows and columns changes nothing: columns become the side on which y has its unit stride, or all
    // elements.
    if (cols == 1 || (y_col != 1 && y_row == 1)) {
        long keep = rows;
        rows = cols, cols = keep;
        keep = x_row, x_row = x_col, x_col = keep;
        keep = y_row, y_row = y_col, y_col = keep;
    }
    if (y_col == 1 && x_col == 1 && x_row == cols && y_row == cols) {
        cols *= rows;
        rows = 1;
    }
    if (y_col == 1 && (x_col == 0 || x_col == 1)) az_block_rows(rows, cols, x, x_row, x_col, y, y_row, add);
    else if (y_col == 1 && x_row == 1 && y_row >= cols) az_block_transposed(rows, cols, x, x_col, y, y_row, add);
    else az_block_strided(rows, cols, x, x_row, x_col, y, y_row, y_col, add);
}

AZ_KERNEL void az_copy_2d(long rows, long cols, const float *x, long x_row, long x_col, float *y, long y_row,
                          long y_col) {
    az_block(rows, cols, x, x_row, x_col, y, y_row, y_col, 0);
}

AZ_KERNEL void az_add_2d(long rows, long cols, const float *x, long x_row, long x_col, float *y, long y_row,
                         long y_col) {
    az_block(rows, cols, x, x_row, x_col, y, y_row, y_col, 1);
}
