// One-dimensional convolution as a matrix product, and its transpose.
#include "ckernels.h"
#include "vector_math.h"

// Outputs o for which the input position o * stride + offset lies in [0, length): `first` up to `end`.
typedef struct {
    long first, end;
} az_range;

static az_range az_inside(long offset, long length, long stride, long out) {
    az_range range;
    range.first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    range.end = offset >= length ? 0 : (length - 1 - offset) / stride + 1;
    range.first = az_min(range.first, out);
    range.end = az_min(range.end, out);
    if (range.end < range.first) range.end = range.first;
    return range;
}

void az_unfold_1d(long channels, long length, long kernel, long stride, long padding, long dilation, long out,
                  const float *x, float *columns) {
    for (long c = 0; c < channels; c++, x += length)
        for (long k = 0; k < kernel; k++, columns += out) {
            const long offset = k * dilation - padding;
            const az_range range = az_inside(offset, length, stride, out);
            memset(columns, 0, sizeof(float) * (size_t)range.first);
            if (stride == 1) {
                memcpy(columns + range.first, x + offset + range.first,
                       sizeof(float) * (size_t)(range.end - range.first));
            } else {
                for (long o = range.first; o < range.end; o++) columns[o] = x[offset + o * stride];
            }
            memset(columns + range.end, 0, sizeof(float) * (size_t)(out - range.end));
        }
}

AZ_KERNEL void az_fold_1d(long channels, long length, long kernel, long stride, long padding, long dilation, long out,
                          const float *columns, float *x) {
    for (long c = 0; c < channels; c++, x += length)
        for (long k = 0; k < kernel; k++, columns += out) {
            const long offset = k * dilation - padding;
            const az_range range = az_inside(offset, length, stride, out);
            if (stride == 1) {
                AZ_VECTORIZE
                for (long o = range.first; o < range.end; o++) x[offset + o] += columns[o];
            } else {
                for (long o = range.first; o < range.end; o++) x[offset + o * stride] += columns[o];
            }
        }
}
