// Parameter updates: one pass over the gradient, the parameter and its moments.
#include "ckernels.h"
#include "vector_math.h"

AZ_KERNEL void az_adam(long n, double learning_rate, double beta1, double beta2, double eps, double weight_decay,
                       int decoupled, double correction1, double correction2, double gradient_scale,
                       const float *gradient, float *parameter, float *first_moment, float *second_moment) {
    // Both forms of weight decay as factors of the parameter: p *= keep, g += decay * p.
    const float keep = decoupled ? (float)(1 - learning_rate * weight_decay) : 1;
    const float decay = decoupled ? 0 : (float)weight_decay, scale = (float)gradient_scale;
    const float rest1 = (float)(1 - beta1), keep2 = (float)beta2, rest2 = (float)(1 - beta2);
    const float step = (float)(learning_rate / correction1), floor = (float)eps;
    const float inverse_root = (float)(1 / __builtin_elementwise_sqrt(correction2));
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) {
        const float p = parameter[i];
        const float g = scale * gradient[i] + decay * p;
        const float m = first_moment[i] + rest1 * (g - first_moment[i]);
        const float v = keep2 * second_moment[i] + rest2 * (g * g);
        first_moment[i] = m;
        second_moment[i] = v;
        parameter[i] = keep * p - step * (m / (az_sqrt(v) * inverse_root + floor));
    }
}

AZ_KERNEL void az_sgd(long n, double learning_rate, double momentum, double weight_decay, int first_step,
                      double gradient_scale, const float *gradient, float *parameter, float *momentum_buffer) {
    const float rate = (float)learning_rate, decay = (float)weight_decay, scale = (float)gradient_scale;
    if (!momentum_buffer) {
        AZ_VECTORIZE
        for (long i = 0; i < n; i++) {
            const float p = parameter[i];
            parameter[i] = p - rate * (scale * gradient[i] + decay * p);
        }
        return;
    }
    // The first step copies the gradient: the buffer is cleared, whatever is in it.
    if (first_step) memset(momentum_buffer, 0, (size_t)n * sizeof *momentum_buffer);
    const float carried = (float)momentum;
    AZ_VECTORIZE
    for (long i = 0; i < n; i++) {
        const float p = parameter[i];
        const float velocity = carried * momentum_buffer[i] + (scale * gradient[i] + decay * p);
        momentum_buffer[i] = velocity;
        parameter[i] = p - rate * velocity;
    }
}
