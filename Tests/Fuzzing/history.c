/* Histories. */
#include "families.h"

void call_history(Reader *r, uint8_t which, v05_history *history, v05_history *other) {
    v05_history *given = chance(r, 4) ? NULL : history;
    int64_t step = chance(r, 32) ? any_integer(r) : byte(r) & 7;
    if (which == 0) {
        AnyBatch batch = any_batch(r, any_range(r));
        v05_error *error = error_argument(r);
        begin(r, "v05_history_record");
        ended(v05_history_record(given, batch.argument, step, error));
    } else if (which == 3) {
        v05_error *error = error_argument(r);
        v05_history *source = chance(r, 8) ? history : chance(r, 4) ? NULL : other;
        begin(r, "v05_history_merge");
        ended(v05_history_merge(given, source, error));
    } else if (which == 4) {
        int64_t *count = chance(r, 8) ? NULL : output(8);
        v05_error *error = error_argument(r);
        begin(r, "v05_history_count");
        if (ended(v05_history_count(given, count, error))) CHECK(*count >= 0, "count");
        v05_history_options options = {.struct_size = sizeof options};
        CHECK(v05_history_inspect(history, &options, NULL) == V05_STATUS_OK && options.reward_low < options.reward_high, "options");
    } else {
        Range range = any_range(r);
        int64_t n = byte(r) % 32, keys[32];
        double values[32], strengths[32];
        uint8_t kind = byte(r);
        for (int64_t i = 0; i < n; i++) {
            keys[i] = kind & 1 ? any_integer(r) : byte(r) % 11;
            values[i] = kind & 2 ? any_double(r) : range.low + (range.high - range.low) * byte(r) / 255.0;
            strengths[i] = kind & 4 ? any_double(r) : byte(r) % 16;
        }
        const int64_t *k = chance(r, 4) ? NULL : input(n * 8, keys);
        int64_t said = chance(r, 4) ? (byte(r) & 1 ? -1 : 2147483648ll) : n;
        double *v = chance(r, 16) ? NULL : which == 1 ? output(n * 8) : input(n * 8, values);
        double *s = chance(r, 16) ? NULL : which == 1 ? output(n * 8) : input(n * 8, strengths);
        v05_error *error = error_argument(r);
        if (which == 1) {
            begin(r, "v05_history_predict");
            if (ended(v05_history_predict(given, k, said, step, v, s, error)))
                for (int64_t i = 0; i < n; i++) {
                    if (s) CHECK(s[i] >= 0 && isfinite(s[i]), "strength %g", s[i]);
                    if (v) CHECK(isnan(v[i]) || isfinite(v[i]), "value %g", v[i]);
                    if (v && s && isnan(v[i])) CHECK(s[i] == 0, "NaN with strength %g", s[i]);
                }
        } else {
            begin(r, "v05_history_start");
            ended(v05_history_start(given, k, v, s, said, step, error));
        }
    }
}

void create_history(Reader *r, v05_history **history) {
    v05_history_options defaults, o;
    CHECK(v05_history_options_initialize(&defaults, sizeof defaults, NULL) == V05_STATUS_OK, "defaults");
    o = defaults;
    uint8_t flags = byte(r);
    Range range = any_range(r);
    o.reward_low = range.low;
    o.reward_high = range.high;
    if (flags & 1) o.discount = any_double(r);
    if (flags & 2) o.step_decay = any_double(r);
    if (flags & 16) o.start_strength = any_double(r);
    if (flags & 4) o.capacity = flags & 8 ? any_integer(r) : byte(r) % 12;
    const v05_history_options *options = sized_struct(r, &o, sizeof o, &defaults, 0);
    if (flags > 250) options = NULL;
    v05_history **target = output(sizeof(void *));
    unhashed(target, sizeof(void *));
    v05_error *error = error_argument(r);
    begin(r, "v05_history_create");
    *history = NULL;
    if (ended(v05_history_create(options, chance(r, 4) ? NULL : target, error))) *history = *target;
}
