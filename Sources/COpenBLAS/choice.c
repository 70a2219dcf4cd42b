// Which kernels suit a processor. OpenBLAS looks at the processor's model and takes its oldest kernels where it is newer
// than the library; here the instructions decide.
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "openblas_shim.h"

// MARK: What is known of kernels

typedef struct {
    const char *name;
    int class_index;
    uint32_t needs;  // instructions beyond x86-64's
} az_core;

enum { HASWELL = AZ_AVX | AZ_AVX2 | AZ_FMA };

// OpenBLAS's names up to 0.3.30. The kernels of AMD's families 15h use fused multiply-adds of four or of three operands.
static const az_core cores[] = {
    {"Katmai", 0, 0},
    {"Coppermine", 0, 0},
    {"Northwood", 0, 0},
    {"Prescott", 0, 0},
    {"Banias", 0, 0},
    {"Atom", 0, 0},
    {"Core2", 0, 0},
    {"Penryn", 0, 0},
    {"Dunnington", 0, 0},
    {"Nehalem", 1, AZ_SSE42},
    {"Athlon", 0, AZ_3DNOW},
    {"Opteron", 0, AZ_3DNOW},
    {"Opteron_SSE3", 0, AZ_3DNOW},
    {"Barcelona", 0, 0},
    {"Nano", 0, 0},
    {"Bobcat", 0, 0},
    {"Sandybridge", 2, AZ_AVX},
    {"Bulldozer", 2, AZ_AVX | AZ_FMA4},
    {"Piledriver", 2, AZ_AVX | AZ_FMA4 | AZ_FMA},
    {"Steamroller", 2, AZ_AVX | AZ_FMA4 | AZ_FMA},
    {"Excavator", 2, AZ_AVX | AZ_FMA4 | AZ_FMA},
    {"Haswell", 3, HASWELL},
    {"Zen", 3, HASWELL},
    {"SkylakeX", 4, HASWELL | AZ_AVX512},
    {"Cooperlake", 4, HASWELL | AZ_AVX512 | AZ_AVX512_BF16},
    {"SapphireRapids", 4, HASWELL | AZ_AVX512 | AZ_AVX512_BF16},
};
enum { CORES = sizeof cores / sizeof cores[0] };

static const az_core *find(const char *name) {
    for (int i = 0; i < CORES; i++)
        if (name && strcasecmp(cores[i].name, name) == 0) return &cores[i];
    return NULL;
}

const char *az_known_core(int index) { return index >= 0 && index < CORES ? cores[index].name : NULL; }

int az_kernel_class(const char *core) {
    const az_core *known = find(core);
    return known ? known->class_index : -1;
}

int az_can_run(uint32_t features, const char *core) {
    const az_core *known = find(core);
    return !known || (known->needs & ~features) == 0;
}

int az_processor_class(uint32_t features) {
    if ((features & (HASWELL | AZ_AVX512)) == (HASWELL | AZ_AVX512)) return 4;
    // Of the families 15h only the last has AVX2, at half the width: their own kernels suit it better.
    if ((features & HASWELL) == HASWELL && !(features & AZ_FMA4)) return 3;
    if (features & AZ_AVX) return 2;
    return features & AZ_SSE42 ? 1 : 0;
}

int az_class_speed(int class_index) {
    static const int speeds[] = {1, 1, 2, 4, 8};  // lanes, twice as much with fused multiply-adds
    return class_index < 0 || class_index > 4 ? 1 : speeds[class_index];
}

// MARK: What to ask for

// As a number that grows with the version: 0.3.21 is 3021; 0 where it cannot be read.
static long version_number(const char *version) {
    if (!version) return 0;
    char *end;
    const long major = strtol(version, &end, 10);
    if (*end != '.') return 0;
    const long minor = strtol(end + 1, &end, 10);
    const long patch = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    return (major * 1000 + minor) * 1000 + patch;
}

// The kernels of a class that every library since `since` has.
static const struct {
    const char *name;
    long since;
} representatives[] = {
    {"Prescott", 0},
    {"Nehalem", 0},
    {"Sandybridge", 2000},
    {"Haswell", 2008},
    // There since 0.3.0, but wrong in one way or another until they were written anew in 0.3.8.
    {"SkylakeX", 3008},
};

az_kernel_decision az_decide_kernels(uint32_t features, const char *core, const char *version, const char *variable) {
    if (!(features & AZ_X86_64)) return (az_kernel_decision){NULL, AZ_KERNELS_OTHER_PROCESSOR};
    const az_core *chosen = find(core);
    if (!chosen) return (az_kernel_decision){NULL, AZ_KERNELS_UNKNOWN};
    const int runs = (chosen->needs & ~features) == 0;
    // A variable counts where the library has heeded it. What would end in an illegal instruction is nobody's wish.
    const az_core *wished = find(variable);
    if (runs && wished && chosen->class_index >= wished->class_index)
        return (az_kernel_decision){NULL, AZ_KERNELS_BY_VARIABLE};
    const int ability = az_processor_class(features);
    if (runs && chosen->class_index >= ability) return (az_kernel_decision){NULL, AZ_KERNELS_FIT};
    const long number = version_number(version);
    for (int i = ability; i >= 0; i--) {
        if (runs && i <= chosen->class_index) break;
        if (number >= representatives[i].since && az_can_run(features, representatives[i].name))
            return (az_kernel_decision){representatives[i].name, runs ? AZ_KERNELS_TOO_LOW : AZ_KERNELS_TOO_HIGH};
    }
    return (az_kernel_decision){NULL, runs ? AZ_KERNELS_FIT : AZ_KERNELS_TOO_HIGH};
}
