// Products of one row of floats with int8 weights by dot products of bytes (AVX-512 VNNI): 10 instructions for 64 weights
// where converting them to floats takes 13, few enough to wait for memory alone.
//
// A float becomes the nearest multiple of 1 / AZ_GREATEST of the row's greatest size, 24 bits with the sign, in three digits
// to base 256 from -128 to 127. Sums of a group's products are exact, so the result is as near as one of floats.
#include "rounded.h"
#include "vector_math.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AZ_BYTE_PRODUCTS __attribute__((target("avx512f,avx512bw,avx512vnni")))

enum {
    AZ_GROUP = AZ_ROUNDED_GROUP,
    AZ_AHEAD = 2048,         // bytes to fetch ahead
    AZ_GREATEST = 0x7f0000,  // whose digits, and those of all smaller numbers, fit
};

// A group of the row. The instruction multiplies unsigned bytes by signed ones, so weights have 128 added to them, which the
// constants take off again.
typedef struct {
    int8_t digits[3][AZ_GROUP];  // the highest first
    int32_t high[16], low[16];   // for 256 digits[0] + digits[1], and for digits[2]
} az_digits;

AZ_BYTE_PRODUCTS static __m512i az_bytes_at(const void *place) { return _mm512_loadu_si512(place); }

AZ_BYTE_PRODUCTS static void az_group_digits(long count, const float *x, float factor, az_digits *group) {
    for (int part = 0; part < AZ_GROUP; part += 16) {
        const long left = count - part;
        const __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1 << left) - 1);
        const __m512 floats = _mm512_maskz_loadu_ps(mask, x + (left > 0 ? part : 0));
        __m512i number = _mm512_cvtps_epi32(_mm512_mul_ps(floats, _mm512_set1_ps(factor)));
        for (int place = 2; place >= 0; place--) {
            _mm_storeu_si128((__m128i *)(group->digits[place] + part), _mm512_cvtepi32_epi8(number));
            const __m512i digit = _mm512_srai_epi32(_mm512_slli_epi32(number, 24), 24);
            number = _mm512_srai_epi32(_mm512_sub_epi32(number, digit), 8);
        }
    }
    const __m512i zero = _mm512_setzero_si512(), bias = _mm512_set1_epi8(-128);
    __m512i sums[3];
    for (int place = 0; place < 3; place++)
        sums[place] = _mm512_dpbusd_epi32(zero, bias, az_bytes_at(group->digits[place]));
    const __m512i high = _mm512_add_epi32(_mm512_slli_epi32(sums[0], 8), sums[1]);
    _mm512_storeu_si512(group->high, _mm512_sub_epi32(zero, high));
    _mm512_storeu_si512(group->low, _mm512_sub_epi32(zero, sums[2]));
}

// Writes the digits of a row. Returns what a number of 1 stands for, or 0 where there is none: a row of NaN or infinity, or
// whose greatest number is far from 1.
AZ_BYTE_PRODUCTS static float az_row_digits(long cols, const float *x, az_digits *groups) {
    uint32_t greatest = 0;
    for (long j = 0; j < cols; j++) {
        const uint32_t size = az_bits(x[j]) & 0x7fffffff;
        greatest = size > greatest ? size : greatest;
    }
    const float size = az_from_bits(greatest);
    if (!(size >= 0x1p-60f && size <= 0x1p60f)) return 0;
    for (long first = 0; first < cols; first += AZ_GROUP)
        az_group_digits(az_min(AZ_GROUP, cols - first), x + first, AZ_GREATEST / size, groups++);
    return size / AZ_GREATEST;
}

// The products of the row with `outputs` rows of weights, a constant once it is inlined.
AZ_BYTE_PRODUCTS __attribute__((always_inline)) static inline void az_byte_tile(
    const int outputs, long groups, const int8_t *w, long w_row, const float *scales, long scales_row,
    const az_digits *x, float *products) {
    const __m512i bias = _mm512_set1_epi8(-128);
    __m512 high[4], low[4];
#pragma unroll
    for (int o = 0; o < outputs; o++) high[o] = low[o] = _mm512_setzero_ps();
    for (long g = 0; g < groups; g++, w += AZ_GROUP) {
#pragma unroll
        for (int o = 0; o < outputs; o++) {
            __builtin_prefetch(w + o * w_row + AZ_AHEAD);
            const __m512i weights = _mm512_xor_si512(bias, az_bytes_at(w + o * w_row));
            const __m512i first = _mm512_dpbusd_epi32(_mm512_setzero_si512(), weights, az_bytes_at(x[g].digits[0]));
            const __m512i second = _mm512_dpbusd_epi32(az_bytes_at(x[g].high), weights, az_bytes_at(x[g].digits[1]));
            const __m512i third = _mm512_dpbusd_epi32(az_bytes_at(x[g].low), weights, az_bytes_at(x[g].digits[2]));
            const __m512i both = _mm512_add_epi32(_mm512_slli_epi32(first, 8), second);
            const __m512 scale = _mm512_set1_ps(scales[o * scales_row + g]);
            high[o] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(both), scale, high[o]);
            low[o] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(third), scale, low[o]);
        }
    }
#pragma unroll
    for (int o = 0; o < outputs; o++)
        products[o] = _mm512_reduce_add_ps(_mm512_fmadd_ps(high[o], _mm512_set1_ps(256), low[o]));
}

AZ_BYTE_PRODUCTS int az_int8_row_product(long outputs, long cols, float alpha, const int8_t *w, long w_row,
                                         const float *scales, long scales_row, const float *x, float beta, float *y,
                                         float *scratch) {
    if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bw")) return 0;
    az_digits *digits = (az_digits *)scratch;
    const float unit = az_row_digits(cols, x, digits);
    if (unit == 0) return 0;
    const long groups = (cols + AZ_GROUP - 1) / AZ_GROUP;
    for (long o = 0; o < outputs;) {
        float products[4];
        const int count = outputs - o >= 4 ? 4 : 1;
        const int8_t *rows = w + o * w_row;
        if (count == 4) az_byte_tile(4, groups, rows, w_row, scales + o * scales_row, scales_row, digits, products);
        else az_byte_tile(1, groups, rows, w_row, scales + o * scales_row, scales_row, digits, products);
        for (int i = 0; i < count; i++, o++) y[o] = alpha * unit * products[i] + (beta == 0 ? 0 : beta * y[o]);
    }
    return 1;
}
#else
int az_int8_row_product(long outputs, long cols, float alpha, const int8_t *w, long w_row, const float *scales,
                        long scales_row, const float *x, float beta, float *y, float *scratch) {
    (void)outputs, (void)cols, (void)alpha, (void)w, (void)w_row, (void)scales, (void)scales_row;
    (void)x, (void)beta, (void)y, (void)scratch;
    return 0;
}
#endif
