// From the library's choice to kernels that fit the processor and have proved themselves.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "openblas_shim.h"

static void say(az_kernel_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(az_kernel_report *report, const char *format, ...) {
    if (report->line_count == AZ_REPORT_LINES) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(report->lines[report->line_count++], AZ_REPORT_LENGTH, format, arguments);
    va_end(arguments);
}

static void set_used(az_kernel_report *report, uint32_t features, const char *core) {
    snprintf(report->used, sizeof report->used, "%s", core ? core : "unknown");
    const int class_index = az_kernel_class(core);
    report->below = (features & AZ_X86_64) && class_index >= 0 && class_index < az_processor_class(features);
}

// MARK: Choice

// Kernels stay below the processor's ability, and nothing here can change that: says what can.
static void advise(az_kernel_report *report, uint32_t features, const char *wanted, int dynamic) {
    const int times = az_class_speed(az_processor_class(features)) / az_class_speed(az_kernel_class(report->used));
    if (dynamic) {
        say(report, "OpenBLAS multiplies with its kernels for %s, the processor could run those for %s, up to %d times as"
                    " fast: set OPENBLAS_CORETYPE=%s", report->used, wanted, times, wanted);
    } else {
        say(report, "this OpenBLAS was built for %s alone, and the processor could do up to %d times as much: install a"
                    " build for all processors (DYNAMIC_ARCH)", report->used, times);
    }
}

void az_choose_kernels(const az_library *library, uint32_t features, const char *version, int dynamic,
                       const char *variable, az_kernel_report *report) {
    memset(report, 0, sizeof *report);
    const char *core = library->core();
    snprintf(report->chosen, sizeof report->chosen, "%s", core ? core : "unknown");
    set_used(report, features, core);
    const az_kernel_decision decision = az_decide_kernels(features, core, version, variable);
    report->reason = decision.reason;
    if (!decision.core) return;
    const int changed = dynamic && library->choose(decision.core);
    set_used(report, features, library->core());
    if (changed && !report->below && az_can_run(features, report->used)) return;
    if (!az_can_run(features, report->used)) {
        say(report, "OpenBLAS's kernels for %s need instructions that this processor has not; products are made in plain"
                    " C: set OPENBLAS_CORETYPE=%s", report->used, decision.core);
        report->plain = 1;
    } else {
        advise(report, features, decision.core, dynamic);
    }
}

// MARK: Check

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

// The kernels of the class below; null under the lowest.
static const char *lower(const char *core) {
    static const char *const ladder[] = {"Prescott", "Nehalem", "Sandybridge", "Haswell", "SkylakeX"};
    const int class_index = az_kernel_class(core);
    return class_index > 0 ? ladder[class_index - 1] : NULL;
}

void az_settle_kernels(const az_library *library, uint32_t features, az_kernel_report *report) {
    const double start = seconds();
    char failure[AZ_REPORT_LENGTH / 2];
    while (!report->plain && !az_check_products(library->sgemm, library->sgemv, failure, sizeof failure)) {
        char wrong[sizeof report->used];
        memcpy(wrong, report->used, sizeof wrong);
        const char *next = lower(wrong);
        while (next && !(library->choose(next) && strcmp(library->core(), wrong) != 0)) next = lower(next);
        if (next) set_used(report, features, library->core());
        report->plain = !next;
        say(report, "OpenBLAS's kernels for %s compute wrong products here (%s); using %s instead", wrong, failure,
            next ? report->used : "plain C, which is slow: install another version of OpenBLAS");
    }
    report->passed = !report->plain;
    if (report->plain) {
        snprintf(report->used, sizeof report->used, "plain C");
        report->below = 1;
    }
    report->check_seconds = seconds() - start;
}
