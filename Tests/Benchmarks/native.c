/* Timing of the library's C function against a plain loop, without Python in between. Compiled with -O3 by
 * benchmark.py. */
#define _POSIX_C_SOURCE 199309L
#include "v05.h"
#include <time.h>

/* The limit to measure against: the V_0.5 rule for contiguous groups as a plain loop, with the same checks (rewards
 * finite and in range, priors in range, nothing written before all is checked) and nothing else. Its means depend on the
 * order of the rows. */
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

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

typedef v05_status (*estimate_function)(const v05_batch *, const v05_estimation_options *, const v05_calibration *,
                                        const v05_mixture *, void *, size_t, v05_estimate *, v05_error *);

/* Seconds to read `count` numbers at random places, each without waiting for the one before: what a table in memory that
 * is far away can be asked at most. */
double time_random_reads(const int64_t *numbers, const int64_t *places, int64_t count, int64_t *sum) {
    const double start = now();
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) found += numbers[places[i]];
    *sum = found;
    return now() - start;
}

/* Times `repeats` calls of each, turn and turn about. seconds: (repeats, 3 + option_count) plain loop, offsets, ids, and
 * ids with each of the options, with score weights where `weighted` says so. */
int time_native(estimate_function estimate, const float *rewards, const int64_t *offsets, const int64_t *ids,
                int64_t row_count, int64_t group_count, const double *group_prior, const double *row_prior,
                float *advantages, double *means, void *workspace, size_t workspace_size,
                const double *weights, const v05_estimation_options *options, const int *weighted, int option_count,
                int repeats, double *seconds) {
    v05_batch by_offsets = {sizeof by_offsets};
    by_offsets.row_count = row_count;
    by_offsets.rewards_f32 = rewards;
    by_offsets.group_offsets = offsets;
    by_offsets.group_count = group_count;
    by_offsets.prior = group_prior;
    v05_batch by_ids = {sizeof by_ids};
    by_ids.row_count = row_count;
    by_ids.rewards_f32 = rewards;
    by_ids.group_ids = ids;
    by_ids.prior = row_prior;
    v05_batch by_ids_weighted = by_ids;
    by_ids_weighted.weights = weights;
    v05_estimate result = {sizeof result};
    result.advantages_f32 = advantages;
    for (int repeat = 0; repeat < repeats; repeat++) {
        double *spent = seconds + (3 + option_count) * repeat;
        double before = now(), after;
        int failed = plain_v05_f32(rewards, offsets, group_count, group_prior, 0, 1, advantages, means);
        after = now(), *spent++ = after - before, before = after;
        failed |= estimate(&by_offsets, NULL, NULL, NULL, workspace, workspace_size, &result, NULL) != V05_STATUS_OK;
        after = now(), *spent++ = after - before, before = after;
        failed |= estimate(&by_ids, NULL, NULL, NULL, workspace, workspace_size, &result, NULL) != V05_STATUS_OK;
        after = now(), *spent++ = after - before, before = after;
        for (int option = 0; option < option_count; option++) {
            const v05_batch *batch = weighted[option] ? &by_ids_weighted : &by_ids;
            failed |= estimate(batch, options + option, NULL, NULL, workspace, workspace_size, &result, NULL) != V05_STATUS_OK;
            after = now(), *spent++ = after - before, before = after;
        }
        if (failed) return 1;
    }
    return 0;
}
