/* The limit that the library's C function is measured against: the V_0.5 rule for contiguous groups as a plain loop,
 * with the same checks (finite, in range, prior in range, nothing written before all is checked) and nothing else.
 * Compiled with -O3. Its mean depends on the order of the rows. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

int plain_v05_f32(const float *rewards, const int64_t *offsets, int64_t group_count, const double *prior, double low,
                  double high, float *advantages, double *means) {
    const double half = (high - low) / 2, slack = 1e-6 * (high - low);
    const double least = low - slack, most = high + slack;
    for (int64_t g = 0; g < group_count; g++) {
        if (!(prior[g] >= least && prior[g] <= most)) return 1;
        double sum = 0;
        int refused = 0;
        for (int64_t row = offsets[g]; row < offsets[g + 1]; row++) {
            const double reward = rewards[row];
            refused |= !(reward >= least && reward <= most);
            sum += reward;
        }
        if (refused) return 1;
        means[g] = sum / (double)(offsets[g + 1] - offsets[g]);
    }
    for (int64_t g = 0; g < group_count; g++) {
        const double noise = half * half / (double)(offsets[g + 1] - offsets[g]);
        const double deviation = means[g] - prior[g], squared = deviation * deviation;
        const double weight = squared > noise ? 1 - noise / squared : 0;
        const double baseline = prior[g] + weight * deviation;
        for (int64_t row = offsets[g]; row < offsets[g + 1]; row++)
            advantages[row] = (float)((double)rewards[row] - baseline);
    }
    return 0;
}
