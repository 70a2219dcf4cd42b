// A query answered by a memory that was written by the delta rule, without the memory: what the query reads from each
// write is found from the last write back to the first.
#include "ckernels.h"
#include "../row_math.h"

AZ_KERNEL void az_delta_read_forward(long n, long d, const float *k, const float *beta, float *p, float *a) {
#pragma clang fp reassociate(on)
    for (long t = n - 1; t >= 0; t--) {
        const float *row = k + t * d;
        float dot = 0;
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) dot += p[i] * row[i];
        const float weight = beta[t] * dot;
        a[t] = weight;
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) p[i] -= weight * row[i];
    }
}

// Forward was, from t = n - 1 on: a_t = beta_t (p . k_t), p -= a_t k_t. Here from t = 0 on, p being brought back by
// adding what was taken off: nothing of it has to be kept.
AZ_KERNEL void az_delta_read_backward(long n, long d, const float *k, const float *beta, const float *a,
                                      const float *da, float *p, float *dp, float *dk, float *dbeta) {
#pragma clang fp reassociate(on)
    for (long t = 0; t < n; t++) {
        const float *row = k + t * d;
        const float weight = a[t];
        float dot = 0, slope = 0;
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) {
            p[i] += weight * row[i];
            dot += p[i] * row[i];
            slope += dp[i] * row[i];
        }
        const float change = da[t] - slope;
        const float scaled = beta[t] * change;
        dbeta[t] += change * dot;
        float *drow = dk + t * d;
        AZ_VECTORIZE
        for (long i = 0; i < d; i++) {
            drow[i] += scaled * p[i] - weight * dp[i];
            dp[i] += scaled * row[i];
        }
    }
}
