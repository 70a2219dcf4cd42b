// Matrices of weights that are rounded to bfloat16 or to int8, and products of few rows of floats with them, or with a
// matrix of floats. A weight is read once for up to eight rows, so memory sets the pace; sums are of floats.
#include "rounded.h"
#include "vector_math.h"

enum {
    AZ_GROUP = AZ_ROUNDED_GROUP,
    AZ_PARTS = AZ_GROUP / 16,  // vectors in a group
    AZ_AHEAD = 2048,           // bytes to fetch ahead
    AZ_MOST_ROWS = 8,
    AZ_MOST_SUMS = 16,         // of a tile: rows times outputs
};

// The formats, as a constant parameter of what is inlined.
typedef enum { AZ_FLOAT = 4, AZ_BFLOAT16 = 2, AZ_INT8 = 1 } az_format;  // bytes of a weight

typedef uint16_t az_halves __attribute__((ext_vector_type(16), aligned(2)));
typedef int8_t az_bytes __attribute__((ext_vector_type(16), aligned(1)));
typedef uint32_t az_words __attribute__((ext_vector_type(16)));

// MARK: Rounding

AZ_KERNEL void az_float_to_bfloat16(long n, const float *x, uint16_t *y) {
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) {
        const uint32_t bits = az_bits(x[i]);
        const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;  // to nearest, ties to even
        y[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
    }
}

// One group: the factor that is returned times q is nearest to x. Of numbers that are hardly normal q is 0.
AZ_INLINE float az_round_group(long n, const float *x, int8_t *q) {
    float greatest = 0;
    for (long j = 0; j < n; j++) {
        const float size = __builtin_fabsf(x[j]);
        greatest = size > greatest ? size : greatest;
    }
    const float scale = greatest / 127;
    if (scale < 0x1p-126f) {
        for (long j = 0; j < n; j++) q[j] = 0;
        return 0;
    }
    const float round = 0x1.8p23f;  // adding it rounds to a whole number, ties to even
    for (long j = 0; j < n; j++) q[j] = (int8_t)((x[j] / scale + round) - round);
    return scale;
}

AZ_KERNEL void az_float_to_int8(long rows, long cols, const float *x, int8_t *q, long q_row, float *scales,
                                long scales_row) {
    for (long r = 0; r < rows; r++) {
        for (long first = 0; first < cols; first += AZ_GROUP) {
            const long count = az_min(AZ_GROUP, cols - first);
            scales[r * scales_row + first / AZ_GROUP] =
                az_round_group(count, x + r * cols + first, q + r * q_row + first);
        }
    }
}

AZ_KERNEL void az_int8_to_float(long rows, long cols, const int8_t *q, long q_row, const float *scales,
                                long scales_row, float *y, long y_row) {
    for (long r = 0; r < rows; r++) {
        for (long first = 0; first < cols; first += AZ_GROUP) {
            const float scale = scales[r * scales_row + first / AZ_GROUP];
            const int8_t *source = q + r * q_row + first;
            float *target = y + r * y_row + first;
            const long count = az_min(AZ_GROUP, cols - first);
            AZ_VECTORIZE
            for (long j = 0; j < count; j++) target[j] = scale * source[j];
        }
    }
}

// MARK: Products

// A matrix, its rows padded with zeros to whole groups.
typedef struct {
    const char *weights;
    const float *scales;  // of int8
    long row, scales_row;  // from one row to the next: bytes, floats
    long groups;           // in a row
} az_matrix;

// Sixteen weights as floats, int8 without their scale.
#define AZ_WEIGHTS(format, p)                                                                                        \
    ((format) == AZ_FLOAT  ? AZ_LOAD(p)                                                                              \
     : (format) == AZ_INT8 ? __builtin_convertvector(*(const az_bytes *)(p), az_vector)                              \
                           : (az_vector)(__builtin_convertvector(*(const az_halves *)(p), az_words) << 16))

// The products of `rows` rows of x with `outputs` rows of the matrix, [rows, outputs]. Both are constants once it is
// inlined, so sums stay in registers. x: [groups, rows, group]
AZ_INLINE void az_tile(const az_format format, const int rows, const int outputs, const az_matrix *matrix, long first,
                       const float *x, float *products) {
#pragma clang fp contract(fast)
    az_vector sums[AZ_MOST_SUMS];
#pragma unroll
    for (int i = 0; i < rows * outputs; i++) sums[i] = 0.0f;
    const char *w = matrix->weights + first * matrix->row;
    const float *scales = format == AZ_INT8 ? matrix->scales + first * matrix->scales_row : 0;
    for (long g = 0; g < matrix->groups; g++, w += AZ_GROUP * format, x += rows * AZ_GROUP) {
#pragma unroll
        for (int o = 0; o < outputs; o++) {
#pragma unroll
            for (int line = 0; line < format; line++)
                __builtin_prefetch(w + o * matrix->row + line * 64 + AZ_AHEAD);
        }
        if (rows == 1) {
            // The scale is a factor of a group's sum.
#pragma unroll
            for (int o = 0; o < outputs; o++) {
                const char *p = w + o * matrix->row;
                az_vector sum = AZ_WEIGHTS(format, p) * AZ_LOAD(x);
#pragma unroll
                for (int part = 1; part < AZ_PARTS; part++)
                    sum += AZ_WEIGHTS(format, p + part * 16 * format) * AZ_LOAD(x + part * 16);
                sums[o] += format == AZ_INT8 ? sum * scales[o * matrix->scales_row + g] : sum;
            }
            continue;
        }
#pragma unroll
        for (int part = 0; part < AZ_PARTS; part++) {
            az_vector weights[2];
#pragma unroll
            for (int o = 0; o < outputs; o++) {
                weights[o] = AZ_WEIGHTS(format, w + o * matrix->row + part * 16 * format);
                if (format == AZ_INT8) weights[o] *= scales[o * matrix->scales_row + g];
            }
#pragma unroll
            for (int r = 0; r < rows; r++) {
                const az_vector input = AZ_LOAD(x + r * AZ_GROUP + part * 16);
#pragma unroll
                for (int o = 0; o < outputs; o++) sums[r * outputs + o] += weights[o] * input;
            }
        }
    }
#pragma unroll
    for (int i = 0; i < rows * outputs; i++) AZ_SUM(products[i], sums[i])
}

AZ_INLINE void az_put_tile(int rows, int outputs, const float *products, float alpha, float beta, float *y,
                           long y_row) {
    for (int r = 0; r < rows; r++) {
        for (int o = 0; o < outputs; o++) {
            float *place = y + r * y_row + o;
            *place = alpha * products[r * outputs + o] + (beta == 0 ? 0 : beta * *place);
        }
    }
}

// The products of `rows` rows of x with all rows of the matrix, `outputs` at a time.
AZ_INLINE void az_rows(const az_format format, const int rows, const int outputs, long count, const az_matrix *matrix,
                       const float *x, float alpha, float beta, float *y, long y_row) {
    float products[AZ_MOST_SUMS];
    long o = 0;
    for (; o + outputs <= count; o += outputs) {
        az_tile(format, rows, outputs, matrix, o, x, products);
        az_put_tile(rows, outputs, products, alpha, beta, y + o, y_row);
    }
    for (; o < count; o++) {
        az_tile(format, rows, 1, matrix, o, x, products);
        az_put_tile(rows, 1, products, alpha, beta, y + o, y_row);
    }
}

// Rows of x that share the reading of a weight, as many as there are registers for.
static long az_rows_at_once(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") ? AZ_MOST_ROWS : AZ_MOST_ROWS / 2;
#else
    return AZ_MOST_ROWS / 2;
#endif
}

// Rows of x as the tiles read them, zeros behind the last column: [groups, rows, group].
AZ_INLINE void az_pack_rows(long rows, long cols, const float *x, long x_row, float *packed) {
    for (long first = 0; first < cols; first += AZ_GROUP) {
        const long count = az_min(AZ_GROUP, cols - first);
        for (long r = 0; r < rows; r++, packed += AZ_GROUP) {
            const float *source = x + r * x_row + first;
            for (long j = 0; j < count; j++) packed[j] = source[j];
            for (long j = count; j < AZ_GROUP; j++) packed[j] = 0;
        }
    }
}

AZ_INLINE void az_few_rows(const az_format format, long rows, long outputs, long cols, float alpha,
                                  const az_matrix *matrix, const float *x, long x_row, float beta, float *y,
                                  long y_row, float *scratch) {
    const long most = az_rows_at_once();
    for (long r = 0; r < rows; r += most, x += most * x_row, y += most * y_row) {
        const long count = az_min(most, rows - r);
        az_pack_rows(count, cols, x, x_row, scratch);
        switch (count) {
        // One row of weights after the other: read side by side, several disturb the processor's own fetching ahead.
        case 1: az_rows(format, 1, 1, outputs, matrix, scratch, alpha, beta, y, y_row); break;
        case 2: az_rows(format, 2, 2, outputs, matrix, scratch, alpha, beta, y, y_row); break;
        case 3: az_rows(format, 3, 1, outputs, matrix, scratch, alpha, beta, y, y_row); break;
        case 4: az_rows(format, 4, 1, outputs, matrix, scratch, alpha, beta, y, y_row); break;
        case 5: az_rows(format, 5, 2, outputs, matrix, scratch, alpha, beta, y, y_row); break;
        case 6: az_rows(format, 6, 2, outputs, matrix, scratch, alpha, beta, y, y_row); break;
        case 7: az_rows(format, 7, 2, outputs, matrix, scratch, alpha, beta, y, y_row); break;
        default: az_rows(format, 8, 2, outputs, matrix, scratch, alpha, beta, y, y_row); break;
        }
    }
}

AZ_KERNEL void az_float_product(long rows, long outputs, long cols, float alpha, const float *w, long w_row,
                                const float *x, long x_row, float beta, float *y, long y_row, float *scratch) {
    const az_matrix matrix = {(const char *)w, 0, 4 * w_row, 0, cols / AZ_GROUP};
    az_few_rows(AZ_FLOAT, rows, outputs, cols, alpha, &matrix, x, x_row, beta, y, y_row, scratch);
}

AZ_KERNEL void az_bfloat16_product(long rows, long outputs, long cols, float alpha, const uint16_t *w, long w_row,
                                   const float *x, long x_row, float beta, float *y, long y_row, float *scratch) {
    const az_matrix matrix = {(const char *)w, 0, 2 * w_row, 0, (cols + AZ_GROUP - 1) / AZ_GROUP};
    az_few_rows(AZ_BFLOAT16, rows, outputs, cols, alpha, &matrix, x, x_row, beta, y, y_row, scratch);
}

AZ_KERNEL void az_int8_product(long rows, long outputs, long cols, float alpha, const int8_t *w, long w_row,
                               const float *scales, long scales_row, const float *x, long x_row, float beta, float *y,
                               long y_row, float *scratch) {
    if (rows == 1 && az_int8_row_product(outputs, cols, alpha, w, w_row, scales, scales_row, x, beta, y, scratch))
        return;
    const az_matrix matrix = {(const char *)w, scales, w_row, scales_row, (cols + AZ_GROUP - 1) / AZ_GROUP};
    az_few_rows(AZ_INT8, rows, outputs, cols, alpha, &matrix, x, x_row, beta, y, y_row, scratch);
}
