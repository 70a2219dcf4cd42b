// Internal: what the kernels of rounded weights share.
#ifndef AZ_ROUNDED_H
#define AZ_ROUNDED_H
#include "ckernels.h"

// az_int8_product of one row by dot products of bytes (int8_row.c). scratch: 2 w_row floats. Returns 0, with nothing
// written, where the processor has none, or the row has no numbers of 24 bits.
int az_int8_row_product(long outputs, long cols, float alpha, const int8_t *w, long w_row, const float *scales,
                        long scales_row, const float *x, float beta, float *y, float *scratch);
#endif
