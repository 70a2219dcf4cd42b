// The features of the processor, asked of the processor itself (cpuid) and of the operating system (xgetbv): models come
// faster than tables of models.
#include "openblas_shim.h"

#if defined(__x86_64__)
#include <cpuid.h>

az_cpuid az_read_cpuid(void) {
    az_cpuid registers = {0};
    uint32_t a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d)) registers.leaf1_ecx = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        registers.leaf7_ebx = b;
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) registers.leaf7_1_eax = a;
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
        registers.extended1_ecx = c;
        registers.extended1_edx = d;
    }
    if (registers.leaf1_ecx & 1u << 27) {  // osxsave: xgetbv may be used
        uint32_t low, high;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        registers.xcr0 = (uint64_t)high << 32 | low;
    }
    return registers;
}

uint32_t az_processor_features(void) { return az_features(az_read_cpuid()); }
#else
az_cpuid az_read_cpuid(void) { return (az_cpuid){0}; }
uint32_t az_processor_features(void) { return 0; }
#endif

static int has(uint32_t bits, int bit) { return bits >> bit & 1; }

uint32_t az_features(az_cpuid registers) {
    // Register state that the system saves: 1 SSE, 2 the upper halves of AVX, 5 to 7 masks and registers of AVX-512.
    const int saves_avx = (registers.xcr0 & 0x6) == 0x6, saves_avx512 = (registers.xcr0 & 0xe6) == 0xe6;
    uint32_t features = AZ_X86_64;
    if (has(registers.leaf1_ecx, 20)) features |= AZ_SSE42;
    if (has(registers.extended1_edx, 31)) features |= AZ_3DNOW;
    if (!saves_avx || !has(registers.leaf1_ecx, 28)) return features;
    features |= AZ_AVX;
    if (has(registers.extended1_ecx, 16)) features |= AZ_FMA4;
    if (has(registers.leaf1_ecx, 12)) features |= AZ_FMA;
    if (has(registers.leaf7_ebx, 5)) features |= AZ_AVX2;
    const int f = 16, dq = 17, bw = 30, vl = 31;
    if (saves_avx512 && has(registers.leaf7_ebx, f) && has(registers.leaf7_ebx, dq) && has(registers.leaf7_ebx, bw)
        && has(registers.leaf7_ebx, vl)) {
        features |= AZ_AVX512;
        if (has(registers.leaf7_1_eax, 5)) features |= AZ_AVX512_BF16;
    }
    return features;
}
