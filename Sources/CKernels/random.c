// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011: Parallel random numbers, as easy as 1, 2, 3).
//
// Elements come in groups of 64 = 16 counters of 4 words, so that 16 counters fill a vector and a group is written
// without shuffles. Element i of the stream of `key` is word (i / 16) % 4 of the counter (i / 64) * 16 + i % 16; the
// counter's 64 bits are its first two words (low first), the other two are 0; the key's words are its low and high
// half. Uniform: the word's upper 24 bits * 2^-24. Normal: Box-Muller on the words (0, 1) and (2, 3) of a counter.
#include "ckernels.h"
#include "vector_math.h"

enum { AZ_WIDTH = 16, AZ_GROUP = 64 };

AZ_INLINE void az_philox(uint32_t counter[4], uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xd2511f53u * counter[0], b = (uint64_t)0xcd9e8d57u * counter[2];
        counter[0] = (uint32_t)(b >> 32) ^ counter[1] ^ key0;
        counter[1] = (uint32_t)b;
        counter[2] = (uint32_t)(a >> 32) ^ counter[3] ^ key1;
        counter[3] = (uint32_t)a;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
}

void az_philox4x32(const uint32_t counter[4], uint64_t key, uint32_t words[4]) {
    memcpy(words, counter, 4 * sizeof *words);
    az_philox(words, (uint32_t)key, (uint32_t)(key >> 32));
}

// The 64 words of a group, in the order of its elements.
AZ_INLINE void az_group_words(uint64_t key, uint64_t group, uint32_t *restrict words) {
    const uint64_t first = group * AZ_WIDTH;
    const uint32_t low = (uint32_t)first, high = (uint32_t)(first >> 32);
    const uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    AZ_VECTORIZE
    for (uint32_t j = 0; j < AZ_WIDTH; j++) {
        uint32_t counter[4] = {low + j, high, 0, 0};  // low is a multiple of 16: no carry
        az_philox(counter, key0, key1);
        words[j] = counter[0];
        words[AZ_WIDTH + j] = counter[1];
        words[2 * AZ_WIDTH + j] = counter[2];
        words[3 * AZ_WIDTH + j] = counter[3];
    }
}

// MARK: Distributions of a group

AZ_INLINE float az_uniform(uint32_t word) { return (float)(int32_t)(word >> 8) * 0x1p-24f; }

AZ_INLINE void az_group_uniform(uint64_t key, uint64_t group, float *y) {
    uint32_t words[AZ_GROUP];
    az_group_words(key, group, words);
    for (int j = 0; j < AZ_GROUP; j++) y[j] = az_uniform(words[j]);
}

AZ_INLINE void az_group_normal(uint64_t key, uint64_t group, float *y) {
    uint32_t words[AZ_GROUP];
    az_group_words(key, group, words);
    for (int half = 0; half < AZ_GROUP; half += 2 * AZ_WIDTH)
        for (int j = half; j < half + AZ_WIDTH; j++) {
            // (word + 1) / 2^32 in (0, 1]: the largest radius is sqrt(2 ln 2^32) = 6.7
            const float radius = az_sqrt(-2 * az_log(((float)words[j] + 1) * 0x1p-32f));
            const uint32_t turn = words[j + AZ_WIDTH];
            y[j] = radius * az_sin_turn(turn + 0x40000000u);
            y[j + AZ_WIDTH] = radius * az_sin_turn(turn);
        }
}

// MARK: Streams

// Runs whole groups; BODY sees `group`, and where the stream starts or ends inside one, `offset`, `count` and `done`.
#define AZ_FOR_GROUPS(n, first, GENERATE, BODY)                                         \
    for (long done = 0; done < (n);) {                                                  \
        const uint64_t position = (first) + (uint64_t)done;                             \
        const long offset = (long)(position % AZ_GROUP);                                \
        const long count = az_min((n) - done, AZ_GROUP - offset);                       \
        float values[AZ_GROUP];                                                         \
        GENERATE(key, position / AZ_GROUP, values);                                     \
        BODY                                                                            \
        done += count;                                                                  \
    }

AZ_KERNEL void az_random_uniform(long n, uint64_t key, uint64_t first, float *y) {
    AZ_FOR_GROUPS(n, first, az_group_uniform, {
        memcpy(y + done, values + offset, sizeof(float) * (size_t)count);
    })
}

AZ_KERNEL void az_random_normal(long n, uint64_t key, uint64_t first, float *y) {
    AZ_FOR_GROUPS(n, first, az_group_normal, {
        memcpy(y + done, values + offset, sizeof(float) * (size_t)count);
    })
}

AZ_KERNEL void az_dropout(long n, float p, uint64_t key, uint64_t first, const float *x, float *y) {
    const float scale = 1 / (1 - p);
    AZ_FOR_GROUPS(n, first, az_group_uniform, {
        AZ_VECTORIZE
        for (long j = 0; j < count; j++) {
            const float kept = x[done + j] * scale;
            y[done + j] = values[offset + j] >= p ? kept : 0;
        }
    })
}
