// The package's door to OpenBLAS: products and factorizations with kernels that suit the processor and that have proved
// themselves. Matrices are float32, stored by rows with a row stride. Sizes fit 32 bits.
#ifndef AZ_OPENBLAS_SHIM_H
#define AZ_OPENBLAS_SHIM_H
#include <stdint.h>

// MARK: The processor

// The features that matter for a choice of kernels. A bit is set where the processor has the instructions and the operating system
// saves their registers.
enum {
    AZ_X86_64 = 1 << 0,
    AZ_SSE42 = 1 << 1,
    AZ_AVX = 1 << 2,
    AZ_FMA4 = 1 << 3,  // AMD's families 15h: Bulldozer to Excavator
    AZ_FMA = 1 << 4,
    AZ_AVX2 = 1 << 5,
    AZ_AVX512 = 1 << 6,  // F, DQ, BW and VL together
    AZ_AVX512_BF16 = 1 << 7,
    AZ_3DNOW = 1 << 8,  // AMD's until 2010
};

// The registers of cpuid and xgetbv that features are read from.
typedef struct {
    uint32_t leaf1_ecx, leaf7_ebx, leaf7_1_eax, extended1_ecx, extended1_edx;
    uint64_t xcr0;  // 0 where the operating system does not use xsave
} az_cpuid;

az_cpuid az_read_cpuid(void);
uint32_t az_features(az_cpuid registers);      // pure; x86-64 is taken for granted
uint32_t az_processor_features(void);          // of this processor; 0 on other architectures

// MARK: The choice of kernels

typedef enum {
    AZ_KERNELS_FIT,            // the library's choice suits the processor
    AZ_KERNELS_BY_VARIABLE,    // OPENBLAS_CORETYPE names them
    AZ_KERNELS_TOO_LOW,        // they use less than the processor has
    AZ_KERNELS_TOO_HIGH,       // they need instructions that the processor has not
    AZ_KERNELS_UNKNOWN,        // a name that is not known here: newer than this table, left alone
    AZ_KERNELS_OTHER_PROCESSOR // not x86-64: left alone
} az_kernel_reason;

typedef struct {
    const char *core;  // the kernels to ask for; null: keep what the library has chosen
    az_kernel_reason reason;
} az_kernel_decision;

// Decides what to do about the kernels that the library has chosen. Pure.
// core: openblas_get_corename(); version: as in "0.3.21"; variable: the value of OPENBLAS_CORETYPE, or null.
az_kernel_decision az_decide_kernels(uint32_t features, const char *core, const char *version, const char *variable);
// The width at which kernels of this name compute: 0 up to SSE3, 1 SSE4.2, 2 AVX, 3 AVX2 with FMA, 4 AVX-512; -1: unknown.
int az_kernel_class(const char *core);
// The widest class that a processor can run.
int az_processor_class(uint32_t features);
// Returns 1 if a processor has all instructions that kernels of this name use, and for unknown names.
int az_can_run(uint32_t features, const char *core);
// The names of kernels that OpenBLAS has for x86-64; null after the last.
const char *az_known_core(int index);
// The number of products of the first class that one of the second does in the same time, at most.
int az_class_speed(int class_index);

// MARK: A library

typedef void (*az_sgemm_function)(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a,
                                  long a_row, const float *b, long b_row, float beta, float *c, long c_row);
// y = alpha A x + beta y, or with transpose alpha A^T x + beta y; A: [rows, cols].
typedef void (*az_sgemv_function)(int transpose, long rows, long cols, float alpha, const float *a, long a_row,
                                  const float *x, long x_step, float beta, float *y);

// The functions that the shim needs of OpenBLAS; tests bring others.
typedef struct {
    const char *(*core)(void);
    int (*choose)(const char *core);  // 0 where the library cannot be asked to choose again
    az_sgemm_function sgemm;
    az_sgemv_function sgemv;
} az_library;

enum { AZ_REPORT_LINES = 8, AZ_REPORT_LENGTH = 320 };

typedef struct {
    char chosen[32];        // by the library
    char used[32];          // in the end; "plain C" where no kernels of the library are
    az_kernel_reason reason;
    int passed;             // the check: 1, or 0 where plain C had to step in
    int plain;              // whether the shim multiplies by itself
    int starved;            // whether the library cannot have the memory of a single product; the shim multiplies then
    int below;              // whether what is used computes less widely than the processor could
    double check_seconds;
    int line_count;         // warnings for people, a line each
    char lines[AZ_REPORT_LINES][AZ_REPORT_LENGTH];
} az_kernel_report;

// Chooses again where the library's choice does not suit the processor.
// dynamic: whether the library was built with kernels for many processors.
void az_choose_kernels(const az_library *library, uint32_t features, const char *version, int dynamic,
                       const char *variable, az_kernel_report *report);
// Checks the kernels in use, and goes down class by class while they are wrong.
void az_settle_kernels(const az_library *library, uint32_t features, az_kernel_report *report);
// Products against plain C, exactly: sums of small whole numbers have no rounding. Writes what was wrong. Returns 1 where
// nothing was.
int az_check_products(az_sgemm_function sgemm, az_sgemv_function sgemv, char *failure, long length);

// MARK: OpenBLAS

// The kernels in use; waits for choice and check where they have not been made. The same for the whole process.
const az_kernel_report *az_openblas_report(void);
const char *az_openblas_version(void);  // as in "0.3.21"; "unknown"
const char *az_openblas_config(void);   // as the library describes its build
int az_openblas_most_threads(void);     // that the library was built for
// Bytes of address space that the library takes for each thread that multiplies: 128 MB in builds for x86-64, of which
// products touch a few; less elsewhere.
enum { AZ_OPENBLAS_BUFFER = 128 << 20 };

// C = alpha op(A) op(B) + beta C. op(A): [m, k], op(B): [k, n], C: [m, n]. With beta 0, C is not read. From many threads
// at once; no more than the library was built for are inside it.
void az_sgemm(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a, long a_row,
              const float *b, long b_row, float beta, float *c, long c_row);
// y as above; with beta 0, y is not read.
void az_sgemv(int transpose, long rows, long cols, float alpha, const float *a, long a_row, const float *x, long x_step,
              float beta, float *y);

// Q and the diagonal of R of the QR factorization of a matrix stored by columns [columns, rows], rows >= columns; Q
// overwrites it. Returns LAPACK's status, 0 where all is well.
int az_qr(long rows, long columns, float *matrix, float *diagonal);
// Singular values of a matrix stored by columns [columns, rows], from the greatest down; the matrix is overwritten.
int az_singular_values(long rows, long columns, float *matrix, float *values);

// MARK: Plain C

void az_plain_sgemm(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a, long a_row,
                    const float *b, long b_row, float beta, float *c, long c_row);
void az_plain_sgemv(int transpose, long rows, long cols, float alpha, const float *a, long a_row, const float *x,
                    long x_step, float beta, float *y);

// MARK: A door that lets in only so many threads at once

typedef struct az_door az_door;
// sure: threads that can be let in without asking, at least one. has_room: whether the system would give so many buffers
// at once; null: always.
az_door *az_make_door(int capacity, int sure, int (*has_room)(int buffers));
void az_free_door(az_door *door);
void az_enter(az_door *door);
void az_leave(az_door *door);

#endif
