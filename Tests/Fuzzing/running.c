/* Calibrations and mixtures over many batches. */
#include "families.h"

v05_running_calibration running;
v05_running_mixture running_mixture;

/* A fit, or an update, a solution, or saved bytes of the running one: accepted back by an estimate. */
void call_mixture(Reader *r) {
    Range range = any_range(r);
    AnyBatch batch = any_batch(r, range);
    v05_estimation_options o;
    v05_estimation_options_initialize(&o, sizeof o, NULL);
    o.rule = V05_RULE_MIXTURE;
    o.reward_low = range.low;
    o.reward_high = range.high;
    uint8_t which = byte(r) % 4;
    v05_mixture empty, solved;
    memset(&empty, 0xA5, sizeof empty);
    v05_mixture *result = sized_struct(r, &empty, sizeof empty, NULL, 1);
    v05_running_mixture before = running_mixture;
    if (before.struct_size == 0 || chance(r, 32))
        if (v05_running_mixture_initialize(&before, sizeof before, range.low, range.high, byte(r) / 255.0, NULL) != V05_STATUS_OK) return;
    if (chance(r, 16)) ((double *)&before)[1 + byte(r) % (sizeof before / 8 - 1)] = any_double(r);
    v05_running_mixture *given = sized_struct(r, &before, sizeof before, NULL, 1);
    size_t size;
    void *memory = workspace(r, &batch, &o, &size);
    v05_error *error = error_argument(r);
    workspace_begin(r, "v05_mixture_...");
    if (injects) { memory = NULL; size = 0; }
    v05_status status = which == 0   ? v05_mixture_fit(batch.argument, &o, memory, size, result, error)
                        : which == 1 ? v05_running_mixture_solve(given, result, error)
                                     : v05_running_mixture_update(given, batch.argument, memory, size, error);
    if (!ended(status)) return;
    if (which >= 2) {
        if (given->struct_size != sizeof *given) return;
        uint8_t bytes[1024];
        size_t length;
        v05_running_mixture loaded = {.struct_size = sizeof loaded, .calibration.struct_size = sizeof loaded.calibration};
        v05_error why = {.struct_size = sizeof why};
        CHECK(v05_running_mixture_save(given, bytes, sizeof bytes, &length, &why) == V05_STATUS_OK, "a running mixture is not saved: %s (groups %g, discount %g)", why.message, given->calibration.grand.groups, given->calibration.discount);
        CHECK(v05_running_mixture_load(&loaded, bytes, length, NULL) == V05_STATUS_OK, "a saved running mixture is refused");
        CHECK(memcmp(loaded.counts, given->counts, sizeof loaded.counts) == 0, "a running mixture changes when saved");
        if (second_time) running_mixture = *given;
        solved.struct_size = sizeof solved;
        CHECK(v05_running_mixture_solve(given, &solved, NULL) == V05_STATUS_OK, "a running mixture is not solved");
        result = &solved;
    }
    if (result->struct_size != sizeof *result) return;
    v05_batch none = {.struct_size = sizeof none};
    v05_estimate estimate = {.struct_size = sizeof estimate};
    o.reward_low = 0;
    o.reward_high = 1;
    v05_error message = {.struct_size = sizeof message};
    CHECK(v05_baseline_estimate(&none, &o, NULL, result, NULL, 0, &estimate, &message) == V05_STATUS_OK, "a mixture is not accepted back: %s", message.message);
}

void call_running(Reader *r, uint8_t which, v05_running_calibration *object) {
    v05_running_calibration seen = *object;
    int is_const = which != 0;
    Range range = {object->reward_low, object->reward_high};
    v05_running_calibration *given = sized_struct(r, &seen, sizeof seen, NULL, !is_const);
    int is_whole = longest_struct == sizeof seen;
    if (chance(r, 4)) given = NULL;
    if (which == 0) {
        AnyBatch batch = any_batch(r, chance(r, 32) ? any_range(r) : range);
        v05_estimation_options calibrated;
        v05_estimation_options_initialize(&calibrated, sizeof calibrated, NULL);
        calibrated.rule = V05_RULE_CALIBRATED;
        size_t size;
        void *memory = workspace(r, &batch, &calibrated, &size);
        v05_error *error = error_argument(r);
        workspace_begin(r, "v05_running_calibration_update");
        if (injects) { memory = NULL; size = 0; }
        described_batch = &batch;
        v05_status status = v05_running_calibration_update(given, batch.argument, memory, size, error);
        if (ended(status) && is_whole) {
            memcpy(object, given, sizeof *object);
            v05_calibration solved = {.struct_size = sizeof solved};
            v05_error e = {.struct_size = sizeof e};
            CHECK(v05_running_calibration_solve(object, &solved, &e) == V05_STATUS_OK, "updated sums are refused: %s", e.message);
        }
        described_batch = NULL;
    } else {
        v05_calibration *result = calibration_output(r);
        v05_error *error = error_argument(r);
        begin(r, "v05_running_calibration_solve");
        if (ended(v05_running_calibration_solve(given, result, error))) check_calibration(result, "what was solved");
    }
}
