// Decays within a chunk of tokens: of the fast weights from token to token, and the gradient of their logarithms. What is
// left of token i at token t is a product of decays, never a quotient of two such products: it may become 0, but no
// intermediate number overflows, and a decay of 0 is a number like others.
#include "ckernels.h"
#include "../vector_math.h"

AZ_KERNEL void az_decay_products(long n, const float *log_decay, long step, float *kept, float *products, long row) {
    float whole = 1;
    for (long t = 0; t < n; t++) {
        const float alpha = az_exp(log_decay[t * step]);
        float *now = products + t * row;
        const float *before = now - row;
        AZ_VECTORIZE
        for (long i = 0; i < t; i++) now[i] = alpha * before[i];
        now[t] = 1;
        kept[t] = whole *= alpha;
    }
}

AZ_KERNEL void az_decay_square_forward(long n, const float *products, float *x, long row) {
    for (long t = 0; t < n; t++, x += row, products += row) {
        AZ_VECTORIZE
        for (long i = 0; i <= t; i++) x[i] *= products[i];
    }
}

// The gradient of ln alpha_j is the sum of y dy over t >= j > i: of all that passes from tokens before j to tokens from j on.
AZ_KERNEL void az_decay_square_backward(long n, const float *products, const float *y, float *dy, long row, float *sums,
                                        float *d_log) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) sums[i] = 0;
    for (long t = n - 1; t >= 0; t--) {
        const float *factors = products + t * row, *value = y + t * row;
        float *gradient = dy + t * row;
        AZ_VECTORIZE
        for (long i = 0; i <= t; i++) {
            sums[i] += value[i] * gradient[i];
            gradient[i] *= factors[i];
        }
        float total = 0;
        {
#pragma clang fp reassociate(on)
            AZ_VECTORIZE
            for (long i = 0; i < t; i++) total += sums[i];
        }
        d_log[t] += total;
    }
}

void az_decay_gradient(long n, const float *reads, const float *writes, float whole, const float *within, float *d_log,
                       long step) {
    double sum = whole;
    for (long j = 0; j < n; j++) {
        d_log[j * step] = within[j] + (float)sum;
        sum += writes[j];
    }
    sum = 0;
    for (long j = n - 1; j >= 0; j--) {
        sum += reads[j];
        d_log[j * step] += (float)sum;
    }
}
