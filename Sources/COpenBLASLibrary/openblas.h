// The system's library as the package manager finds it. Only the shim, Sources/COpenBLAS, uses it.
#include <cblas.h>
#include <lapacke.h>
