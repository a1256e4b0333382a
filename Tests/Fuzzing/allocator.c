/* Allocation wave by wave, beside a model of what is known from the calls. */
#include "families.h"

Model after;

void create_allocator(Reader *r, v05_allocator **allocator, Model *model) {
    v05_allocator_options defaults, o;
    CHECK(v05_allocator_options_initialize(&defaults, sizeof defaults, NULL) == V05_STATUS_OK, "defaults");
    o = defaults;
    uint8_t flags = byte(r), more = byte(r);
    Range range = any_range(r);
    o.rule = any_choice(r, 2);
    o.look_ahead = any_choice(r, 3);
    o.reward_low = range.low;
    o.reward_high = range.high;
    if (flags & 1) o.initial = flags & 2 ? any_integer(r) : 1 + byte(r) % 6;
    if (flags & 4) o.maximum = flags & 2 ? any_integer(r) : 1 + byte(r) % 24;
    if (flags & 8) o.wave = any_integer(r);
    if (flags & 16) o.cost = any_double(r);
    if (flags & 32) o.budget = any_integer(r);
    int64_t n = byte(r);
    int huge = n == 255;
    n = n % MOST_PROMPTS;
    double prior[MOST_PROMPTS];
    int64_t initial[MOST_PROMPTS], maximum[MOST_PROMPTS];
    for (int64_t i = 0; i < n; i++) {
        prior[i] = more & 1 ? any_double(r) : range.low + (range.high - range.low) * byte(r) / 255.0;
        initial[i] = more & 2 ? any_integer(r) : 1 + byte(r) % 5;
        maximum[i] = more & 2 ? any_integer(r) : 4 + byte(r) % 20;
    }
    const double *p = more & 4 ? input(n * 8, prior) : NULL;
    const int64_t *i0 = more & 8 ? input(n * 8, initial) : NULL, *m0 = more & 16 ? input(n * 8, maximum) : NULL;
    const v05_calibration *calibration = more & 32 ? any_calibration(r, range) : NULL;
    const v05_mixture *mixture = more & 64 ? any_mixture(r, range) : NULL;
    if (flags & 64) o.maximum_without_prior = more & 2 ? any_integer(r) : 4 + byte(r) % 20;
    const v05_allocator_options *options = sized_struct(r, &o, sizeof o, &defaults, 0);
    if (more > 250) { options = NULL; o = defaults; }
    v05_allocator **target = output(sizeof(void *));
    unhashed(target, sizeof(void *));
    v05_error *error = error_argument(r);
    begin(r, "v05_allocator_create");
    int64_t said = huge && !p && !i0 && !m0 ? (more & 128 ? -1 : 2147483648ll) : n;
    *allocator = NULL;
    memset(model, 0, sizeof *model);
    if (!ended(v05_allocator_create(options, said, p, i0, m0, calibration, mixture, chance(r, 4) ? NULL : target, error))) return;
    *allocator = *target;
    if (said > MOST_PROMPTS) return;
    model->is_known = 1;
    model->is_two_valued = mixture != NULL;
    model->prompts = n;
    model->budget = o.budget;
    model->range.low = o.reward_low;
    model->range.high = o.reward_high;
    for (int64_t i = 0; i < n; i++) {
        model->maximum[i] = m0 ? maximum[i] : o.maximum;
        model->prior[i] = p ? prior[i] : NAN;
    }
}

static void check_model(const v05_allocator *allocator, const Model *model) {
    if (!model->is_known) return;
    int64_t n = -1, counts[MOST_PROMPTS], in_flight[MOST_PROMPTS], started = 0;
    CHECK(v05_allocator_status(allocator, &n, counts, in_flight, MOST_PROMPTS, NULL, NULL, NULL) == V05_STATUS_OK, "status");
    CHECK(n == model->prompts, "prompts");
    for (int64_t i = 0; i < n; i++) {
        CHECK(counts[i] == model->counts[i] && in_flight[i] == model->in_flight[i],
              "prompt %lld: %lld counted and %lld in flight, not %lld and %lld", (long long)i, (long long)counts[i],
              (long long)in_flight[i], (long long)model->counts[i], (long long)model->in_flight[i]);
        CHECK(counts[i] + in_flight[i] <= model->maximum[i], "prompt %lld is above its maximum", (long long)i);
        started += counts[i] + in_flight[i];
    }
    CHECK(model->budget < 0 || started <= model->budget, "%lld rollouts, budget %lld", (long long)started, (long long)model->budget);
}

void call_allocator(Reader *r, uint8_t which, v05_allocator *allocator, const Model *before) {
    after = *before;
    v05_allocator *given = chance(r, 4) ? NULL : allocator;
    int64_t n = 0, observed = 0;
    CHECK(v05_allocator_status(allocator, &n, NULL, NULL, 0, NULL, NULL, NULL) == V05_STATUS_OK, "status");
    CHECK(v05_allocator_observations(allocator, NULL, NULL, 0, &observed, NULL) == V05_STATUS_OK, "observations");
    uint8_t how = byte(r);
    int64_t room = how < 200 ? n : how < 220 ? n - 1 : n + byte(r) % 4;
    if (room < 0 || room > 5000) room = 0;
    if (which == 0) {
        int64_t *counts = how > 250 ? NULL : output(room * 8), *sum = how & 1 ? NULL : output(8);
        v05_error *error = error_argument(r);
        int32_t done = -1;
        CHECK(v05_allocator_status(allocator, NULL, NULL, NULL, 0, &done, NULL, NULL) == V05_STATUS_OK, "done");
        begin(r, "v05_allocator_request");
        if (!ended(v05_allocator_request(given, counts, how > 245 ? -1 : room, sum, error))) return;
        int64_t found = 0;
        for (int64_t i = 0; i < n; i++) {
            CHECK(counts[i] >= 0, "counts[%lld] = %lld", (long long)i, (long long)counts[i]);
            found += counts[i];
            if (after.is_known) after.in_flight[i] += counts[i];
        }
        if (sum) CHECK(*sum == found, "sum %lld, counts sum to %lld", (long long)*sum, (long long)found);
        if (after.is_stopped || done) CHECK(found == 0, "%lld requested after stop or done", (long long)found);
        if (after.is_known && !done) {
            int64_t flying = found;
            for (int64_t i = 0; i < n; i++) flying += before->in_flight[i];
            CHECK(flying > 0, "neither done nor anything in flight or to be requested");
        }
        check_model(allocator, &after);
    } else if (which == 1 || which == 2) {
        int64_t index[64], m = 0;
        double rewards[64];
        Range range = after.range;
        if (how < 224 && after.is_known) { /* some of those in flight */
            for (int64_t i = 0; i < n && m < 64; i++)
                for (int64_t k = 0; k < after.in_flight[i] && m < 64; k++) {
                    uint8_t b = byte(r);
                    if (b > 200) break;
                    index[m] = i;
                    rewards[m++] = b & 32 && !after.is_two_valued ? range.low + (range.high - range.low) * (b % 32) / 31.0 : b & 1 ? range.high : range.low;
                }
            if (how >= 216) for (int64_t i = 0; i + 1 < m; i++) { int64_t t = index[i]; index[i] = index[m - 1]; index[m - 1] = t; }
            if (how > 200 && how < 208 && m) rewards[byte(r) % m] = any_double(r);
        } else {
            m = byte(r) % 16;
            for (int64_t i = 0; i < m; i++) { index[i] = any_integer(r); rewards[i] = any_double(r); }
        }
        const int64_t *p = chance(r, 4) ? NULL : input(m * 8, index);
        const double *v = which == 2 ? NULL : chance(r, 4) ? NULL : input(m * 8, rewards);
        const double *w = NULL;
        int is_weighted = which == 1 && how & 64;
        if (is_weighted) {
            double weights[64];
            for (int64_t i = 0; i < m; i++) weights[i] = how & 32 ? ldexp(1 + (double)(byte(r) % 8), byte(r) - 128) : 1 + (double)(i % 3);
            if (how > 200 && m) weights[byte(r) % m] = any_double(r);
            w = chance(r, 4) ? NULL : input(m * 8, weights);
        }
        int64_t said = chance(r, 4) ? any_integer(r) | INT64_MIN : m;
        v05_error *error = error_argument(r);
        begin(r, is_weighted ? "v05_allocator_observe_weighted" : which == 1 ? "v05_allocator_observe" : "v05_allocator_cancel");
        v05_status status = is_weighted  ? v05_allocator_observe_weighted(given, p, v, w, said, error)
                            : which == 1 ? v05_allocator_observe(given, p, v, said, error)
                                         : v05_allocator_cancel(given, p, said, error);
        if (!ended(status)) return;
        if (is_weighted && how > 200) after.is_weighted = 1; /* some weight may be 0 */
        if (after.is_known)
            for (int64_t i = 0; i < m; i++) {
                after.in_flight[index[i]]--;
                if (which == 1) after.counts[index[i]]++;
            }
        check_model(allocator, &after);
        if (which == 1 && m) { /* the log ends with what has been observed now */
            int64_t *logged = __real_malloc((observed + m) * 8), total = 0;
            double *values = __real_malloc((observed + m) * 8);
            CHECK(v05_allocator_observations(allocator, logged, values, observed + m, &total, NULL) == V05_STATUS_OK && total == observed + m, "log");
            for (int64_t i = 0; i < m; i++)
                CHECK(logged[observed + i] == index[i] && values[observed + i] == rewards[i], "observation %lld: %lld %g, not %lld %g",
                      (long long)i, (long long)logged[observed + i], values[observed + i], (long long)index[i], rewards[i]);
            free(logged);
            free(values);
        }
    } else if (which == 3) {
        v05_error *error = error_argument(r);
        begin(r, "v05_allocator_stop");
        if (ended(v05_allocator_stop(given, error))) after.is_stopped = 1;
    } else if (which == 4) {
        int64_t *count = how & 1 ? output(8) : NULL, *counts = how & 2 ? output(room * 8) : NULL, *flying = how & 4 ? output(room * 8) : NULL;
        int32_t *done = how & 8 ? output(4) : NULL, *calibrated = how & 16 ? output(4) : NULL;
        v05_error *error = error_argument(r);
        begin(r, "v05_allocator_status");
        ended(v05_allocator_status(given, count, counts, flying, how > 245 ? -1 : room, done, calibrated, error));
    } else if (which == 5) {
        int64_t there = how < 200 ? observed : observed > 0 ? observed - 1 : 0;
        int64_t *index = how & 1 ? output(there * 8) : NULL, *count = how > 240 ? NULL : output(8);
        double *rewards = how & 2 ? output(there * 8) : NULL;
        v05_error *error = error_argument(r);
        begin(r, "v05_allocator_observations");
        ended(v05_allocator_observations(given, index, rewards, there, count, error));
    } else {
        Range range = {0, 1};
        v05_estimation_options seen;
        const v05_mixture *mixture;
        const v05_estimation_options *options = any_estimation_options(r, range, &seen, &mixture);
        AnyEstimate e = any_estimate(r, observed, n < 2000 ? n : 0, 0, NULL);
        v05_error *error = error_argument(r);
        begin(r, "v05_allocator_estimate");
        if (ended(v05_allocator_estimate(given, options, e.argument, error))) check_estimate(&e, observed, NULL, after.is_known && !after.is_weighted ? observed : -1, &seen);
    }
}
