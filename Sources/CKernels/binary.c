// Functions of two arguments with broadcasting. Rows are run with each argument either a vector or one value; blocks
// that are one long row, and columns, are run as one row.
#include "ckernels.h"
#include "vector_math.h"
#include <math.h>

// One argument of a [rows, cols] block.
typedef struct {
    const float *start;
    long row, col;
} az_operand;

// Returns 1 if the block is one row of rows * cols elements.
AZ_INLINE int az_is_flat(az_operand x, long cols) { return x.col == 1 ? x.row == cols : x.row == 0; }

// Rewrites the block with longer rows where both arguments allow it.
static void az_flatten(long *rows, long *cols, az_operand *a, az_operand *b) {
    if (*cols == 1 && (a->row == 0 || a->row == 1) && (b->row == 0 || b->row == 1)) {
        *cols = *rows;
        *rows = 1;
        a->col = a->row;
        b->col = b->row;
    } else if (az_is_flat(*a, *cols) && az_is_flat(*b, *cols)) {
        *cols *= *rows;
        *rows = 1;
    }
}

// VALUE is an expression of p and q.
#define AZ_BINARY_ROW(n, P, Q, VALUE)        \
    AZ_VECTORIZE                             \
    for (long j = 0; j < (n); j++) {         \
        const float p = P, q = Q;            \
        row_y[j] = VALUE;                    \
    }

#define AZ_BINARY_KERNEL(suffix, VALUE)                                                                          \
    AZ_KERNEL static void az_block_##suffix(long rows, long cols, az_operand a, az_operand b, float *y) {        \
        for (long r = 0; r < rows; r++) {                                                                        \
            const float *row_a = a.start + r * a.row, *row_b = b.start + r * b.row;                              \
            float *row_y = y + r * cols;                                                                         \
            const float first_a = row_a[0], first_b = row_b[0];                                                  \
            if (a.col && b.col) { AZ_BINARY_ROW(cols, row_a[j], row_b[j], VALUE) }                               \
            else if (a.col) { AZ_BINARY_ROW(cols, row_a[j], first_b, VALUE) }                                    \
            else if (b.col) { AZ_BINARY_ROW(cols, first_a, row_b[j], VALUE) }                                    \
            else { AZ_BINARY_ROW(cols, first_a, first_b, VALUE) }                                                \
        }                                                                                                        \
    }                                                                                                            \
    void az_##suffix(long rows, long cols, const float *a, long a_row, long a_col, const float *b, long b_row,   \
                     long b_col, float *y) {                                                                     \
        if (rows <= 0 || cols <= 0) return;                                                                      \
        az_operand left = {a, a_row, a_col}, right = {b, b_row, b_col};                                          \
        az_flatten(&rows, &cols, &left, &right);                                                                 \
        az_block_##suffix(rows, cols, left, right, y);                                                           \
    }

AZ_BINARY_KERNEL(add, p + q)
AZ_BINARY_KERNEL(subtract, p - q)
AZ_BINARY_KERNEL(multiply, p * q)
AZ_BINARY_KERNEL(divide, p / q)
AZ_BINARY_KERNEL(maximum, p > q || p != p ? p : q)
AZ_BINARY_KERNEL(minimum, p < q || p != p ? p : q)
AZ_BINARY_KERNEL(equal, p == q ? 1.0f : 0.0f)
AZ_BINARY_KERNEL(less, p < q ? 1.0f : 0.0f)
AZ_BINARY_KERNEL(less_equal, p <= q ? 1.0f : 0.0f)

void az_power(long rows, long cols, const float *a, long a_row, long a_col, const float *b, long b_row, long b_col,
              float *y) {
    for (long r = 0; r < rows; r++) {
        const float *row_a = a + r * a_row, *row_b = b + r * b_row;
        float *row_y = y + r * cols;
        if (a_col == 1 && b_col == 0) az_pow_forward(cols, row_b[0], row_a, row_y);
        else for (long j = 0; j < cols; j++) row_y[j] = powf(row_a[j * a_col], row_b[j * b_col]);
    }
}

AZ_KERNEL void az_where(long n, const float *condition, const float *a, const float *b, float *y) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) {
        const float p = a[i], q = b[i];  // loaded on both sides, so that there is no branch
        y[i] = condition[i] != 0 ? p : q;
    }
}
