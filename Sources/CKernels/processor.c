// What is asked of the processor.
#include "ckernels.h"

// MARK: Denormals

#if defined(__x86_64__)
#include <xmmintrin.h>
uint64_t az_flush_denormals(void) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);  // flush to zero, denormals are zero
    return before;
}
void az_restore_denormals(uint64_t before) { _mm_setcsr((unsigned)before); }
#elif defined(__aarch64__)
uint64_t az_flush_denormals(void) {
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (uint64_t)1 << 24));  // FZ
    return before;
}
void az_restore_denormals(uint64_t before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
uint64_t az_flush_denormals(void) { return 0; }
void az_restore_denormals(uint64_t before) {}
#endif
