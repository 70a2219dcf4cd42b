// What is asked of the processor and of the BLAS library.
#include "ckernels.h"
#include <stdlib.h>
#include <string.h>

// MARK: Denormals

#if defined(__x86_64__)
#include <xmmintrin.h>
void az_flush_denormals(void) {
    _mm_setcsr(_mm_getcsr() | 0x8040);  // flush to zero, denormals are zero
}
#elif defined(__aarch64__)
void az_flush_denormals(void) {
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control | (uint64_t)1 << 24));  // FZ
}
#else
void az_flush_denormals(void) {}
#endif

// MARK: BLAS kernels

#if defined(__x86_64__) && defined(__linux__)
// OpenBLAS exports these when it was built for several processors (DYNAMIC_ARCH); null otherwise.
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));

static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

void az_select_blas_kernels(void) {
    static const char variable[] = "OPENBLAS_CORETYPE";
    if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit || !openblas_get_corename) return;
    if (getenv(variable) || !has_avx512()) return;
    const char *core = openblas_get_corename();
    if (strcmp(core, "Haswell") != 0 && strcmp(core, "Zen") != 0) return;
    // The library reads the variable when its table of kernels is made.
    if (setenv(variable, "SkylakeX", 1) != 0) return;
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv(variable);
}
#else
void az_select_blas_kernels(void) {}
#endif
