// The vector loops of single architectures (Models), under the same rules as those of ckernels.h.
#ifndef MODEL_KERNELS_H
#define MODEL_KERNELS_H
#include "ckernels.h"

// MARK: Deterministic parameter-free projection (2102.11174, section 5.3). With r = [relu(x), relu(-x)], block j = 1 ... nu
// of y is r[i] r[i - j] (i - j modulo 2 d); with eps >= 0 then y /= sum(y) + eps. x: [rows, d]; y, dy: [rows, 2 d nu],
// dense; nu < 2 d; scratch: 2 d + nu floats, twice as many in backward. dx may not be x.
void az_dpfp_forward(long rows, long d, long nu, float eps, const float *x, long x_row, float *y, float *scratch);
void az_dpfp_backward(long rows, long d, long nu, float eps, const float *x, long x_row, const float *dy, float *dx,
                      long dx_row, float *scratch);

// MARK: Rows of length 1: with u = f(x), y = u (sum of u^2 + eps)^-1/2 by row. y and dy are dense; f may be null. scratch:
// [2, d].
void az_unit_rows_forward(long rows, long d, float eps, az_row_function function, const float *x, long x_row, float *y);
void az_unit_rows_backward(long rows, long d, float eps, az_row_function function, az_row_gradient_function gradient,
                           const float *x, long x_row, const float *dy, float *dx, long dx_row, float *scratch);

// MARK: Rows that are written less what is there already. Row i in turn: e[i] += sum over j < i of n[i, j] u[j];
// u[i] = beta[i] v[i] - gamma[i] e[i]. e, u: [rows, cols], dense; n: [rows, rows], of which the part below the diagonal
// is read.
void az_erasing_substitution_forward(long rows, long cols, const float *n, long n_row, const float *beta,
                                     long beta_step, const float *gamma, long gamma_step, const float *v, long v_row,
                                     float *e, float *u);
// r: du, and afterwards the gradient of beta v - gamma e, from the last row to the first: r[i] += sum over j > i of
// n[j, i] x[j]; x[i] = -gamma[i] r[i], the gradient of e.
void az_erasing_substitution_backward(long rows, long cols, const float *n, long n_row, const float *gamma,
                                      long gamma_step, float *r, float *x);

// MARK: Decays from token to token, alpha = e^log_decay <= 1. Squares have rows `row` apart.
// kept[t] = alpha[0] ... alpha[t]; products[t, i] = alpha[i + 1] ... alpha[t] for i <= t, the rest untouched.
void az_decay_products(long n, const float *log_decay, long step, float *kept, float *products, long row);
// x[t, i] *= products[t, i] for i <= t.
void az_decay_square_forward(long n, const float *products, float *x, long row);
// From y = x * products: dy becomes dx for i <= t; d_log[j] += sum over t >= j > i of y[t, i] dy[t, i]. sums: scratch of n.
void az_decay_square_backward(long n, const float *products, const float *y, float *dy, long row, float *sums,
                              float *d_log);
// d_log[j] = within[j] + sum over t >= j of reads[t] + sum over i < j of writes[i] + whole.
void az_decay_gradient(long n, const float *reads, const float *writes, float whole, const float *within, float *d_log,
                       long step);

// MARK: Sums that fade from row to row, each column by its own factor. Row t keeps a_t = e^log_kept of what a column holds
// and writes w_t = 1 - a_t of its own. Factors have rows `wide` apart, a multiple of 16 that holds cols; other matrices of
// cols columns are dense; squares [rows, rows] are read and written up to the diagonal, but for transposed ones, which
// have zeros above it.
// kept = a and written = w, with zeros behind the columns. log_kept: rows `row` apart, at most 0.
void az_fading_factors(long rows, long cols, const float *log_kept, long row, float *kept, float *written, long wide);
// x[t] becomes y_t = a_t ... a_0 x[t] + sum over i <= t of s[t, i] a_t ... a_{i+1} w_i.
void az_fading_sums_forward(long rows, long cols, const float *kept, const float *written, long wide, const float *s,
                            long s_row, float *x);
// s[t, i] = x[t] . (a_t ... a_{i+1} w_i) for i <= t; then x[t] *= a_t ... a_0.
void az_fading_sums_transpose(long rows, long cols, const float *kept, const float *written, long wide, float *x,
                              float *s, long s_row);
// Given s and x of forward: dy becomes dx, ds is written as by transpose; d_log (rows wide apart) is added to. scratch:
// [rows, 64].
void az_fading_sums_backward(long rows, long cols, const float *kept, const float *written, long wide, const float *s,
                             long s_row, const float *x, float *dy, float *ds, long ds_row, float *d_log,
                             float *scratch);
// After the last row: lasting[i] = a_{rows-1} ... a_{i+1} w_i, whole = a_{rows-1} ... a_0.
void az_fading_total_forward(long rows, long cols, const float *kept, const float *written, long wide, float *lasting,
                             float *whole);
// The gradient of whole . sums + sum of lasting[i] . reads[i], added to d_log; reads and sums are overwritten.
void az_fading_total_backward(long rows, long cols, const float *kept, const float *written, long wide, float *reads,
                              float *sums, float *d_log);
// A matrix whose rows fade by their own factors while a vector is written to them, and that is multiplied at once, in one
// pass: w[r] = kept[r] w[r] + written[r] v, then y = alpha w x. w: [rows, cols], dense.
void az_fading_rows_matrix_vector(long rows, long cols, const float *kept, const float *written, const float *v, float *w,
                                  float alpha, const float *x, float *y);
// The same, then y = w^T x.
void az_fading_rows_vector_matrix(long rows, long cols, const float *kept, const float *written, const float *v, float *w,
                                  const float *x, float *y);

// MARK: Tiles between two products. Matrices have row strides; one named without is dense.
// y = x * gain + shift by column, and its gradient: dx, dgain and dshift are added to.
void az_affine_rows_forward(long rows, long cols, const float *x, const float *gain, const float *shift, float *y);
void az_affine_rows_backward(long rows, long cols, const float *x, const float *gain, const float *dy, float *dx,
                             float *dgain, float *dshift);
void az_silu_rows_forward(long rows, long cols, const float *x, long x_row, float *y, long y_row);
void az_silu_rows_backward(long rows, long cols, const float *x, long x_row, const float *dy, long dy_row, float *dx,
                           long dx_row);
// out = y * silu(z), and its gradients with respect to y and z (overwritten).
void az_silu_gate_forward(long rows, long cols, const float *y, long y_row, const float *z, long z_row, float *out,
                          long out_row);
void az_silu_gate_backward(long rows, long cols, const float *y, long y_row, const float *z, long z_row,
                           const float *dout, long dout_row, float *dy, long dy_row, float *dz, long dz_row);
// y[r, j] = f(scale * x[r, j] + bias[j - r]) for the visible columns j <= diagonal + r, 0 beyond and where mask[j] is
// 0. bias (a Toeplitz matrix by its diagonals, pointing at that of row 0, column 0) and mask may be null; y may be x.
void az_masked_activation_forward(long rows, long cols, long diagonal, float scale, const float *bias,
                                  const float *mask, az_row_function function, const float *x, long x_row, float *y,
                                  long y_row);
// dy becomes the gradient of x; dbias (may be null) is added to. scratch: [2, cols].
void az_masked_activation_backward(long rows, long cols, long diagonal, float scale, const float *bias,
                                   const float *mask, az_row_function function, az_row_gradient_function gradient,
                                   const float *x, long x_row, float *dy, long dy_row, float *dbias, float *scratch);

// MARK: A few vectors for each row
// One vector for each row, `row` elements apart (0: the same one for all).
typedef struct {
    const float *first;
    long row;
} az_vectors;
// Weighted sums whose weights differ from row to row: y[r, t, :] = base[r, t, :] + sum over s of w[r, s, t] x_s[r, :].
// y and base (which may be null, for 0, or y): [rows, outputs, d]; the weights have strides, any.
void az_mix_rows(long rows, long d, long sources, long outputs, const az_vectors *x, const float *weights,
                 long weight_row, long weight_source, long weight_output, const float *base, float *y);
// y[r, i, j] = <a_i[r, :], b_j[r, :]>: [rows, n, m]; squares (may be null): [rows, n], <a_i, a_i>.
void az_dot_rows(long rows, long d, long n, long m, const az_vectors *a, const az_vectors *b, float *y, float *squares);
// A small product for each row, y = a b, a: [m, k], b: [k, n], y: [m, n]; strides of the matrices and their axes, those
// without one being dense.
void az_small_products(long rows, long m, long k, long n, const float *a, long a_row, long a_m, long a_k,
                       const float *b, long b_row, long b_k, float *y, long y_row, long y_m);
// Weights that depend on the vectors they weigh: y[r, i, j] = tanh(<x_i, g_j> / max(|x_i|, eps)) gain[i, j] + shift[i,
// j] for n vectors x a row and c vectors g, given dots [rows, n, c] and squares [rows, n] of az_dot_rows. dots become
// the arguments of tanh; inverse [rows, n] is 1 / max(|x_i|, eps), negative in clamped rows.
void az_cosine_weights_forward(long rows, long n, long c, float eps, const float *squares, const float *gain,
                               const float *shift, float *dots, float *inverse, float *y);
// x: the arguments. dgain, dshift: [n, c], added to. Both vectors' gradients are weighted sums: dg_j = sum over r, i of
// slope[r, i, j] x_i; dx_i = sum over s of mix[r, s, i] v_s, where v are the c vectors g and then the n vectors x. mix:
// [rows, c + n, n] with a row stride.
void az_cosine_weights_backward(long rows, long n, long c, const float *x, const float *inverse, const float *gain,
                                const float *dy, float *slope, float *mix, long mix_row, float *dgain, float *dshift);

// MARK: Exponentials in pairs: with h = |x_r|^2 / 2, y_r = scale * [exp(u_r - h), exp(-u_r - h)]. x: [rows, d], u:
// [rows, m], y: [rows, 2 m].
void az_exponential_pairs_forward(long rows, long d, long m, float scale, const float *x, const float *u, float *y);
// dx = (its gradient through h) + beta * dx (with beta 0 it is not read); du is overwritten. Either may be null.
void az_exponential_pairs_backward(long rows, long d, long m, const float *x, const float *y, const float *dy,
                                   float beta, float *dx, float *du);

// MARK: What a query reads from each of n writes of the delta rule, S += beta_t k_t^T (v_t - k_t S), t = 0 ... n - 1:
// q S_n = sum of a_t v_t, where S is 0 at first. From the last write back: a_t = beta_t (p . k_t), p -= a_t k_t.
// k: [n, d]; beta, a: [n]; p: [d] holds q, and then what is left of it.
void az_delta_read_forward(long n, long d, const float *k, const float *beta, float *p, float *a);
// p: what forward left; gets q again, but for rounding. dp: [d] holds the gradient of what is left (0, usually), and
// then that of q. dk and dbeta are added to.
void az_delta_read_backward(long n, long d, const float *k, const float *beta, const float *a, const float *da,
                            float *p, float *dp, float *dk, float *dbeta);
#endif
