// Proof that kernels multiply: products of small whole numbers, whose sums have no rounding in any order, against plain
// C. What libraries have got wrong is in here: sums of no or one product, transposes, garbage times beta = 0, edges of
// tiles, the path for small matrices (up to 10^6 multiply-adds), several threads at once.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openblas_shim.h"

typedef struct {
    int transpose_a, transpose_b;
    long m, n, k, padding;  // padding: floats between the rows of each matrix
    float alpha, beta;
} az_case;

typedef struct {
    az_sgemm_function sgemm;
    uint64_t seed;
    char *failure;
    long length;
} az_check;

// MARK: Numbers

static uint64_t next(uint64_t *state) {  // Steele et al., SplitMix64
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// Odd numbers up to `limit`: with 511 they have more bits than half precisions keep.
static void fill(float *x, long rows, long cols, long stride, int limit, uint64_t *state) {
    for (long r = 0; r < rows; r++) {
        for (long j = 0; j < cols; j++) x[r * stride + j] = (float)((int)(next(state) % (uint64_t)limit) * 2 + 1 - limit);
        for (long j = cols; j < stride; j++) x[r * stride + j] = __builtin_nanf("");
    }
}

static int same(float a, float b) { return a == b || (a != a && b != b); }

// MARK: One product

static int wrong(az_check *check, const char *what, const az_case *c) {
    snprintf(check->failure, (size_t)check->length, "%s of %ld x %ld x %ld%s%s, alpha %g, beta %g", what, c->m, c->n,
             c->k, c->transpose_a ? ", left transposed" : "", c->transpose_b ? ", right transposed" : "", c->alpha,
             c->beta);
    return 0;
}

// Every element of a small product. Rows end in NaN, which must neither be read nor written.
static int check_product(az_check *check, const az_case *c) {
    const long a_rows = c->transpose_a ? c->k : c->m, a_cols = c->transpose_a ? c->m : c->k;
    const long b_rows = c->transpose_b ? c->n : c->k, b_cols = c->transpose_b ? c->k : c->n;
    const long a_row = a_cols + c->padding, b_row = b_cols + c->padding, c_row = c->n + c->padding;
    const long a_size = a_rows * a_row, b_size = b_rows * b_row, c_size = c->m * c_row;
    float *memory = malloc(sizeof(float) * (size_t)(a_size + b_size + 2 * c_size + 1));
    if (!memory) return 1;  // no memory proves nothing about the kernels
    float *a = memory, *b = a + a_size, *got = b + b_size, *expected = got + c_size;
    fill(a, a_rows, a_cols, a_row, 512, &check->seed);
    fill(b, b_rows, b_cols, b_row, 8, &check->seed);
    fill(got, c->m, c->n, c_row, 64, &check->seed);
    if (c->beta == 0)
        for (long i = 0; i < c_size; i++) got[i] = __builtin_nanf("");
    memcpy(expected, got, sizeof(float) * (size_t)c_size);
    check->sgemm(c->transpose_a, c->transpose_b, c->m, c->n, c->k, c->alpha, a, a_row, b, b_row, c->beta, got, c_row);
    az_plain_sgemm(c->transpose_a, c->transpose_b, c->m, c->n, c->k, c->alpha, a, a_row, b, b_row, c->beta, expected,
                   c_row);
    int good = 1;
    for (long i = 0; i < c_size && good; i++) good = same(got[i], expected[i]);
    free(memory);
    return good || wrong(check, "a product", c);
}

// A product of many multiply-adds by its effect on a vector, C x = A (B x), which plain C has at once. The elements of x
// are powers of two apart from any that a wrong element could hide behind, twice with other vectors.
static int check_large(az_check *check, const az_case *c) {
    const long a_rows = c->transpose_a ? c->k : c->m, a_cols = c->transpose_a ? c->m : c->k;
    const long b_rows = c->transpose_b ? c->n : c->k, b_cols = c->transpose_b ? c->k : c->n;
    const long sizes[] = {a_rows * a_cols, b_rows * b_cols, c->m * c->n};
    float *a = malloc(sizeof(float) * (size_t)(sizes[0] + sizes[1] + sizes[2]));
    double *x = malloc(sizeof(double) * (size_t)(c->n + c->k));
    int good = 1;
    if (a && x) {
        float *b = a + sizes[0], *product = b + sizes[1];
        double *bx = x + c->n;
        fill(a, a_rows, a_cols, a_cols, 512, &check->seed);
        fill(b, b_rows, b_cols, b_cols, 8, &check->seed);
        for (long i = 0; i < sizes[2]; i++) product[i] = __builtin_nanf("");
        check->sgemm(c->transpose_a, c->transpose_b, c->m, c->n, c->k, 1, a, a_cols, b, b_cols, 0, product, c->n);
        for (int round = 0; round < 2 && good; round++) {
            for (long j = 0; j < c->n; j++) x[j] = (double)(next(&check->seed) % 65536) - 32768;
            for (long p = 0; p < c->k; p++) {
                bx[p] = 0;
                for (long j = 0; j < c->n; j++) bx[p] += x[j] * b[c->transpose_b ? j * b_cols + p : p * b_cols + j];
            }
            for (long i = 0; i < c->m && good; i++) {
                double got = 0, expected = 0;
                for (long j = 0; j < c->n; j++) got += x[j] * product[i * c->n + j];
                for (long p = 0; p < c->k; p++) expected += bx[p] * a[c->transpose_a ? p * a_cols + i : i * a_cols + p];
                good = got == expected;  // whole numbers below 2^53
            }
        }
    }
    free(a);
    free(x);
    return good || wrong(check, "a product", c);
}

static int check_vector(az_check *check, az_sgemv_function sgemv, int transpose, long rows, long cols, float beta) {
    const long row = cols + 3, step = 2, inputs = transpose ? rows : cols, outputs = transpose ? cols : rows;
    float *memory = malloc(sizeof(float) * (size_t)(rows * row + inputs * step + 2 * outputs));
    if (!memory) return 1;
    float *a = memory, *x = a + rows * row, *got = x + inputs * step, *expected = got + outputs;
    fill(a, rows, cols, row, 512, &check->seed);
    fill(x, inputs, 1, step, 8, &check->seed);
    fill(got, 1, outputs, outputs, 64, &check->seed);
    memcpy(expected, got, sizeof(float) * (size_t)outputs);
    sgemv(transpose, rows, cols, 2, a, row, x, step, beta, got);
    az_plain_sgemv(transpose, rows, cols, 2, a, row, x, step, beta, expected);
    int good = 1;
    for (long i = 0; i < outputs && good; i++) good = same(got[i], expected[i]);
    free(memory);
    if (!good) {
        snprintf(check->failure, (size_t)check->length, "a %ld x %ld matrix%s times a vector, beta %g", rows, cols,
                 transpose ? ", transposed," : "", beta);
    }
    return good;
}

// MARK: Several threads

enum { THREADS = 4, ROUNDS = 6 };

typedef struct {
    az_check check;
    char failure[AZ_REPORT_LENGTH];
    int good;
} az_worker;

static void *work(void *argument) {
    az_worker *worker = argument;
    for (int i = 0; i < ROUNDS && worker->good; i++) {
        const az_case c = {i & 1, i >> 1 & 1, 37 + 8 * i, 65 - 5 * i, 50 + i, 0, 1, 0};
        worker->good = check_product(&worker->check, &c);
    }
    return NULL;
}

static int check_threads(az_check *check) {
    az_worker workers[THREADS];
    pthread_t threads[THREADS];
    int started = 0, good = 1;
    for (; started < THREADS; started++) {
        az_worker *worker = workers + started;
        worker->check = (az_check){check->sgemm, check->seed + (uint64_t)started, worker->failure, AZ_REPORT_LENGTH};
        worker->good = 1;
        if (pthread_create(threads + started, NULL, work, worker) != 0) break;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        if (!workers[i].good && good) {
            good = 0;
            snprintf(check->failure, (size_t)check->length, "with %d threads at once, %s", started, workers[i].failure);
        }
    }
    return good;
}

// MARK: All

int az_check_products(az_sgemm_function sgemm, az_sgemv_function sgemv, char *failure, long length) {
    static const long sizes[][3] = {
        {1, 1, 1},   {1, 17, 9},   {17, 1, 9},   {3, 5, 7},    {5, 3, 0},    {4, 6, 1},    {16, 16, 16}, {31, 33, 29},
        {48, 8, 65}, {63, 129, 2}, {65, 31, 66}, {2, 200, 16}, {200, 2, 16}, {33, 64, 70},
    };
    static const float scales[][2] = {{1, 0}, {1, 1}, {-1, 0.5f}, {2, -1}, {0, 1}};
    az_check check = {sgemm, 1, failure, length};
    int index = 0;
    for (int transposes = 0; transposes < 4; transposes++) {
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++, index++) {
            const float *scale = scales[index % 5];
            const az_case c = {transposes & 1,  transposes >> 1,           sizes[i][0], sizes[i][1],
                               sizes[i][2], index % 3 == 0 ? 0 : index % 7, scale[0],    scale[1]};
            if (!check_product(&check, &c)) return 0;
        }
        // On both sides of 10^6 multiply-adds.
        const az_case small = {transposes & 1, transposes >> 1, 80, 100, 125, 0, 1, 0};
        const az_case large = {transposes & 1, transposes >> 1, 81, 103, 127, 0, 1, 0};
        if (!check_large(&check, &small) || !check_large(&check, &large)) return 0;
    }
    for (int transpose = 0; transpose < 2; transpose++) {
        for (int i = 0; i < 3; i++) {
            static const long shapes[][2] = {{1, 33}, {37, 1}, {67, 131}};
            if (!check_vector(&check, sgemv, transpose, shapes[i][0], shapes[i][1], i == 1 ? 0.5f : 1)) return 0;
        }
    }
    return check_threads(&check);
}
