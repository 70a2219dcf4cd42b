// Norms over rows. Forward reads a row for its statistics and once more to write it; backward reads it for two sums
// (and adds to the gradients of weight and bias on the way) and once more to write dx. dx may be dy.
#include "ckernels.h"
#include "row_math.h"

// Row functions take whether there is a weight as a constant, so that the test is outside their loops.
AZ_INLINE float az_weight(const float *weight, const int weighted, long i) { return weighted ? weight[i] : 1; }

AZ_INLINE double az_row_squares(long n, const float *x) {
    double total = 0;
    AZ_BLOCK_SUM(total, n, x[i] * x[i])
    return total;
}

// target[i] += scale * dy[i] * x[i]
AZ_INLINE void az_add_products(long n, float scale, const float *dy, const float *x, float *target) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) target[i] += dy[i] * (scale * x[i]);
}

// MARK: Layer norm

// Mean and variance of a row, block by block: each block has its sum and its squared deviations while it is in the
// cache, and blocks are combined in float64 (Chan, Golub, LeVeque 1979). Free of cancellation.
AZ_INLINE void az_moments(long n, const float *x, double *mean, double *variance) {
    double current = 0, squares = 0;
    for (long start = 0; start < n; start += AZ_BLOCK) {
        const long count = az_min(n - start, AZ_BLOCK);
        const double block_mean = az_row_sum(count, x + start) / count;
        const float center = (float)block_mean;
        double block_squares = 0;
        AZ_BLOCK_SUM(block_squares, count, (x[start + i] - center) * (x[start + i] - center))
        const double delta = block_mean - current, total = start + count;
        current += delta * count / total;
        squares += block_squares + delta * delta * start * count / total;
    }
    *mean = current;
    *variance = squares / n;
}

AZ_INLINE void az_layer_norm_row(long d, float center, float scale, const float *x, const float *weight,
                                 const int weighted, const float *bias, float *y) {
    if (bias) {
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) y[i] = (x[i] - center) * scale * az_weight(weight, weighted, i) + bias[i];
    } else {
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) y[i] = (x[i] - center) * scale * az_weight(weight, weighted, i);
    }
}

AZ_KERNEL void az_layer_norm_forward(long rows, long d, float eps, const float *x, const float *weight,
                                     const float *bias, float *y, float *mean, float *inverse_std) {
    for (long r = 0; r < rows; r++, x += d, y += d) {
        double row_mean, variance;
        az_moments(d, x, &row_mean, &variance);
        mean[r] = (float)row_mean;
        inverse_std[r] = (float)(1 / __builtin_elementwise_sqrt(variance + eps));
        if (weight) az_layer_norm_row(d, mean[r], inverse_std[r], x, weight, 1, bias, y);
        else az_layer_norm_row(d, mean[r], inverse_std[r], x, weight, 0, bias, y);
    }
}

// With g = dy * weight and h = (x - mean) * inverse_std:   dx = inverse_std (g - mean(g) - h mean(g h)).
AZ_INLINE void az_layer_norm_gradient(long d, float center, float scale, const float *x, const float *weight,
                                      const int weighted, const float *dy, float *dx) {
    double sum = 0, product = 0;
    AZ_BLOCK_SUM(sum, d, dy[i] * az_weight(weight, weighted, i))
    AZ_BLOCK_SUM(product, d, dy[i] * az_weight(weight, weighted, i) * ((x[i] - center) * scale))
    const float mean_g = (float)(sum / d), mean_gh = (float)(product / d);
    AZ_VECTORIZE
    for (long i = 0; i < d; i++)
        dx[i] = scale * (dy[i] * az_weight(weight, weighted, i) - mean_g - (x[i] - center) * scale * mean_gh);
}

AZ_KERNEL void az_layer_norm_backward(long rows, long d, const float *x, const float *weight, const float *mean,
                                      const float *inverse_std, const float *dy, float *dx, float *dweight,
                                      float *dbias) {
    for (long r = 0; r < rows; r++, x += d, dy += d, dx += d) {
        const float center = mean[r], scale = inverse_std[r];
        if (dweight) {
            AZ_VECTORIZE
            for (long i = 0; i < d; i++) dweight[i] += dy[i] * ((x[i] - center) * scale);
        }
        if (dbias) {
            AZ_VECTORIZE
            for (long i = 0; i < d; i++) dbias[i] += dy[i];
        }
        if (weight) az_layer_norm_gradient(d, center, scale, x, weight, 1, dy, dx);
        else az_layer_norm_gradient(d, center, scale, x, weight, 0, dy, dx);
    }
}

// MARK: Norms by length

// y = x * scale * weight
AZ_INLINE void az_scale_row(long d, float scale, const float *x, const float *weight, float *y) {
    if (weight) {
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) y[i] = x[i] * scale * weight[i];
    } else {
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) y[i] = x[i] * scale;
    }
}

// dx = scale * dy * weight - shift * x
AZ_INLINE void az_length_gradient(long d, float scale, float shift, const float *x, const float *weight,
                                  const float *dy, float *dx) {
    if (weight) {
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) dx[i] = scale * (dy[i] * weight[i]) - shift * x[i];
    } else {
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) dx[i] = scale * dy[i] - shift * x[i];
    }
}

// Sum of dy * weight * x.
AZ_INLINE double az_weighted_dot(long d, const float *x, const float *weight, const float *dy) {
    double total = 0;
    if (weight) { AZ_BLOCK_SUM(total, d, dy[i] * weight[i] * x[i]) }
    else { AZ_BLOCK_SUM(total, d, dy[i] * x[i]) }
    return total;
}

AZ_KERNEL void az_l2_norm_forward(long rows, long d, float norm_scale, float eps, float gain, const float *x,
                                  const float *weight, float *y, float *statistics) {
    for (long r = 0; r < rows; r++, x += d, y += d) {
        const double length = __builtin_elementwise_sqrt(az_row_squares(d, x)) * norm_scale;
        const float inverse = (float)(1 / (length < eps ? eps : length));
        statistics[r] = length < eps ? -inverse : inverse;
        az_scale_row(d, inverse * gain, x, weight, y);
    }
}

// With s = |statistics| = 1 / (norm_scale |x|):   ds/dx = -s x / |x|^2 = -norm_scale^2 s^3 x, and 0 in clamped rows.
AZ_KERNEL void az_l2_norm_backward(long rows, long d, float norm_scale, float gain, const float *x, const float *weight,
                                   const float *statistics, const float *dy, float *dx, float *dgain, float *dweight) {
    double gain_total = 0;
    for (long r = 0; r < rows; r++, x += d, dy += d, dx += d) {
        const float s = __builtin_fabsf(statistics[r]);
        const int clamped = __builtin_signbit(statistics[r]) != 0;
        const double dot = clamped && !dgain ? 0 : az_weighted_dot(d, x, weight, dy);
        gain_total += dot * s;
        if (dweight) az_add_products(d, s * gain, dy, x, dweight);
        const double per_length = (double)norm_scale * s;
        const float shift = clamped ? 0 : (float)(gain * dot * s * per_length * per_length);
        az_length_gradient(d, s * gain, shift, x, weight, dy, dx);
    }
    if (dgain) *dgain += (float)gain_total;
}

AZ_KERNEL void az_rms_norm_forward(long rows, long d, float eps, const float *x, const float *weight, float *y,
                                   float *inverse_rms) {
    for (long r = 0; r < rows; r++, x += d, y += d) {
        inverse_rms[r] = (float)(1 / __builtin_elementwise_sqrt(az_row_squares(d, x) / d + eps));
        az_scale_row(d, inverse_rms[r], x, weight, y);
    }
}

// With s = inverse_rms:   dx = s g - s^3 x mean(g x), g = dy * weight.
AZ_KERNEL void az_rms_norm_backward(long rows, long d, const float *x, const float *weight, const float *inverse_rms,
                                    const float *dy, float *dx, float *dweight) {
    for (long r = 0; r < rows; r++, x += d, dy += d, dx += d) {
        const double s = inverse_rms[r];
        const float shift = (float)(az_weighted_dot(d, x, weight, dy) / d * s * s * s);
        if (dweight) az_add_products(d, inverse_rms[r], dy, x, dweight);
        az_length_gradient(d, inverse_rms[r], shift, x, weight, dy, dx);
    }
}
