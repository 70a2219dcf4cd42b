// Attention of a few queries that share keys and values, for decoding: a key is read once for all of them, and keys lie
// sixteen side by side, so that scores are sums of whole vectors. Each call takes some of the keys; `az_merge_few_queries`
// puts the parts together (Milakov and Gimelshein, 1805.02867).
#include "ckernels.h"
#include "row_math.h"

enum { AZ_MOST_QUERIES = 8 };

#define AZ_STORE(p, vector) (*(az_unaligned *)(p) = (vector))

// The scores of `queries` queries with one block of keys, [d, block].
AZ_INLINE void az_score_block(const int queries, long d, float scale, const float *q, const float *keys, float *scores,
                              long scores_row) {
#pragma clang fp contract(fast)
    az_vector sums[AZ_MOST_QUERIES];
#pragma unroll
    for (int i = 0; i < queries; i++) sums[i] = 0.0f;
    for (long j = 0; j < d; j++) {
        const az_vector column = AZ_LOAD(keys + j * AZ_KEY_BLOCK);
        __builtin_prefetch(keys + (j + d) * AZ_KEY_BLOCK);  // of the block after this one
#pragma unroll
        for (int i = 0; i < queries; i++) sums[i] += column * q[i * d + j];
    }
#pragma unroll
    for (int i = 0; i < queries; i++) AZ_STORE(scores + i * scores_row, sums[i] * scale);
}

// y [queries, e] = p v for 16 * `vectors` columns. p: [queries, count], v: [count, e].
AZ_INLINE void az_weigh_columns(const int queries, const int vectors, long count, const float *p, long p_row,
                                const float *v, long v_row, float *y, long y_row) {
#pragma clang fp contract(fast)
    az_vector sums[AZ_MOST_QUERIES * 2];
#pragma unroll
    for (int i = 0; i < queries * vectors; i++) sums[i] = 0.0f;
    for (long k = 0; k < count; k++, v += v_row) {
        az_vector row[2];
#pragma unroll
        for (int c = 0; c < vectors; c++) {
            row[c] = AZ_LOAD(v + 16 * c);
            __builtin_prefetch(v + 8 * v_row + 16 * c);
        }
#pragma unroll
        for (int i = 0; i < queries; i++) {
#pragma unroll
            for (int c = 0; c < vectors; c++) sums[i * vectors + c] += row[c] * p[i * p_row + k];
        }
    }
#pragma unroll
    for (int i = 0; i < queries; i++) {
#pragma unroll
        for (int c = 0; c < vectors; c++) AZ_STORE(y + i * y_row + 16 * c, sums[i * vectors + c]);
    }
}

AZ_INLINE void az_weigh(const int queries, const int vectors, long e, long count, const float *p, long p_row,
                        const float *v, long v_row, float *y) {
    long column = 0;
    for (; column + 16 * vectors <= e; column += 16 * vectors)
        az_weigh_columns(queries, vectors, count, p, p_row, v + column, v_row, y + column, e);
    for (; column + 16 <= e; column += 16)
        az_weigh_columns(queries, 1, count, p, p_row, v + column, v_row, y + column, e);
    for (; column < e; column++) {
        for (int i = 0; i < queries; i++) {
            float sum = 0;
            for (long k = 0; k < count; k++) sum += p[i * p_row + k] * v[k * v_row + column];
            y[i * e + column] = sum;
        }
    }
}

// x becomes e^(x - maximum).
AZ_INLINE void az_exponentials(long n, float *x, float *maximum, float *sum) {
    const float largest = az_row_max(n, x);
    double total = 0;
    if (largest == -AZ_INFINITY) {
        for (long i = 0; i < n; i++) x[i] = x[i] == x[i] ? 0 : x[i];
    } else {
        AZ_BLOCK_SUM(total, n, x[i] = az_exp_nonpositive(x[i] - largest))
    }
    *maximum = largest;
    *sum = (float)total;
}

// scores [queries, row] += bias, of the keys first ..< last.
AZ_INLINE void az_add_score_bias(const int queries, long first, long last, const float *bias, long bias_row, long row,
                                 float *scores) {
    for (int i = 0; i < queries; i++) {
        AZ_VECTORIZE
        for (long key = first; key < last; key++) scores[i * row + key] += bias[i * bias_row + key];
    }
}

AZ_INLINE void az_queries(const int queries, const int vectors, long d, long e, float scale, const float *q,
                          const float *keys, long first, long last, const float *bias, long bias_row, const float *v,
                          long v_row, float *scores, float *maxima, float *sums, float *y) {
    const long row = (last + AZ_KEY_BLOCK - 1) / AZ_KEY_BLOCK * AZ_KEY_BLOCK;
    for (long block = first / AZ_KEY_BLOCK * AZ_KEY_BLOCK; block < last; block += AZ_KEY_BLOCK)
        az_score_block(queries, d, scale, q, keys + block * d, scores + block, row);
    if (bias) az_add_score_bias(queries, first, last, bias, bias_row, row, scores);
    for (int i = 0; i < queries; i++) az_exponentials(last - first, scores + i * row + first, maxima + i, sums + i);
    az_weigh(queries, vectors, e, last - first, scores + first, row, v + first * v_row, v_row, y);
}

// Queries that share the reading of a key, as many as there are registers for.
static int az_queries_at_once(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") ? AZ_MOST_QUERIES : AZ_MOST_QUERIES / 2;
#else
    return AZ_MOST_QUERIES / 2;
#endif
}

AZ_KERNEL void az_few_queries(long queries, long d, long e, float scale, const float *q, const float *keys, long first,
                              long last, const float *bias, long bias_row, const float *v, long v_row, float *scores,
                              float *maxima, float *sums, float *y) {
    const long most = az_queries_at_once();
    while (queries > 0) {
        long count = 1;
        if (queries >= 8 && most >= 8) {
            count = 8;
            az_queries(8, 2, d, e, scale, q, keys, first, last, bias, bias_row, v, v_row, scores, maxima, sums, y);
        } else if (queries >= 4) {
            count = 4;
            az_queries(4, 1, d, e, scale, q, keys, first, last, bias, bias_row, v, v_row, scores, maxima, sums, y);
        } else if (queries >= 2) {
            count = 2;
            az_queries(2, 1, d, e, scale, q, keys, first, last, bias, bias_row, v, v_row, scores, maxima, sums, y);
        } else {
            az_queries(1, 1, d, e, scale, q, keys, first, last, bias, bias_row, v, v_row, scores, maxima, sums, y);
        }
        queries -= count;
        q += count * d;
        if (bias) bias += count * bias_row;
        maxima += count;
        sums += count;
        y += count * e;
    }
}

AZ_KERNEL void az_merge_few_queries(long parts, long queries, long e, const float *maxima, const float *sums,
                                    const float *parts_y, float *y) {
#pragma clang fp contract(fast)
    for (long i = 0; i < queries; i++) {
        float largest = maxima[i];
        for (long p = 1; p < parts; p++) largest = maxima[p * queries + i] > largest ? maxima[p * queries + i] : largest;
        float total = 0;
        AZ_VECTORIZE
        for (long j = 0; j < e; j++) y[i * e + j] = 0;
        for (long p = 0; p < parts; p++) {
            const float maximum = maxima[p * queries + i], *part = parts_y + (p * queries + i) * e;
            const float factor = maximum == -AZ_INFINITY ? 0 : az_exp_nonpositive(maximum - largest);
            total += factor * sums[p * queries + i];
            AZ_VECTORIZE
            for (long j = 0; j < e; j++) y[i * e + j] += factor * part[j];
        }
        const float inverse = total == 0 ? 1 : 1 / total;
        AZ_VECTORIZE
        for (long j = 0; j < e; j++) y[i * e + j] *= inverse;
    }
}
