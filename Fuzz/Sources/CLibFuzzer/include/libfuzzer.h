// libFuzzer's driver, for programs with a main function of their own: https://llvm.org/docs/LibFuzzer.html
#ifndef AZ_LIBFUZZER_H
#define AZ_LIBFUZZER_H
#include <stddef.h>
#include <stdint.h>

// Calls `callback` with one input after another, as the arguments say (see -help=1), until it ends the process itself.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));

#endif
