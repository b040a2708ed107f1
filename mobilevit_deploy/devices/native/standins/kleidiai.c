/* The function of KleidiAI that 8-bit models need, and that ExecuTorch's library leaves to PyTorch.
 *
 * Quantises rows of activations to 8 bits, each by its own range, and lays them out for the kernels of matrix
 * products whose names hold "qai8dxp": mr rows are a block. A block holds the values, in runs of kr/sr, one run
 * of each row after the other; then each row's negative zero point (int32); then each row's step (float).
 * The arithmetic and its rounding are those of kai_lhs_quant_pack_qai8dxp_f32.c of ARM-software/kleidiai.
 */
#include <arm_neon.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The kernels' rows are padded to a multiple of it. Their weights are zero there: any value will do. */
#define ROW 32

static size_t smaller(size_t left, size_t right) { return left < right ? left : right; }

/* Values to steps, and the step that zero falls on. */
struct range {
    float steps;
    int32_t zero;
};

static struct range range_of(const float *row, size_t count) {
    float32x4_t leasts = vdupq_n_f32(0), mosts = leasts; /* zero is in every range */
    size_t index = 0;
    for (; index + 4 <= count; index += 4) {
        leasts = vminq_f32(leasts, vld1q_f32(row + index));
        mosts = vmaxq_f32(mosts, vld1q_f32(row + index));
    }
    float least = vminvq_f32(leasts), most = vmaxvq_f32(mosts);
    for (; index < count; index++) {
        least = fminf(least, row[index]);
        most = fmaxf(most, row[index]);
    }
    float steps = least == most ? 1 : (INT8_MAX - INT8_MIN) / (most - least);
    float from_least = INT8_MIN - least * steps, from_most = INT8_MAX - most * steps;
    /* From the end whose rounding error is the smaller. */
    float zero = (INT8_MIN + least * steps) + (INT8_MAX + most * steps) > 0 ? from_least : from_most;
    return (struct range){steps, (int32_t)rintf(fminf(fmaxf(zero, INT8_MIN), INT8_MAX))};
}

static void quantise(const float *from, size_t count, struct range range, int8_t *to) {
    for (size_t index = 0; index < count; index++) {
        int32_t value = (int32_t)roundf(from[index] * range.steps) + range.zero;
        to[index] = (int8_t)(value < INT8_MIN ? INT8_MIN : value > INT8_MAX ? INT8_MAX : value);
    }
}

void kai_run_lhs_quant_pack_qai8dxp_f32(size_t rows, size_t columns, size_t mr, size_t kr, size_t sr,
                                        size_t first, const float *values, size_t stride, void *packed) {
    size_t padded = (columns + ROW - 1) / ROW * ROW, run = kr / sr;
    size_t block = mr * (padded + sizeof(int32_t) + sizeof(float));
    for (size_t row = first; row < first + rows; row++) {
        const float *from = (const float *)((const char *)values + (row - first) * stride);
        char *begin = (char *)packed + (row / mr - first / mr) * block, *end = begin + mr * padded;
        size_t place = row % mr;
        struct range range = range_of(from, columns);
        int32_t offset = -range.zero;
        float step = range.steps ? 1 / range.steps : 0;
        for (size_t column = 0; column < columns; column += run)
            quantise(from + column, smaller(run, columns - column), range,
                     (int8_t *)begin + column * mr + place * run);
        memcpy(end + place * sizeof offset, &offset, sizeof offset);
        memcpy(end + mr * sizeof offset + place * sizeof step, &step, sizeof step);
    }
}
