// Softmax over the columns that each row of a tile of scores sees, one tile of columns after another (online softmax:
// Milakov and Gimelshein, 1805.02867), and its gradient from scores computed again (Dao et al., 2205.14135).
#include "ckernels.h"
#include "row_math.h"
#include <math.h>

// x += bias, and -inf where the mask is 0.
AZ_INLINE void az_bias_and_mask(long n, const float *bias, const float *mask, float *x) {
    if (bias) {
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) x[i] += bias[i];
    }
    if (mask) {
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) x[i] = mask[i] != 0 ? x[i] : -AZ_INFINITY;
    }
}

AZ_INLINE void az_zero_range(float *x, long from, long to) {
    for (long i = from; i < to; i++) x[i] = 0;
}

AZ_KERNEL void az_window_softmax_forward(long rows, long cols, const int32_t *first, const int32_t *last,
                                         const float *bias, long bias_row, const float *mask, float *x, long x_row,
                                         float *maxima, float *sums, float *rescale) {
    for (long r = 0; r < rows; r++, x += x_row) {
        const long from = first[r], n = last[r] - from;
        rescale[r] = 1;
        if (n <= 0) {
            az_zero_range(x, 0, cols);
            continue;
        }
        float *y = x + from;
        az_bias_and_mask(n, bias ? bias + r * bias_row + from : 0, mask ? mask + from : 0, y);
        const float largest = az_row_max(n, y), before = maxima[r], now = largest > before ? largest : before;
        if (now == -AZ_INFINITY) {  // every key so far is masked (or NaN, which stays)
            AZ_VECTORIZE
            for (long i = 0; i < n; i++) y[i] = y[i] == y[i] ? 0 : y[i];
        } else {
            double total = 0;
            AZ_BLOCK_SUM(total, n, y[i] = az_exp_nonpositive(y[i] - now))
            rescale[r] = before == now ? 1 : az_exp_nonpositive(before - now);
            sums[r] = sums[r] * rescale[r] + (float)total;
            maxima[r] = now;
        }
        az_zero_range(x, 0, from);
        az_zero_range(x, from + n, cols);
    }
}

AZ_KERNEL void az_window_softmax_backward(long rows, long cols, const int32_t *first, const int32_t *last,
                                          const float *bias, long bias_row, const float *mask, const float *log_sums,
                                          const float *means, float *x, long x_row, float *dy, long dy_row,
                                          float *dbias, long dbias_row) {
    for (long r = 0; r < rows; r++, x += x_row, dy += dy_row) {
        const long from = az_min(first[r], cols), n = last[r] > from ? last[r] - from : 0;
        const float log_sum = log_sums[r], mean = means[r];
        float *y = x + from, *g = dy + from;
        az_bias_and_mask(n, bias ? bias + r * bias_row + from : 0, mask ? mask + from : 0, y);
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) {
            const float p = az_exp_nonpositive(y[i] - log_sum);
            y[i] = p;
            g[i] = p * (g[i] - mean);
        }
        if (dbias && n > 0) {
            float *target = dbias + r * dbias_row + from;
            AZ_VECTORIZE
            for (long i = 0; i < n; i++) target[i] += g[i];
        }
        az_zero_range(x, 0, from);
        az_zero_range(x, from + n, cols);
        az_zero_range(dy, 0, from);
        az_zero_range(dy, from + n, cols);
    }
}

AZ_KERNEL void az_row_dots(long rows, long cols, const float *x, long x_row, const float *y, long y_row, float *out) {
    for (long r = 0; r < rows; r++, x += x_row, y += y_row) {
        double total = 0;
        AZ_BLOCK_SUM(total, cols, x[i] * y[i])
        out[r] = (float)total;
    }
}

AZ_KERNEL void az_scale_rows(long rows, long cols, const float *factors, float *x, long x_row) {
    for (long r = 0; r < rows; r++, x += x_row) {
        const float factor = factors[r];
        if (factor == 1) continue;
        AZ_VECTORIZE
        for (long i = 0; i < cols; i++) x[i] *= factor;
    }
}

AZ_KERNEL void az_scale_columns(long rows, long cols, const float *factors, const float *x, long x_row, float *y,
                                long y_row) {
    for (long r = 0; r < rows; r++, x += x_row, y += y_row) {
        AZ_VECTORIZE
        for (long i = 0; i < cols; i++) y[i] = x[i] * factors[i];
    }
}
