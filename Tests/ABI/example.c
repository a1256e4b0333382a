/* Baselines and advantages of one training step, in C.
 *
 *     export PKG_CONFIG_PATH="$(dirname "$(python -c 'import v05; print(v05.library_path())')")/pkgconfig"
 *     cc example.c $(pkg-config --cflags --libs v05) -o example && ./example
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <v05.h>

enum { ROLLOUTS = 10 };

int main(void) {
    /* Three prompts with a few rollouts each, in the order in which they were finished. The verifier says 1 for a
     * right answer and 0 for a wrong one. */
    const int64_t prompts[ROLLOUTS] = {17, 42, 17, 99, 42, 17, 42, 17, 99, 42};
    const double rewards[ROLLOUTS] = {1, 0, 0, 1, 0, 1, 0, 1, 0, 0};

    /* What was known before, for example the pass rate on earlier visits, once for every rollout of the prompt.
     * NAN: nothing is known, and the prompt gets the plain mean of its group. */
    const double priors[ROLLOUTS] = {0.5, 0.75, 0.5, NAN, 0.75, 0.5, 0.75, 0.5, NAN, 0.75};

    /* The header and the library come from different places: make sure that they belong together. */
    if (v05_abi_version() != V05_ABI_VERSION) {
        fprintf(stderr, "libv05.so has ABI version %" PRIu32 ", v05.h has %d\n", v05_abi_version(), V05_ABI_VERSION);
        return EXIT_FAILURE;
    }

    /* Every struct starts with its size; what is not set is zero and means "not given". */
    const v05_batch batch = {
        .struct_size = sizeof batch,
        .row_count = ROLLOUTS,
        .rewards_f64 = rewards,
        .group_ids = prompts,
        .prior = priors,
    };

    /* Results go into arrays of ours; those that are left NULL are skipped. There are at most as many groups as
     * rollouts. */
    double advantages[ROLLOUTS], means[ROLLOUTS], weights[ROLLOUTS], baselines[ROLLOUTS];
    int64_t groups[ROLLOUTS];
    v05_estimate estimate = {
        .struct_size = sizeof estimate,
        .advantages_f64 = advantages,
        .group_capacity = ROLLOUTS,
        .group_ids = groups,
        .mean = means,
        .weight = weights,
        .baseline = baselines,
    };

    /* NULL options: the rule V_0.5 on rewards in [0, 1]. NULL calibration and mixture: none. NULL workspace: the library takes
     * memory for the call and gives it back. */
    v05_error error = {.struct_size = sizeof error};
    if (v05_baseline_estimate(&batch, NULL, NULL, NULL, NULL, 0, &estimate, &error) != V05_STATUS_OK) {
        fprintf(stderr, "%s: %s\n", v05_status_name(error.status), error.message);
        return EXIT_FAILURE;
    }

    puts("  prompt     mean   weight baseline");
    for (int64_t group = 0; group < estimate.group_count; ++group)
        printf("%8" PRId64 " %8.6f %8.6f %8.6f\n", groups[group], means[group], weights[group], baselines[group]);

    puts("\n  prompt   reward    prior advantage");
    for (int row = 0; row < ROLLOUTS; ++row)
        printf("%8" PRId64 " %8.6f %8.6f %9.6f\n", prompts[row], rewards[row], priors[row], advantages[row]);
    return EXIT_SUCCESS;
}
