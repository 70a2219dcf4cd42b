// Products in plain C: what the library's are checked against, and the last resort where all of its kernels are wrong.
#include "openblas_shim.h"

void az_plain_sgemm(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a, long a_row,
                    const float *b, long b_row, float beta, float *c, long c_row) {
    for (long i = 0; i < m; i++) {
        float *row = c + i * c_row;
        for (long j = 0; j < n; j++) row[j] = beta == 0 ? 0 : beta * row[j];
        if (transpose_b) {
            for (long j = 0; j < n; j++) {
                float sum = 0;
                for (long p = 0; p < k; p++) sum += a[transpose_a ? p * a_row + i : i * a_row + p] * b[j * b_row + p];
                row[j] += alpha * sum;
            }
        } else {
            for (long p = 0; p < k; p++) {
                const float factor = alpha * a[transpose_a ? p * a_row + i : i * a_row + p];
                const float *other = b + p * b_row;
                for (long j = 0; j < n; j++) row[j] += factor * other[j];
            }
        }
    }
}

void az_plain_sgemv(int transpose, long rows, long cols, float alpha, const float *a, long a_row, const float *x,
                    long x_step, float beta, float *y) {
    const long outputs = transpose ? cols : rows;
    for (long i = 0; i < outputs; i++) y[i] = beta == 0 ? 0 : beta * y[i];
    for (long r = 0; r < rows; r++) {
        const float *row = a + r * a_row;
        if (transpose) {
            const float factor = alpha * x[r * x_step];
            for (long j = 0; j < cols; j++) y[j] += factor * row[j];
        } else {
            float sum = 0;
            for (long j = 0; j < cols; j++) sum += row[j] * x[j * x_step];
            y[r] += alpha * sum;
        }
    }
}
