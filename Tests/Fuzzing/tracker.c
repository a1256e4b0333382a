/* Trackers. */
#include "families.h"

void call_tracker(Reader *r, uint8_t which, v05_tracker *tracker, v05_tracker *other) {
    v05_tracker *given = chance(r, 4) ? NULL : tracker;
    if (which == 0) {
        AnyBatch batch = any_batch(r, any_range(r));
        v05_error *error = error_argument(r);
        begin(r, "v05_tracker_record");
        ended(v05_tracker_record(given, batch.argument, error));
    } else if (which == 1) {
        Range range = any_range(r);
        int64_t n = byte(r) % 32, keys[32];
        double priors[32];
        uint8_t kind = byte(r);
        for (int64_t i = 0; i < n; i++) {
            keys[i] = kind & 1 ? any_integer(r) : byte(r) % 11;
            priors[i] = kind & 2 ? any_double(r) : range.low + (range.high - range.low) * byte(r) / 255.0;
        }
        const int64_t *k = chance(r, 4) ? NULL : input(n * 8, keys);
        const double *p = kind & 4 ? NULL : input(n * 8, priors);
        int64_t said = chance(r, 4) ? (byte(r) & 1 ? -1 : 2147483648ll) : n;
        double *v = chance(r, 16) ? NULL : output(n * 8), *s = chance(r, 16) ? NULL : output(n * 8);
        v05_error *error = error_argument(r);
        begin(r, "v05_tracker_predict");
        if (ended(v05_tracker_predict(given, k, p, said, v, s, error)))
            for (int64_t i = 0; i < n; i++) {
                if (s) CHECK(s[i] >= 0 && isfinite(s[i]), "strength %g", s[i]);
                if (v) CHECK(isnan(v[i]) || isfinite(v[i]), "value %g", v[i]);
                if (v && s) CHECK(isnan(v[i]) == (s[i] == 0), "value %g with strength %g", v[i], s[i]);
            }
    } else if (which == 2) {
        AnyBatch batch = any_batch(r, any_range(r));
        int64_t rows = batch.rows;
        double *baselines = chance(r, 16) ? NULL : output(rows * 8);
        int32_t one_out = chance(r, 8) ? (int32_t)any_integer(r) : byte(r) & 1;
        v05_error *error = error_argument(r);
        begin(r, "v05_tracker_fuse");
        /* A batch of no rows, such as one whose struct is too short to name any, needs no array. */
        if (ended(v05_tracker_fuse(given, batch.argument, one_out, baselines, error)) && baselines)
            for (int64_t i = 0; i < rows; i++) CHECK(isnan(baselines[i]) || isfinite(baselines[i]), "baseline %g", baselines[i]);
    } else if (which == 3) {
        v05_error *error = error_argument(r);
        v05_tracker *source = chance(r, 8) ? tracker : chance(r, 4) ? NULL : other;
        begin(r, "v05_tracker_merge");
        ended(v05_tracker_merge(given, source, error));
    } else {
        int64_t *count = chance(r, 8) ? NULL : output(8);
        v05_error *error = error_argument(r);
        begin(r, "v05_tracker_count");
        if (ended(v05_tracker_count(given, count, error))) CHECK(*count >= 0, "count");
        v05_calibration found = {.struct_size = sizeof found};
        CHECK(v05_tracker_calibration(tracker, &found, NULL) == V05_STATUS_OK, "calibration");
        CHECK(found.prior_variance >= 0 && found.reward_variance >= 0 && isfinite(found.prior_variance + found.reward_variance), "variances");
        v05_tracker_options options = {.struct_size = sizeof options};
        CHECK(v05_tracker_inspect(tracker, &options, NULL) == V05_STATUS_OK && options.reward_low < options.reward_high, "options");
    }
}

void create_tracker(Reader *r, v05_tracker **tracker) {
    v05_tracker_options defaults, o;
    CHECK(v05_tracker_options_initialize(&defaults, sizeof defaults, NULL) == V05_STATUS_OK, "defaults");
    o = defaults;
    uint8_t flags = byte(r);
    Range range = any_range(r);
    o.reward_low = range.low;
    o.reward_high = range.high;
    if (flags & 1) o.discount = any_double(r);
    if (flags & 2) o.slow_discount = any_double(r);
    if (flags & 16) o.forgetting = any_double(r);
    if (flags & 4) o.capacity = flags & 8 ? any_integer(r) : byte(r) % 12;
    const v05_tracker_options *options = sized_struct(r, &o, sizeof o, &defaults, 0);
    if (flags > 250) options = NULL;
    v05_tracker **target = output(sizeof(void *));
    unhashed(target, sizeof(void *));
    v05_error *error = error_argument(r);
    begin(r, "v05_tracker_create");
    *tracker = NULL;
    if (ended(v05_tracker_create(options, chance(r, 4) ? NULL : target, error))) *tracker = *target;
}
