// The vector loops that BLAS does not have. Every function works on float32, is single-threaded, allocates nothing and
// keeps no state; callers split the work. Shapes come first, in elements; matrices are row-major. Instruction set
// chosen at run time. NaN and infinity follow IEEE as in NumPy.
#ifndef CKERNELS_H
#define CKERNELS_H
#include <stdint.h>

// MARK: Elementwise functions of one argument. y may be x; dx may be x or dy.
// forward: y[i] = f(x[i]).   backward: dx[i] = dy[i] * f'(x[i]), given both x and y = f(x).
#define AZ_UNARY(name)                                              \
    void az_##name##_forward(long n, const float *x, float *y);     \
    void az_##name##_backward(long n, const float *x, const float *y, const float *dy, float *dx);
AZ_UNARY(exp)
AZ_UNARY(log)
AZ_UNARY(sqrt)
AZ_UNARY(rsqrt)
AZ_UNARY(tanh)
AZ_UNARY(sigmoid)
AZ_UNARY(silu)     // NaN at -inf, as in PyTorch; so is gelu
AZ_UNARY(softplus) // ln(1 + e^x)
AZ_UNARY(gelu)     // exact: x * Phi(x), by erf
AZ_UNARY(relu)
AZ_UNARY(relu2)    // relu(x)^2
AZ_UNARY(laplace)  // (1 + erf((x - sqrt(1/2)) / (sqrt(1/(4 pi)) sqrt 2))) / 2
AZ_UNARY(sin)
AZ_UNARY(cos)
AZ_UNARY(abs)
AZ_UNARY(elu_plus_one)  // x + 1 for x > 0, else e^x
#undef AZ_UNARY
// Any az_*_forward and az_*_backward of these.
typedef void (*az_row_function)(long n, const float *x, float *y);
typedef void (*az_row_gradient_function)(long n, const float *x, const float *y, const float *dy, float *dx);
void az_clamp_forward(long n, float low, float high, const float *x, float *y);
void az_clamp_backward(long n, float low, float high, const float *x, const float *dy, float *dx);
void az_pow_forward(long n, float exponent, const float *x, float *y);
void az_pow_backward(long n, float exponent, const float *x, const float *dy, float *dx);

// MARK: Elementwise functions of two arguments with broadcasting over a [rows, cols] block.
// A row stride is any number of elements (0: broadcast); a column stride is 0 or 1. y is dense [rows, cols].
#define AZ_BINARY(name)                                                                                        \
    void az_##name(long rows, long cols, const float *a, long a_row, long a_col, const float *b, long b_row,   \
                   long b_col, float *y);
AZ_BINARY(add)
AZ_BINARY(subtract)
AZ_BINARY(multiply)
AZ_BINARY(divide)
AZ_BINARY(maximum)  // NaN if either is NaN, as numpy.maximum
AZ_BINARY(minimum)
AZ_BINARY(power)
AZ_BINARY(equal)    // comparisons give 1 or 0
AZ_BINARY(less)
AZ_BINARY(less_equal)
#undef AZ_BINARY
// y = condition != 0 ? a : b, all dense [n].
void az_where(long n, const float *condition, const float *a, const float *b, float *y);

// MARK: Whole-buffer loops
void az_fill(long n, float value, float *y);
void az_scale(long n, float alpha, const float *x, float *y);               // y = alpha x; y may be x
void az_scale_add(long n, float alpha, const float *x, float beta, float *y);  // y = alpha x + beta y; 0: y unread
void az_add_scalar(long n, float value, const float *x, float *y);
// Copies a strided [rows, cols] block into another; any strides (a column stride of 1 or a transposition is fast).
void az_copy_2d(long rows, long cols, const float *x, long x_row, long x_col, float *y, long y_row, long y_col);
// y += x on the same kind of block.
void az_add_2d(long rows, long cols, const float *x, long x_row, long x_col, float *y, long y_row, long y_col);
double az_sum_squares(long n, const float *x);                              // in float64
long az_first_not_finite(long n, const float *x);                           // its index; n when all are finite

// MARK: Reductions over the middle axis of [outer, n, inner]. Sums of long rows are pairwise or better.
void az_sum(long outer, long n, long inner, const float *x, float *y);                       // [outer, inner]
// The first maximum and its index (which may be null); NaN wins. n >= 1.
void az_max(long outer, long n, long inner, const float *x, float *y, int32_t *index);
void az_cumulative_sum(long outer, long n, long inner, int reverse, const float *x, float *y);

// MARK: Softmax over rows of [rows, n]. A row of only -inf gives NaN, as in NumPy.
void az_softmax_forward(long rows, long n, const float *x, float *y);
void az_softmax_backward(long rows, long n, const float *y, const float *dy, float *dx);
void az_log_softmax_forward(long rows, long n, const float *x, float *y);
void az_log_softmax_backward(long rows, long n, const float *y, const float *dy, float *dx);
// Cross-entropy of softmax(x) with class targets, and its gradient in the same pass: losses[r] = logsumexp(x_r) -
// x_r[t_r]; dx[r, :] = softmax(x_r) - onehot(t_r). A target equal to ignore_index gives loss 0 and a row of zeros. dx
// may be null.
void az_cross_entropy(long rows, long n, int32_t ignore_index, const float *x, const int32_t *targets, float *losses,
                      float *dx);

// MARK: Norms over rows of [rows, d]. weight and bias may be null. dweight and dbias are added to (dense [d]) and may
// be null. Statistics (one a row) are what backward needs.
void az_layer_norm_forward(long rows, long d, float eps, const float *x, const float *weight, const float *bias,
                           float *y, float *mean, float *inverse_std);
void az_layer_norm_backward(long rows, long d, const float *x, const float *weight, const float *mean,
                            const float *inverse_std, const float *dy, float *dx, float *dweight, float *dbias);
// y = x / max(|x| * norm_scale, eps) * gain * weight: the shared core of scale norm (norm_scale = d^-1/2, weight
// null, gain = g[0]), l2 norm (norm_scale = 1, gain = 1) and RMS norm in its l2 form. statistics[r] = 1 / max(|x|
// norm_scale, eps); clamped rows (|x| norm_scale < eps) store it negated, because their denominator is constant in
// backward.
void az_l2_norm_forward(long rows, long d, float norm_scale, float eps, float gain, const float *x, const float *weight,
                        float *y, float *statistics);
// dgain (may be null) is added to: sum of dy * x * |statistics| * weight.
void az_l2_norm_backward(long rows, long d, float norm_scale, float gain, const float *x, const float *weight,
                         const float *statistics, const float *dy, float *dx, float *dgain, float *dweight);
// y = x * (mean(x^2) + eps)^-1/2 * weight
void az_rms_norm_forward(long rows, long d, float eps, const float *x, const float *weight, float *y,
                         float *inverse_rms);
void az_rms_norm_backward(long rows, long d, const float *x, const float *weight, const float *inverse_rms,
                          const float *dy, float *dx, float *dweight);

// MARK: Rows by index. table: [any, d]; indices must be in range (checked by the caller).
void az_gather_rows(long n, long d, const float *table, const int32_t *indices, float *y);           // y: [n, d]
void az_scatter_add_rows(long n, long d, const int32_t *indices, const float *x, float *table);      // table[i] += x

// MARK: A product with one column: y = alpha W x + beta y (with beta 0, y is not read). W: [rows, cols] with row stride
// w_row, read once, as fast as memory gives it.
void az_matrix_vector(long rows, long cols, float alpha, const float *w, long w_row, const float *x, float beta,
                      float *y);
// A matrix that grows by an outer product and is multiplied at once, in one pass: w += u v^T, then y = alpha w x. w:
// [rows, cols] with row stride w_row; elements of u u_step apart.
void az_outer_matrix_vector(long rows, long cols, const float *u, long u_step, const float *v, float *w, long w_row,
                            float alpha, const float *x, float *y);
// w += u v^T, then y = w^T x.
void az_outer_vector_matrix(long rows, long cols, const float *u, long u_step, const float *v, float *w, long w_row,
                            const float *x, float *y);
// w = decay w + u v^T, then y = w^T x.
void az_fading_vector_matrix(long rows, long cols, float decay, const float *u, long u_step, const float *v, float *w,
                             long w_row, const float *x, float *y);

// MARK: Matrices of rounded weights. Rows w_row weights apart, a multiple of the group that holds cols of them, zeros
// after these. int8: weight j of a row is scales[j / group] * w[j].
enum { AZ_ROUNDED_GROUP = 64 };
// y = alpha x W^T + beta y (with beta 0, y is not read) for few rows: a weight is read once for up to eight of them. x:
// [rows, cols], W: [outputs, cols], y: [rows, outputs], with the given row strides. scratch: w_row floats for each row,
// for two rows at least and eight at most.
void az_bfloat16_product(long rows, long outputs, long cols, float alpha, const uint16_t *w, long w_row, const float *x,
                         long x_row, float beta, float *y, long y_row, float *scratch);
void az_int8_product(long rows, long outputs, long cols, float alpha, const int8_t *w, long w_row, const float *scales,
                     long scales_row, const float *x, long x_row, float beta, float *y, long y_row, float *scratch);
// The same of floats, whose rows hold whole groups: cols is a multiple of the group.
void az_float_product(long rows, long outputs, long cols, float alpha, const float *w, long w_row, const float *x,
                      long x_row, float beta, float *y, long y_row, float *scratch);
// To nearest, ties to even; NaN stays NaN.
void az_float_to_bfloat16(long n, const float *x, uint16_t *y);
// scale = max |x| / 127 of each group, q = x / scale to nearest, ties to even; both 0 where the scale is no normal number.
// x: [rows, cols] dense and finite.
void az_float_to_int8(long rows, long cols, const float *x, int8_t *q, long q_row, float *scales, long scales_row);
void az_int8_to_float(long rows, long cols, const int8_t *q, long q_row, const float *scales, long scales_row, float *y,
                      long y_row);

// MARK: Bias, activation and gate on a panel
void az_add_bias(long rows, long cols, const float *bias, float *y, long y_row);                     // y[r, :] += bias
void az_sum_rows(long rows, long cols, const float *x, long x_row, float *y);   // y[:] += sum of rows

// y = a * f(g), both with row stride z_row (halves of one matrix, say); f may be null (the identity). y is neither a
// nor g.
void az_gate_forward(long rows, long cols, az_row_function function, const float *a, const float *g, long z_row,
                     float *y, long y_row);
// da = dy f(g) and dg = dy a f'(g), overwritten; da may be a and dg may be g. y (may be null; may be dy) gets a * f(g)
// again. scratch: [2, cols].
void az_gate_backward(long rows, long cols, az_row_function function, az_row_gradient_function gradient, const float *a,
                      const float *g, long z_row, const float *dy, long dy_row, float *y, long y_row, float *da,
                      float *dg, long dz_row, float *scratch);

// MARK: Softmax of tiles of scores, for attention over a range of keys. Row r of x [rows, cols] sees the columns
// first[r] ..< last[r] where mask (null: all) is not 0; bias (may be null) points at row 0, column 0 and has rows
// bias_row apart: a matrix by its rows, or with -1 a Toeplitz matrix by its diagonals.
// x becomes e^(x + bias - maximum) where it is seen, else 0. maxima and sums (-inf and 0 before the first tile) go on
// from one tile of columns to the next; what was summed before this tile has to be multiplied by rescale [rows].
// Afterwards the softmax is x / sums and its log-sum-exp maxima + log sums; a row that sees nothing keeps sum 0.
void az_window_softmax_forward(long rows, long cols, const int32_t *first, const int32_t *last, const float *bias,
                               long bias_row, const float *mask, float *x, long x_row, float *maxima, float *sums,
                               float *rescale);
// From the same scores: x becomes the softmax p = e^(x + bias - log_sum) and dy, the gradient of p, that of x:
// p (dy - mean) with mean[r] the sum of p dy over the whole row. dbias (may be null) is added to. A log_sum of inf
// gives zeros.
void az_window_softmax_backward(long rows, long cols, const int32_t *first, const int32_t *last, const float *bias,
                                long bias_row, const float *mask, const float *log_sums, const float *means, float *x,
                                long x_row, float *dy, long dy_row, float *dbias, long dbias_row);
void az_row_dots(long rows, long cols, const float *x, long x_row, const float *y, long y_row, float *out);
void az_scale_rows(long rows, long cols, const float *factors, float *x, long x_row);           // x[r, :] *= factors[r]
void az_scale_columns(long rows, long cols, const float *factors, const float *x, long x_row, float *y,
                      long y_row);                                                // y[r, c] = x[r, c] * factors[c]

// MARK: Products of a tile of scores by bands. Row r of the tile [rows, columns] sees the columns first[r] ..< last[r], both
// bounds growing with the row; what lies outside of them in the blocks that are read must be 0, or is written with no
// meaning.
// scores[r, c] = alpha <q_r, k_c> of the columns seen and some beside them. keys: transposed, [d, columns], with 15 floats
// after the last that may be read; scores_row: a multiple of 16.
void az_band_scores(long rows, long d, const int32_t *first, const int32_t *last, float alpha, const float *q, long q_row,
                    const float *keys, long keys_row, float *scores, long scores_row);
// y[r, :] = (y +) alpha sum over c of p[r, c] x[c, :]. x: [columns, e]; y: [rows, e].
void az_band_apply(long rows, long e, const int32_t *first, const int32_t *last, float alpha, const float *p, long p_row,
                   const float *x, long x_row, int adds, float *y, long y_row);
// y[c - from, :] += alpha sum over r of p[r, c] x[r, :] for the columns from ..< to. x: [rows, e].
void az_band_transposed(long rows, long e, long from, long to, const int32_t *first, const int32_t *last, float alpha,
                        const float *p, long p_row, const float *x, long x_row, float *y, long y_row);

// MARK: Convolution as a product: columns of [channels * kernel, out] from x [channels, length], zero padding left.
void az_unfold_1d(long channels, long length, long kernel, long stride, long padding, long dilation, long out,
                  const float *x, float *columns);
void az_fold_1d(long channels, long length, long kernel, long stride, long padding, long dilation, long out,
                const float *columns, float *x);                                                     // x += folded

// MARK: A causal convolution of each channel over its last tokens, with an activation that may be null: y_t = f(b + sum
// over j < kernel of w_j x_(t - kernel + 1 + j)). x, y: [n, channels]; w: [kernel, channels]; bias: [channels]; history:
// the kernel - 1 tokens before x. Matrices have row strides.
void az_short_convolution_forward(long n, long channels, long kernel, az_row_function function, const float *w,
                                  long w_row, const float *bias, const float *history, long history_row, const float *x,
                                  long x_row, float *y, long y_row);
// x, y and dy have `later` tokens more, which see the n. dx and dhistory (may be null; rows as far apart as dx's) are
// overwritten, dw and dbias added to. scratch: [kernel + 2, channels].
void az_short_convolution_backward(long n, long later, long channels, long kernel, az_row_function function,
                                   az_row_gradient_function gradient, const float *w, long w_row, const float *bias,
                                   const float *history, long history_row, const float *x, long x_row, const float *y,
                                   long y_row, const float *dy, long dy_row, float *dhistory, float *dx, long dx_row,
                                   float *dw, long dw_row, float *dbias, float *scratch);

// MARK: Attention of a few queries that share keys and values, for decoding. Keys lie in blocks, [blocks, d,
// AZ_KEY_BLOCK]: column by column, those of a block side by side.
enum { AZ_KEY_BLOCK = 16 };
// Some of the keys, first ..< last: with s = scale q . key + bias, y [queries, e] becomes the sum of e^(s - maximum) v, which
// maxima and sums [queries] go with. q: [queries, d], dense; bias: [queries, keys] with a row stride, may be null; v: rows
// v_row apart. scores: scratch of `last` floats, rounded up to whole blocks, for each of up to eight queries.
void az_few_queries(long queries, long d, long e, float scale, const float *q, const float *keys, long first, long last,
                    const float *bias, long bias_row, const float *v, long v_row, float *scores, float *maxima,
                    float *sums, float *y);
// The attention over all keys from that over parts of them: maxima, sums [parts, queries], parts_y [parts, queries, e] to
// y [queries, e].
void az_merge_few_queries(long parts, long queries, long e, const float *maxima, const float *sums,
                          const float *parts_y, float *y);

// MARK: Rotation of adjacent pairs, for rotary positions. x, y: [rows, d] with row strides; the first `rotated` columns
// (even) are turned by cosines and sines [rows, rotated / 2]; sign -1 turns back (the gradient). y may be x.
void az_rotate_pairs(long rows, long d, long rotated, float sign, const float *cosines, const float *sines,
                     const float *x, long x_row, float *y, long y_row);

// The same for pairs of column j and column j + rotated / 2.
void az_rotate_halves(long rows, long d, long rotated, float sign, const float *cosines, const float *sines,
                      const float *x, long x_row, float *y, long y_row);

// MARK: Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011). Element i of the stream of `key` depends on
// (key, first + i) alone, so any part can be recomputed, in any order and on any thread.
void az_random_uniform(long n, uint64_t key, uint64_t first, float *y);                              // [0, 1), 24 bits
void az_random_normal(long n, uint64_t key, uint64_t first, float *y);
// The generator itself: the four words of one counter (what the mapping above is made of; see random.c).
void az_philox4x32(const uint32_t counter[4], uint64_t key, uint32_t words[4]);
// y = x / (1 - p) where the element's uniform is >= p, else 0. The same call on dy is its gradient. y may be x.
void az_dropout(long n, float p, uint64_t key, uint64_t first, const float *x, float *y);

// MARK: Adam (Kingma and Ba 2015), as torch.optim.Adam / AdamW: gradient scaling, decay and update in one pass.
// g' = gradient_scale * g (+ weight_decay * p where not decoupled); decoupled: p -= learning_rate * weight_decay * p
// first. correction1 = 1 - beta1^t, correction2 = 1 - beta2^t.
// Settings are float64, as in PyTorch: 1 - beta2 of a float32 0.999 is wrong by 1e-5.
void az_adam(long n, double learning_rate, double beta1, double beta2, double eps, double weight_decay, int decoupled,
             double correction1, double correction2, double gradient_scale, const float *gradient, float *parameter,
             float *first_moment, float *second_moment);
// torch.optim.SGD with momentum (momentum buffer may be null when momentum is 0; first_step copies the gradient into
// it).
void az_sgd(long n, double learning_rate, double momentum, double weight_decay, int first_step, double gradient_scale,
            const float *gradient, float *parameter, float *momentum_buffer);

// MARK: Number formats of checkpoints
void az_half_to_float(long n, const uint16_t *x, float *y);
void az_bfloat16_to_float(long n, const uint16_t *x, float *y);

// MARK: The processor
// Counts the processors that the system may run this process on.
long az_processor_count(void);
// Bytes that this process may map at most (RLIMIT_AS, `ulimit -v`), or may map to write (RLIMIT_DATA, `ulimit -d`); -1
// without a limit.
int64_t az_address_space_limit(void);
int64_t az_data_limit(void);
// Makes threads that do not allocate yet use one heap: glibc reserves 64 MiB of address space for a heap of a thread's own.
void az_share_heap(void);
// Makes the calling thread treat denormal numbers as 0, which keeps decaying values from slowing loops down a
// hundredfold. Returns the mode before, to be restored: other code on the thread must not notice.
uint64_t az_flush_denormals(void);
void az_restore_denormals(uint64_t before);
// Pauses a loop that waits for another thread.
static inline void az_pause(void) {
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("isb");  // "yield" does nothing on most cores
#endif
}

#include "model_kernels.h"
#endif
