// Questions to the processor and the operating system.
#if defined(__linux__)
#define _GNU_SOURCE  // sched_getaffinity
#endif
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

// MARK: Processors

#if defined(__linux__)
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>
long az_processor_count(void) {
    // A set that holds fewer processors than the machine has is refused.
    for (int capacity = 1024; capacity <= 1 << 20; capacity *= 2) {
        cpu_set_t *set = CPU_ALLOC(capacity);
        if (!set) break;
        const size_t size = CPU_ALLOC_SIZE(capacity);
        const int status = sched_getaffinity(0, size, set), count = status == 0 ? CPU_COUNT_S(size, set) : 0;
        const int error = errno;
        CPU_FREE(set);
        if (count > 0) return count;
        if (error != EINVAL) break;
    }
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? online : 1;
}
#else
#include <unistd.h>
long az_processor_count(void) {
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? online : 1;
}
#endif

// MARK: Memory

#if defined(__linux__) || defined(__APPLE__)
#include <sys/resource.h>
static int64_t limit(int status, const struct rlimit *limit) {
    const int isFinite = status == 0 && limit->rlim_cur != RLIM_INFINITY && limit->rlim_cur <= INT64_MAX;
    return isFinite ? (int64_t)limit->rlim_cur : -1;
}
int64_t az_address_space_limit(void) {
    struct rlimit found;
    const int status = getrlimit(RLIMIT_AS, &found);
    return limit(status, &found);
}
int64_t az_data_limit(void) {
    struct rlimit found;
    const int status = getrlimit(RLIMIT_DATA, &found);
    return limit(status, &found);
}
#else
int64_t az_address_space_limit(void) { return -1; }
int64_t az_data_limit(void) { return -1; }
#endif

#if defined(__GLIBC__)
#include <malloc.h>
void az_share_heap(void) { mallopt(M_ARENA_MAX, 1); }
#else
void az_share_heap(void) {}
#endif
