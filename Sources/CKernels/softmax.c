// Softmax and what is built on it. A row is read for its maximum, then exponentials are written and summed, then
// scaled.
#include "ckernels.h"
#include "row_math.h"
#include <math.h>

// y = e^(x - maximum), returns its sum.
AZ_INLINE double az_exponentials(long n, const float *x, float maximum, float *y) {
    double total = 0;
    AZ_BLOCK_SUM(total, n, y[i] = az_exp_nonpositive(x[i] - maximum))
    return total;
}

// ln of the sum of e^(x - maximum).
AZ_INLINE double az_log_sum(long n, const float *x, float maximum) {
    double total = 0;
    AZ_BLOCK_SUM(total, n, az_exp_nonpositive(x[i] - maximum))
    return log(total);
}

// Sum of x * y, which stays finite as long as its terms do.
AZ_INLINE double az_dot(long n, const float *x, const float *y) {
    double total = 0;
    AZ_BLOCK_SUM(total, n, x[i] * y[i])
    return total;
}

AZ_KERNEL void az_softmax_forward(long rows, long n, const float *x, float *y) {
    for (long r = 0; r < rows; r++, x += n, y += n) {
        const float scale = (float)(1 / az_exponentials(n, x, az_row_max(n, x), y));
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) y[i] *= scale;
    }
}

AZ_KERNEL void az_softmax_backward(long rows, long n, const float *y, const float *dy, float *dx) {
    for (long r = 0; r < rows; r++, y += n, dy += n, dx += n) {
        const float mean = (float)az_dot(n, y, dy);
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - mean);
    }
}

AZ_KERNEL void az_log_softmax_forward(long rows, long n, const float *x, float *y) {
    for (long r = 0; r < rows; r++, x += n, y += n) {
        const float maximum = az_row_max(n, x), log_sum = (float)az_log_sum(n, x, maximum);
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) y[i] = (x[i] - maximum) - log_sum;
    }
}

AZ_KERNEL void az_log_softmax_backward(long rows, long n, const float *y, const float *dy, float *dx) {
    for (long r = 0; r < rows; r++, y += n, dy += n, dx += n) {
        const float total = (float)az_row_sum(n, dy);
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) dx[i] = dy[i] - az_exp(y[i]) * total;
    }
}

AZ_KERNEL void az_cross_entropy(long rows, long n, int32_t ignore_index, const float *x, const int32_t *targets,
                                float *losses, float *dx) {
    for (long r = 0; r < rows; r++, x += n) {
        float *row_dx = dx ? dx + r * n : 0;
        const int32_t target = targets[r];
        if (target == ignore_index) {
            losses[r] = 0;
            if (dx) memset(row_dx, 0, sizeof(float) * (size_t)n);
            continue;
        }
        const float maximum = az_row_max(n, x), target_x = x[target];
        if (!dx) {
            losses[r] = (float)(az_log_sum(n, x, maximum) - ((double)target_x - maximum));
            continue;
        }
        const double total = az_exponentials(n, x, maximum, row_dx);
        losses[r] = (float)(log(total) - ((double)target_x - maximum));
        const float scale = (float)(1 / total);
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) row_dx[i] *= scale;
        row_dx[target] -= 1;
    }
}
