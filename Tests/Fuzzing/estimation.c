/* Estimates, and the fits of one batch. */
#include "families.h"

/* The same rows in reverse order must have the same advantages, bit for bit. */
static void check_order(const AnyBatch *b, const v05_estimation_options *options, const v05_calibration *calibration,
                        const v05_mixture *mixture, const AnyEstimate *e) {
    const v05_batch *s = &b->seen;
    if (!b->is_plain || s->group_offsets || b->rows == 0 || e->seen.struct_size < 24) return;
    /* A group without counted row takes the prior of its first row, whichever that is. */
    for (int64_t i = 0; s->mask && i < b->rows; i++) {
        int is_counted = 0;
        for (int64_t k = 0; k < b->rows && !is_counted; k++) is_counted = s->mask[k] && s->group_ids[k] == s->group_ids[i];
        if (!is_counted) return;
    }
    size_t width = b->is_single ? 4 : 8;
    const uint8_t *given = b->is_single ? (const void *)s->rewards_f32 : (const void *)s->rewards_f64;
    const uint8_t *found = b->is_single ? (const void *)e->seen.advantages_f32 : (const void *)e->seen.advantages_f64;
    if (!found) return;
    int64_t n = b->rows;
    uint8_t *rewards = __real_malloc(n * 8), *mask = __real_malloc(n), *advantages = __real_malloc(n * 8);
    int64_t *ids = __real_malloc(n * 8);
    double *prior = __real_malloc(n * 8), *strength = __real_malloc(n * 8), *weights = __real_malloc(n * 8);
    for (int64_t i = 0; i < n; i++) {
        memcpy(rewards + i * width, given + (n - 1 - i) * width, width);
        ids[i] = s->group_ids[n - 1 - i];
        if (s->mask) mask[i] = s->mask[n - 1 - i];
        if (s->prior) prior[i] = s->prior[n - 1 - i];
        if (s->prior_strength) strength[i] = s->prior_strength[n - 1 - i];
        if (s->weights) weights[i] = s->weights[n - 1 - i];
    }
    v05_batch turned = {.struct_size = sizeof turned, .row_count = n, .group_ids = ids};
    v05_estimate result = {.struct_size = sizeof result};
    if (b->is_single) { turned.rewards_f32 = (void *)rewards; result.advantages_f32 = (void *)advantages; }
    else { turned.rewards_f64 = (void *)rewards; result.advantages_f64 = (void *)advantages; }
    if (s->mask) turned.mask = mask;
    if (s->prior) turned.prior = prior;
    if (s->prior_strength) turned.prior_strength = strength;
    if (s->weights) turned.weights = weights;
    v05_error error = {.struct_size = sizeof error};
    v05_status status = v05_baseline_estimate(&turned, options, calibration, mixture, NULL, 0, &result, &error);
    CHECK(status == V05_STATUS_OK, "rows in reverse order are refused: %s", error.message);
    for (int64_t i = 0; i < n; i++) {
        double forward = b->is_single ? ((float *)found)[n - 1 - i] : ((double *)found)[n - 1 - i];
        double back = b->is_single ? ((float *)advantages)[i] : ((double *)advantages)[i];
        if (forward == 0 && back == 0)
            CHECK(signbit(forward) == signbit(back), "the sign of advantage 0 of row %lld turns with the order of rows", (long long)(n - 1 - i));
        else
            CHECK(memcmp(advantages + i * width, found + (n - 1 - i) * width, width) == 0,
              "advantage %.17g of row %lld is %.17g with rows in reverse order", forward, (long long)(n - 1 - i), back);
    }
    free(rewards); free(mask); free(advantages); free(ids); free(prior); free(strength); free(weights);
}

/* Rows that are in a statistic. */
static int64_t counted(const v05_batch *b) {
    int64_t found = 0;
    for (int64_t i = 0; i < b->row_count; i++) found += (!b->mask || b->mask[i]) && (!b->weights || b->weights[i] > 0);
    return found;
}

void call_estimate(Reader *r) {
    Range range = any_range(r);
    AnyBatch batch = any_batch(r, range);
    v05_estimation_options seen;
    const v05_mixture *mixture;
    const v05_estimation_options *options = any_estimation_options(r, range, &seen, &mixture);
    const v05_calibration *calibration = any_calibration(r, range);
    int64_t groups = batch.is_plain ? number_of_groups(&batch) : batch.groups;
    AnyEstimate e = any_estimate(r, batch.rows, groups, batch.is_single,
                                 batch.is_single ? (const void *)batch.seen.rewards_f32 : (const void *)batch.seen.rewards_f64);
    size_t size;
    void *memory = workspace(r, &batch, options, &size);
    v05_error *error = error_argument(r);
    if (workspace_begin(r, "v05_baseline_estimate") && memory) failing_allocation = -1;
    if (injects) { memory = NULL; size = 0; }
    described_batch = &batch;
    described_options = &seen;
    described_calibration = calibration;
    if (ended(v05_baseline_estimate(batch.argument, options, calibration, mixture, memory, size, e.argument, error))) {
        check_estimate(&e, batch.seen.row_count, batch.seen.mask, counted(&batch.seen), &seen);
        if (!second_time) check_order(&batch, options, calibration, mixture, &e);
    }
    described_batch = NULL;
    described_options = NULL;
    described_calibration = NULL;
}

/* A call whose results lie over its inputs or over each other is refused. */
void call_overlap(Reader *r) {
    enum { ROWS = 24, ARRAYS = 9 };
    static const size_t widths[ARRAYS] = {8, 8, 8, 1, 8, 8, 8, 8, 1}; /* rewards, ids, prior, mask; the results */
    uint8_t over = byte(r) % 5 + 4, under = byte(r) % ARRAYS;
    static const uint8_t nothing[ROWS * 8 + 64];
    uint8_t *memory[ARRAYS];
    for (int i = 0; i < ARRAYS; i++) memory[i] = i < 4 ? input((size_t)ROWS * widths[i] + 64, nothing) : output((size_t)ROWS * widths[i] + 64);
    for (int i = 0; i < ROWS; i++) {
        ((double *)memory[0])[i] = byte(r) & 1;
        ((int64_t *)memory[1])[i] = byte(r) % 5;
        ((double *)memory[2])[i] = 0.25;
        memory[3][i] = 1;
    }
    int shift = (int)(byte(r) % 65) - 32, is_apart = over == under;
    size_t length = ROWS * widths[over], other = ROWS * widths[under];
    uint8_t *given = is_apart ? memory[over] : memory[under] + (shift < 0 ? 0 : shift);
    if (given >= memory[under] + other && !is_apart) is_apart = 1, given = memory[over];
    if (given + length > memory[under] + other + 64 && !is_apart) is_apart = 1, given = memory[over];
    v05_batch batch = {.struct_size = sizeof batch, .row_count = ROWS, .rewards_f64 = (void *)memory[0],
                       .group_ids = (void *)memory[1], .prior = (void *)memory[2], .mask = memory[3]};
    void *results[5] = {memory[4], memory[5], memory[6], memory[7], memory[8]};
    results[over - 4] = given;
    v05_estimate estimate = {.struct_size = sizeof estimate, .group_capacity = ROWS, .advantages_f64 = results[0],
                             .row_group = results[1], .baseline = results[2], .mean = results[3], .constant = results[4]};
    v05_estimation_options options;
    v05_estimation_options_initialize(&options, sizeof options, NULL);
    options.rule = byte(r) % (V05_RULE_JSPO + 1);
    v05_error *error = error_argument(r);
    begin(r, "v05_baseline_estimate over itself");
    v05_status status = v05_baseline_estimate(&batch, &options, NULL, NULL, NULL, 0, &estimate, error);
    if (ended(status)) CHECK(is_apart, "result %d over array %d by %d bytes is taken", over, under, shift);
    else CHECK(!is_apart || status == V05_STATUS_OUT_OF_MEMORY, "arrays apart are refused: %s", v05_status_name(status));
}

void call_workspace_size(Reader *r) {
    Range range = any_range(r);
    AnyBatch batch = any_batch(r, range);
    v05_estimation_options seen;
    const v05_mixture *mixture;
    const v05_estimation_options *options = any_estimation_options(r, range, &seen, &mixture);
    size_t *size = chance(r, 8) ? NULL : output(sizeof(size_t));
    v05_error *error = error_argument(r);
    begin(r, "v05_estimation_workspace_size");
    ended(v05_estimation_workspace_size(batch.argument, options, size, error));
}

v05_calibration *calibration_output(Reader *r) {
    v05_calibration c;
    memset(&c, 0xA5, sizeof c);
    v05_calibration *memory = sized_struct(r, &c, sizeof c, NULL, 1);
    return chance(r, 4) ? NULL : memory;
}

void call_fit(Reader *r) {
    Range range = any_range(r);
    AnyBatch batch = any_batch(r, range);
    v05_estimation_options seen;
    const v05_mixture *mixture;
    const v05_estimation_options *options = any_estimation_options(r, range, &seen, &mixture);
    v05_calibration *result = calibration_output(r);
    size_t size;
    v05_estimation_options calibrated;
    v05_estimation_options_initialize(&calibrated, sizeof calibrated, NULL);
    calibrated.rule = V05_RULE_CALIBRATED;
    void *memory = workspace(r, &batch, &calibrated, &size);
    v05_error *error = error_argument(r);
    workspace_begin(r, "v05_calibration_fit");
    if (injects) { memory = NULL; size = 0; }
    described_batch = &batch;
    described_options = &seen;
    if (ended(v05_calibration_fit(batch.argument, options, memory, size, result, error))) check_calibration(result, "the fit");
    described_batch = NULL;
    described_options = NULL;
}
