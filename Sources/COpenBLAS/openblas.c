// OpenBLAS itself: the only file that includes its headers.
#if defined(__linux__)
#define _GNU_SOURCE  // RTLD_DEFAULT, sched_getaffinity, on_exit
#endif
#include <cblas.h>
#include <dlfcn.h>
#include <lapacke.h>
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

#include "openblas_shim.h"

// MARK: What the library says of itself

const char *az_openblas_config(void) {
    const char *config = openblas_get_config();
    return config ? config : "";
}

int az_openblas_most_threads(void) {
    int threads = 0;
    const char *place = strstr(az_openblas_config(), "MAX_THREADS=");
    return place && sscanf(place, "MAX_THREADS=%d", &threads) == 1 && threads > 0 ? threads : 1;
}

static int is_dynamic(void) { return strstr(az_openblas_config(), "DYNAMIC_ARCH") != NULL; }

static const char *core(void) { return openblas_get_corename(); }

// MARK: Choosing again

// Has the library choose once more, with its own variable naming what it shall take. The functions that do it at load
// are exported by builds for many processors (Debian's, among others); where they are not, nothing is changed.
static int choose(const char *name) {
    void (*quit)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "gotoblas_dynamic_quit");
    void (*init)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "gotoblas_dynamic_init");
    if (!quit || !init) return 0;
    const char *variable = getenv("OPENBLAS_CORETYPE");
    char *before = variable ? strdup(variable) : NULL;
    if (setenv("OPENBLAS_CORETYPE", name, 1) != 0) {
        free(before);
        return 0;
    }
    quit();
    init();
    if (before) {
        setenv("OPENBLAS_CORETYPE", before, 1);
    } else {
        unsetenv("OPENBLAS_CORETYPE");
    }
    free(before);
    return 1;
}

// MARK: Calls. What versions have got wrong is kept from them: sums of no products (0.3.11 returns garbage), and garbage
// scaled by beta = 0, of which some keep NaN.

static CBLAS_TRANSPOSE transposed(int yes) { return yes ? CblasTrans : CblasNoTrans; }

static blasint row_length(long row) { return (blasint)(row > 0 ? row : 1); }

static void library_sgemm(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a,
                          long a_row, const float *b, long b_row, float beta, float *c, long c_row) {
    if (k == 0) {
        az_plain_sgemm(transpose_a, transpose_b, m, n, k, alpha, a, a_row, b, b_row, beta, c, c_row);
        return;
    }
    cblas_sgemm(CblasRowMajor, transposed(transpose_a), transposed(transpose_b), (blasint)m, (blasint)n, (blasint)k,
                alpha, a, row_length(a_row), b, row_length(b_row), beta, c, row_length(c_row));
}

static void library_sgemv(int transpose, long rows, long cols, float alpha, const float *a, long a_row, const float *x,
                          long x_step, float beta, float *y) {
    if (beta == 0) {
        memset(y, 0, sizeof(float) * (size_t)(transpose ? cols : rows));
        beta = 1;
    }
    cblas_sgemv(CblasRowMajor, transposed(transpose), (blasint)rows, (blasint)cols, alpha, a, row_length(a_row), x,
                (blasint)x_step, beta, y, 1);
}

// MARK: Memory

// Returns 1 if the system would give the library so many buffers, and something for all else: it is asked for as much, which
// is given back at once. OpenBLAS up to at least 0.3.30 asks for ever where the answer is no, as under `ulimit -v`.
static int has_room(int buffers) {
#if defined(__linux__)
    const size_t size = (size_t)buffers * AZ_OPENBLAS_BUFFER + (32u << 20);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 0;
    munmap(memory, size);
#endif
    return 1;
}

// Exits without the library's own end: where memory is limited, a thread that it starts at load may ask for its buffer for
// ever, and the library would wait for it.
#if defined(__GLIBC__)
static void leave(int status, void *unused) {
    (void)unused;
    fflush(NULL);
    _exit(status);
}

static void prepare_exit(void) {
    struct rlimit space, data;
    const int limited = (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        || (getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur != RLIM_INFINITY);
    // Called before the library's own: what was registered last comes first.
    if (limited) on_exit(leave, NULL);
}
#else
static void prepare_exit(void) {}
#endif

static int processors(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return 1;
}

enum { MOST_SURE = 64 };

// Has the library make the buffers of as many threads as there are processors, while there is nobody else; fewer where
// they would take the room of everything else. Returns the number, 0 where there is no room for one. The functions are
// exported by shared libraries; where they are not, the first buffer is left to the first product.
static int make_buffers(int most) {
    void *(*take)(int) = (void *(*)(int))dlsym(RTLD_DEFAULT, "blas_memory_alloc");
    void (*give)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "blas_memory_free");
    int wanted = take && give ? processors() : 1;
    if (wanted > most) wanted = most;
    if (wanted > MOST_SURE) wanted = MOST_SURE;
    void *buffers[MOST_SURE];
    int made = 0;
    // Another thread that makes a heap of its own takes 128 MB for a moment (glibc): what is refused then may be had after it.
    for (int tries = 0; tries < 10 && !has_room(1); tries++) usleep(5000);
    // The first at any price, each other only where as much is left.
    while (made < wanted && has_room(made == 0 ? 1 : 2)) buffers[made++] = take && give ? take(0) : NULL;
    for (int i = 0; i < made && give; i++)
        if (buffers[i]) give(buffers[i]);
    return made;
}

// MARK: The kernels in use

static az_door *door;

static void sgemm_inside(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a,
                         long a_row, const float *b, long b_row, float beta, float *c, long c_row) {
    az_enter(door);
    library_sgemm(transpose_a, transpose_b, m, n, k, alpha, a, a_row, b, b_row, beta, c, c_row);
    az_leave(door);
}

static void sgemv_inside(int transpose, long rows, long cols, float alpha, const float *a, long a_row, const float *x,
                         long x_step, float beta, float *y) {
    az_enter(door);
    library_sgemv(transpose, rows, cols, alpha, a, a_row, x, x_step, beta, y);
    az_leave(door);
}

static const az_library library = {core, choose, sgemm_inside, sgemv_inside};
static az_kernel_report report;
static char version[32];
static pthread_once_t choice = PTHREAD_ONCE_INIT, check = PTHREAD_ONCE_INIT;

static void choose_once(void) {
    if (sscanf(az_openblas_config(), "OpenBLAS %31s", version) != 1) strcpy(version, "unknown");
    az_choose_kernels(&library, az_processor_features(), version, is_dynamic(),
                      getenv("OPENBLAS_CORETYPE"), &report);
}

// At load, while there is one thread: the variable is changed for a moment, and nobody may be multiplying.
__attribute__((constructor)) static void choose_at_load(void) {
    prepare_exit();
    pthread_once(&choice, choose_once);
}

static void check_once(void) {
    pthread_once(&choice, choose_once);
    openblas_set_num_threads(1);  // the package splits the work
    const int most = az_openblas_most_threads(), sure = make_buffers(most);
    door = az_make_door(most, sure, has_room);
    if (sure == 0) {
        report.starved = report.plain = 1;
        return;
    }
    az_settle_kernels(&library, az_processor_features(), &report);
}

static void prepare(void) { pthread_once(&check, check_once); }

const az_kernel_report *az_openblas_report(void) {
    prepare();
    return &report;
}

const char *az_openblas_version(void) {
    pthread_once(&choice, choose_once);
    return version;
}

// MARK: Products

void az_sgemm(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a, long a_row,
              const float *b, long b_row, float beta, float *c, long c_row) {
    prepare();
    const az_sgemm_function sgemm = report.plain ? az_plain_sgemm : sgemm_inside;
    sgemm(transpose_a, transpose_b, m, n, k, alpha, a, a_row, b, b_row, beta, c, c_row);
}

void az_sgemv(int transpose, long rows, long cols, float alpha, const float *a, long a_row, const float *x, long x_step,
              float beta, float *y) {
    prepare();
    const az_sgemv_function sgemv = report.plain ? az_plain_sgemv : sgemv_inside;
    sgemv(transpose, rows, cols, alpha, a, a_row, x, x_step, beta, y);
}

// MARK: LAPACK

int az_qr(long rows, long columns, float *matrix, float *diagonal) {
    prepare();
    if (report.starved) return LAPACK_WORK_MEMORY_ERROR;
    float *factors = malloc(sizeof(float) * (size_t)(columns > 0 ? columns : 1));
    if (!factors) return LAPACK_WORK_MEMORY_ERROR;
    const lapack_int m = (lapack_int)rows, n = (lapack_int)columns;
    az_enter(door);
    lapack_int status = LAPACKE_sgeqrf(LAPACK_COL_MAJOR, m, n, matrix, m, factors);
    for (long i = 0; i < columns; i++) diagonal[i] = matrix[i * rows + i];
    if (status == 0) status = LAPACKE_sorgqr(LAPACK_COL_MAJOR, m, n, n, matrix, m, factors);
    az_leave(door);
    free(factors);
    return (int)status;
}

int az_singular_values(long rows, long columns, float *matrix, float *values) {
    prepare();
    if (report.starved) return LAPACK_WORK_MEMORY_ERROR;
    const lapack_int m = (lapack_int)rows, n = (lapack_int)columns;
    float unused = 0;  // vectors are not asked for, and their arrays not touched
    az_enter(door);
    const lapack_int status =
        LAPACKE_sgesdd(LAPACK_COL_MAJOR, 'N', m, n, matrix, m, values, &unused, 1, &unused, 1);
    az_leave(door);
    return (int)status;
}
